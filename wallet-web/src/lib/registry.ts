/** Organisations as the ledger has them: fetched with proof, and asked what they were allowed at a time. */
import { ServiceError, organisationProof } from './api'
import type { Ledger, Organisation, RoleName } from './core'

/** A header older than this says nothing about now, in milliseconds. The ledger makes one every five seconds at least. */
export const STALE_AFTER_MS = 60_000
/** How long a proven organisation is taken from memory, in milliseconds. */
const KEEP_MS = 30_000

interface Span {
  fromMs: number
  untilMs: number | null
}

export class Registry {
  private readonly kept = new Map<string, { atMs: number; organisation: Promise<Organisation | null> }>()

  constructor(
    private readonly ledger: Ledger,
    readonly ledgers: string[],
  ) {}

  /**
   * The organisation as it stands now; null where the ledger proves that there is none.
   * @throws ServiceError `stale` where only an old header is to be had
   */
  organisation(id: string): Promise<Organisation | null> {
    const kept = this.kept.get(id)
    if (kept && Date.now() - kept.atMs < KEEP_MS) return kept.organisation
    const organisation = this.fetch(id)
    this.kept.set(id, { atMs: Date.now(), organisation })
    organisation.catch(() => this.kept.delete(id))
    return organisation
  }

  private async fetch(id: string): Promise<Organisation | null> {
    const proven = this.ledger.organisation(await organisationProof(this.ledgers, id), id)
    if (Date.now() - proven.timeMs > STALE_AFTER_MS) {
      throw new ServiceError(503, 'stale', 'the newest header of the ledger is too old')
    }
    return proven.organisation
  }
}

export function urlOf(organisation: Organisation, role: RoleName): string | undefined {
  return organisation.services.find((service) => service.role === role)?.url
}

export function suspendedAt(organisation: Organisation, atMs: number): boolean {
  return organisation.suspensions.some((span) => counts(span, atMs))
}

/** Whether it is accredited, and not suspended, to issue a record type at a time. */
export function mayIssue(organisation: Organisation, recordType: string, atMs: number): boolean {
  return (
    organisation.roles.includes('issuer') &&
    !suspendedAt(organisation, atMs) &&
    organisation.issues.some((issues) => issues.recordType === recordType && counts(issues, atMs))
  )
}

/** Whether it is accredited, and not suspended, to ask for all these categories for this purpose and retention. */
export function mayAsk(organisation: Organisation, purpose: string, categories: string[], retentionDays: number, atMs: number): boolean {
  return !suspendedAt(organisation, atMs) && !asksTooMuch(organisation, purpose, categories, retentionDays)
}

/** Whether a request is for more than the organisation is accredited for, suspended or not: that may be reported. */
export function asksTooMuch(organisation: Organisation, purpose: string, categories: string[], retentionDays: number): boolean {
  return !(
    organisation.roles.includes('verifier') &&
    organisation.asks.some(
      (asks) =>
        asks.purpose === purpose &&
        retentionDays <= asks.retentionMaxDays &&
        categories.every((category) => asks.categories.includes(category)),
    )
  )
}

export function signsWith(organisation: Organisation, key: string, atMs: number): boolean {
  return organisation.keys.some((own) => own.use === 'sign' && own.public === key && counts(own, atMs))
}

/** The key to which tickets are sealed now. */
export function sealKeyOf(organisation: Organisation, atMs: number): string | undefined {
  return organisation.keys.find((key) => key.use === 'seal' && counts(key, atMs))?.public
}

/** Credential keys that counted at a time, as `verifyCredential` takes them. */
export function credentialKeysAt(organisation: Organisation, atMs: number): string[] {
  return organisation.keys
    .filter((key) => counts(key, atMs) && key.use.startsWith('credential'))
    .map((key) => `${key.use === 'credential-eddsa' ? 'EdDSA' : 'ES256'}:${key.public}`)
}

function counts(span: Span, atMs: number): boolean {
  return atMs >= span.fromMs && (span.untilMs === null || atMs < span.untilMs)
}
