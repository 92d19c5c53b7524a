import { ServiceError } from './api'
import { t } from './i18n/index.svelte'

/** What a person is told: what happened and what to do. */
export function errorText(error: unknown): string {
  if (error instanceof ServiceError) {
    if (error.status === 0) return t('error.network')
    if (error.code === 'stale' || error.status === 503) return t('error.stale')
    return t('error.other', { detail: error.detail || error.code })
  }
  return t('error.other', { detail: error instanceof Error ? error.message : String(error) })
}
