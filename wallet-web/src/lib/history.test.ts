// Histories in pages: the vectors of the specification, read as the wallet reads them.
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { Ledger, initSync } from '../wasm/tegata'
import { fromHex } from './bytes'

interface Vectors {
  genesis: string
  grant: string
  vectors: { name: string; pages: string[]; readings?: number; refused?: string }[]
}

const file = new URL('../../../specs/consent/vectors/history.json', import.meta.url)
const { genesis, grant, vectors } = JSON.parse(readFileSync(file, 'utf8')) as Vectors

/** What the message of each refusal says. */
const REFUSALS: Record<string, RegExp> = {
  'history-count': /accesses, the ledger has/,
  'history-order': /begins after/,
  'history-head': /does not lead to the head/,
  'history-not-an-access': /not an access under this grant/,
  'history-entry': /signature/,
}

beforeAll(() => {
  initSync({ module: readFileSync(new URL('../wasm/tegata_bg.wasm', import.meta.url)) })
})

describe('a history in pages', () => {
  it.each(vectors)('$name', ({ pages, readings, refused }) => {
    const reader = new Ledger(fromHex(genesis)).history(grant)
    let count = 0
    let complete = false
    const read = () => {
      for (const page of pages) {
        const found = JSON.parse(reader.page(fromHex(page))) as { readings: unknown[]; complete: boolean }
        count += found.readings.length
        complete = found.complete
        expect(reader.count).toBe(count)
      }
    }
    if (refused !== undefined) expect(read).toThrow(REFUSALS[refused])
    else read()
    expect(complete).toBe(refused === undefined)
    if (readings !== undefined) expect(count).toBe(readings)
    reader.free()
  })
})
