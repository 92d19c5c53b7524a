/**
 * The record types of the catalogue (`specs/records`), for people. The documents come with the build; this module is
 * loaded when records are first shown.
 */
import { day, localised, moment, t, words } from './i18n/index.svelte'

interface Display {
  locale: string
  label: string
}
interface ClaimDocument {
  path: (string | null)[]
  display: Display[]
  unit?: string
  values?: { value: string; display: Display[] }[]
}
interface TypeDocument {
  vct: string
  category: string
  display: { locale: string; name: string }[]
  claims: ClaimDocument[]
}

export interface RecordType {
  id: string
  vct: string
  category: string
  names: Record<string, string>
}
export interface Row {
  label: string
  value: string
}

const documents = new Map(
  Object.entries(
    import.meta.glob<TypeDocument>('../../../specs/records/types/*.metadata.json', { eager: true, import: 'default' }),
  ).map(([path, document]) => [path.replace(/^.*\/|\.metadata\.json$/g, ''), document]),
)

export const types: RecordType[] = [...documents].map(([id, document]) => ({
  id,
  vct: document.vct,
  category: document.category,
  names: Object.fromEntries(document.display.map((display) => [display.locale, display.name])),
}))

export function typeById(id: string): RecordType | undefined {
  return types.find((type) => type.id === id)
}

/** Name of a kind of record, in words. */
export function typeName(id: string): string {
  return localised(typeById(id)?.names ?? {}, id)
}

/** What stands in the heading of one record. */
export function titleOf(typeId: string, claims: Record<string, unknown>): string {
  const name = typeName(typeId)
  if (typeId === 'vaccination') {
    const dose = typeof claims['dose_number'] === 'number' ? `${spaced()}${t('record.dose', { dose: claims['dose_number'] })}` : ''
    const other = claims['vaccine_code'] === 'other' ? text(claims['vaccine_name']) : undefined
    return `${other ?? shown(typeId, 'vaccine_code', claims) ?? name}${dose}`
  }
  if (typeId === 'laboratory_result' && typeof claims['test_name'] === 'string') return claims['test_name']
  return name
}

/** The one value that stands beside the heading, where there is one: a laboratory result's verdict. */
export function verdictOf(typeId: string, claims: Record<string, unknown>): { text: string; positive: boolean } | undefined {
  if (typeId !== 'laboratory_result') return undefined
  const text = shown(typeId, 'result', claims) ?? shown(typeId, 'value_quantity', claims) ?? shown(typeId, 'value_concept', claims)
  return text ? { text, positive: claims['result'] === 'positive' } : undefined
}

/** All claims that a person can read, in the catalogue's order; date and place have lines of their own. */
export function rowsOf(typeId: string, claims: Record<string, unknown>): Row[] {
  const rows: Row[] = []
  for (const claim of documents.get(typeId)?.claims ?? []) {
    const name = claim.path[0]
    if (claim.path.length !== 1 || !name || name === 'date' || name === 'place' || name.endsWith('_codings')) continue
    // The verdict says in words what this code says.
    if (name === 'value_concept' && 'result' in claims) continue
    const value = shown(typeId, name, claims)
    if (value) rows.push({ label: labelOf(claim.display), value })
  }
  return rows
}

/** What `rowsOf`, date and place leave out: codes for computers. Whoever is asked to show them sees that they are there. */
export function codesOf(typeId: string, claims: Record<string, unknown>): Row[] {
  const listed = new Set(rowsOf(typeId, claims).map((row) => row.label))
  const rows: Row[] = []
  for (const [name, value] of Object.entries(claims)) {
    const claim = documents.get(typeId)?.claims.find((candidate) => candidate.path.length === 1 && candidate.path[0] === name)
    const label = claim ? labelOf(claim.display) : name
    const hasLine = name === 'date' || (name === 'place' && placeOf(claims) !== undefined)
    if (!hasLine && !listed.has(label)) rows.push({ label, value: JSON.stringify(value) })
  }
  return rows
}

export function placeOf(claims: Record<string, unknown>): string | undefined {
  return text(claims['place'])
}

function shown(typeId: string, name: string, claims: Record<string, unknown>): string | undefined {
  const claim = documents.get(typeId)?.claims.find((candidate) => candidate.path.length === 1 && candidate.path[0] === name)
  const value = claims[name]
  const coded = claim?.values?.find((candidate) => candidate.value === value)
  if (coded) return labelOf(coded.display)
  const plain = text(value)
  return plain && claim?.unit ? `${plain} ${claim.unit}` : plain
}

/** The shapes of the catalogue's schemas: numbers, texts, quantities, concepts, parties, notes, and lists of them. */
function text(value: unknown): string | undefined {
  if (typeof value === 'string') return written(value)
  if (typeof value === 'number') return value.toLocaleString(words.language === 'ja' ? 'ja-JP' : 'en-GB')
  if (typeof value === 'boolean') return t(value ? 'common.yes' : 'common.no')
  if (Array.isArray(value)) {
    const texts = value.map(text).filter((each) => each !== undefined)
    return texts.length > 0 ? texts.join(words.language === 'ja' ? '、' : ', ') : undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const object = value as Record<string, unknown>
  if (typeof object['value'] === 'number') {
    return `${String(object['comparator'] ?? '')}${text(object['value'])} ${String(object['unit'] ?? object['code'] ?? '')}`.trim()
  }
  if (object['low'] ?? object['high']) return `${text(object['low']) ?? ''} – ${text(object['high']) ?? ''}`.trim()
  if ('test_name' in object) {
    const verdict = text(object['value_quantity']) ?? text(object['value_concept']) ?? text(object['result']) ?? text(object['value_text'])
    return `${text(object['test_name'])}: ${verdict ?? ''}`
  }
  const coding = Array.isArray(object['codings']) ? (object['codings'][0] as Record<string, unknown> | undefined) : undefined
  return text(object['text']) ?? text(object['name']) ?? text(coding?.['display'] ?? coding?.['code']) ?? text(object['identifier_value'])
}

/** A text as it stands, but dates and times as people write them. */
function written(value: string): string | undefined {
  if (/^\d{4}-\d{2}-\d{2}$/.test(value)) return day(value)
  if (/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(value)) return moment(Date.parse(value))
  return value || undefined
}

function labelOf(displays: Display[]): string {
  return localised(Object.fromEntries(displays.map((display) => [display.locale, display.label])))
}

const spaced = () => (words.language === 'ja' ? '　' : ', ')
