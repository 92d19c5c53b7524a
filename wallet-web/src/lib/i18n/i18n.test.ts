import { describe, expect, it } from 'vitest'
import { en } from './en'
import { ja } from './ja'
import { age, coded, t, words } from './index.svelte'

const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort()

describe('words', () => {
  it('have the same gaps in both languages', () => {
    for (const [key, text] of Object.entries(ja)) {
      const other = en[key as keyof typeof ja]
      if (!key.startsWith('age.')) expect(placeholders(other), key).toEqual(placeholders(text))
    }
    expect(Object.keys(en).sort()).toEqual(Object.keys(ja).sort())
  })

  it('are words for people', () => {
    for (const text of Object.values(en)) expect(text.toLowerCase()).not.toMatch(/\b(grants?|ledgers?|credentials?|drawer id)\b/)
    for (const text of Object.values(ja)) expect(text).not.toMatch(/台帳|グラント|クレデンシャル|ブロックチェーン/)
  })

  it('tell ages', () => {
    words.set('ja')
    expect(age('2026-04-20', new Date(2026, 10, 20))).toBe('7か月')
    expect(age('2026-04-21', new Date(2026, 10, 20))).toBe('6か月')
    expect(age('2021-04-20', new Date(2026, 10, 20))).toBe('5さい')
    expect(age('2027-01-01', new Date(2026, 10, 20))).toBe('')
  })

  it('show codes that they do not know', () => {
    expect(coded('purpose', 'payout')).toBe(t('purpose.payout'))
    expect(coded('purpose', 'new_purpose')).toContain('new_purpose')
  })
})
