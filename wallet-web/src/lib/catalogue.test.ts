import { beforeAll, describe, expect, it } from 'vitest'
import { codesOf, placeOf, rowsOf, titleOf, typeById, types, verdictOf } from './catalogue'
import { words } from './i18n/index.svelte'

beforeAll(() => words.set('ja'))

describe('the catalogue for people', () => {
  it('knows every record type with its category', () => {
    expect(types.length).toBeGreaterThanOrEqual(8)
    expect(typeById('infant_checkup_3_years')?.category).toBe('infant_checkup')
    expect(typeById('nothing')).toBeUndefined()
  })

  it('names vaccinations and doses', () => {
    expect(titleOf('vaccination', { vaccine_code: 'hib', dose_number: 2 })).toBe('ヒブ（Hib）　2回目')
    expect(titleOf('vaccination', { vaccine_code: 'other', vaccine_name: 'ためし' })).toBe('ためし')
    expect(placeOf({ place: { name: 'みどり小児科' } })).toBe('みどり小児科')
  })

  it('shows values with units and codes in words', () => {
    const rows = rowsOf('infant_checkup_3_years', { date: '2026-02-03', weight_g: 14000, urine_protein: 'negative' })
    expect(rows).toContainEqual({ label: '体重', value: '14,000 g' })
    expect(rows).toContainEqual({ label: '尿蛋白', value: '−（陰性）' })
  })

  it('leaves nothing out that somebody is asked to show', () => {
    const codings = [{ system: 'http://hl7.org/fhir/sid/cvx', code: '48' }]
    const claims = { vaccine_code: 'hib', date: '2023-04-15', place: { name: 'みどり小児科' }, vaccine_codings: codings, unheard_of: 1 }
    const codes = codesOf('vaccination', claims)
    expect(codes.map((row) => row.value)).toEqual([JSON.stringify(codings), '1'])
    expect(codesOf('vaccination', { vaccine_code: 'hib', date: '2023-04-15' })).toEqual([])
  })

  it('shows results, quantities and times as people write them', () => {
    const claims = { test_name: 'PCR', result: 'positive', value_concept: { text: 'Positive' }, effective_at: '2026-11-02T09:30:00+09:00' }
    expect(verdictOf('laboratory_result', claims)).toEqual({ text: '陽性', positive: true })
    const rows = rowsOf('laboratory_result', claims)
    expect(rows.some((row) => row.value.includes('Positive') || row.value.includes('T09'))).toBe(false)
    expect(verdictOf('laboratory_result', { value_quantity: { value: 5.2, unit: 'mmol/L', comparator: '<' } })?.text).toBe('<5.2 mmol/L')
  })
})
