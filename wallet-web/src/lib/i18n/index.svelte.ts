/** Words in the person's language. Japanese is the source: a text that is missing elsewhere does not compile. */
import { en } from './en'
import { type TextKey, ja } from './ja'

export type Language = 'ja' | 'en'
const KEY = 'tegata.language'

class Words {
  language: Language = $state(initial())

  set(language: Language): void {
    this.language = language
    globalThis.localStorage?.setItem(KEY, language)
  }
}

function initial(): Language {
  const kept = globalThis.localStorage?.getItem(KEY)
  if (kept === 'ja' || kept === 'en') return kept
  return globalThis.navigator?.language?.startsWith('en') ? 'en' : 'ja'
}

export const words = new Words()

/** The text of `key`, with `{name}` replaced by `values.name`. */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  const text: string = (words.language === 'ja' ? ja : en)[key]
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** A text that the catalogue or the registry has in several languages. */
export function localised(texts: Partial<Record<string, string>>, fallback = ''): string {
  return texts[words.language] ?? texts['ja'] ?? texts['en'] ?? Object.values(texts)[0] ?? fallback
}

const locale = () => (words.language === 'ja' ? 'ja-JP' : 'en-GB')

/** A day, from `2026-04-01` or from milliseconds since 1970. */
export function day(value: string | number): string {
  const date = typeof value === 'number' ? new Date(value) : new Date(value.length === 10 ? `${value}T00:00:00` : value)
  if (Number.isNaN(date.getTime())) return String(value)
  return new Intl.DateTimeFormat(locale(), { year: 'numeric', month: 'long', day: 'numeric' }).format(date)
}

/** A day and a time, from milliseconds since 1970. */
export function moment(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { year: 'numeric', month: 'long', day: 'numeric', hour: '2-digit', minute: '2-digit' }).format(
    new Date(ms),
  )
}

/** Age in words, from a birth date `2026-04-01`. */
export function age(birthDate: string, now = new Date()): string {
  const birth = new Date(`${birthDate}T00:00:00`)
  let months = (now.getFullYear() - birth.getFullYear()) * 12 + now.getMonth() - birth.getMonth()
  if (now.getDate() < birth.getDate()) months -= 1
  if (Number.isNaN(months) || months < 0) return ''
  if (months < 36) return t('age.months', { years: Math.floor(months / 12), months: months % 12, all: months })
  return t('age.years', { years: Math.floor(months / 12) })
}

/** Whose, and then what: `はるちゃん：予防接種`. */
export function whose(name: string, what: string): string {
  return words.language === 'ja' ? `${name}：${what}` : `${name}: ${what}`
}

/** Categories as screens list them, in one order everywhere. */
export function categoriesText(codes: string[]): string {
  const place = (code: string) => CATEGORY_ORDER.indexOf(code) + 1 || CATEGORY_ORDER.length + 1
  return listed([...codes].sort((a, b) => place(a) - place(b)).map((code) => coded('category', code)))
}

export const CATEGORY_ORDER = ['vaccination', 'infant_checkup', 'laboratory', 'imaging', 'medication', 'school_health']

/** Names joined as the language joins them. */
export function listed(names: string[]): string {
  return words.language === 'ja' ? names.join('・') : new Intl.ListFormat('en-GB').format(names)
}

/** The text of `prefix.code`, or of `prefix.other` with the code in it, for codes that this version does not know. */
export function coded(prefix: 'category' | 'purpose' | 'basis' | 'refusal', code: string): string {
  const key = `${prefix}.${code}`
  return key in ja ? t(key as TextKey) : t(`${prefix}.other`, { code })
}
