// Reporting a request that asks for too much: the entry carries the organisation's own signature, and nothing of the person.
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { Ledger, initSync } from '../wasm/tegata'
import { type Bytes, fromHex, toHex } from './bytes'

const vectors = (name: string) => JSON.parse(readFileSync(new URL(`../../../specs/consent/vectors/${name}`, import.meta.url), 'utf8')) as Record<string, unknown>

/** The signed request that the vector of an over-asking embeds: a byte string whose head says how long it is. */
function evidence(): Bytes {
  const { vectors: entries } = vectors('entries.json') as { vectors: { name: string; bytes: string }[] }
  const entry = entries.find(({ name }) => name === 'over-asking')?.bytes ?? ''
  const at = entry.indexOf('d28458', 2)
  const length = parseInt(entry.slice(at - 4, at), 16)
  return fromHex(entry.slice(at, at + 2 * length))
}

beforeAll(() => {
  initSync({ module: readFileSync(new URL('../wasm/tegata_bg.wasm', import.meta.url)) })
})

describe('a report of over-asking', () => {
  const sponsor = 'ab'.repeat(32)

  it('embeds the request as it was signed', () => {
    const ledger = new Ledger(fromHex(vectors('history.json').genesis as string))
    const request = evidence()
    const says = JSON.parse(ledger.request(request)) as Record<string, unknown>
    expect(says).toMatchObject({ purpose: 'payout', categories: ['vaccination'], reference: '00112233445566778899aabbccddeeff' })
    const report = toHex(ledger.overAsking(request, sponsor, 1_800_000_000_000) as Bytes)
    expect(report).toContain(toHex(request))
    expect(report).toContain(sponsor)
    // another key each time: two reports of one person cannot be linked
    expect(toHex(ledger.overAsking(request, sponsor, 1_800_000_000_000) as Bytes)).not.toBe(report)
  })

  it('embeds a request for a presentation as it was signed, and none that could hold a text about a person', () => {
    const ledger = new Ledger(fromHex(vectors('history.json').genesis as string))
    const { vectors: all } = vectors('over-asking.json') as { vectors: { name: string; request: string; refused?: string }[] }
    const taken: string[] = []
    for (const { name, request, refused } of all) {
      const bytes = new TextEncoder().encode(request)
      const report = () => toHex(ledger.overAsking(bytes, sponsor, 1_800_000_000_000) as Bytes)
      if (!refused) expect(report(), name).toContain(toHex(bytes))
      else if (['evidence-member', 'evidence-json', 'evidence-too-long'].includes(refused)) {
        try {
          report()
          taken.push(name)
        } catch {
          // as it must be
        }
      }
    }
    // names and addresses are compared with the registry when the request is checked
    expect(taken).toEqual([
      'a certificate for a person',
      "a certificate for a person's address",
      'a certificate for another page',
      'a certificate for the port of the DID',
      'the name of somebody else',
      'an answer that goes elsewhere',
      'an answer that goes to a neighbour',
      'an answer with a query',
      'an answer to another path',
    ])
  })

  it('is not made of an altered request', () => {
    const ledger = new Ledger(fromHex(vectors('history.json').genesis as string))
    const request = evidence()
    request[request.length - 1] = (request[request.length - 1] ?? 0) ^ 1
    expect(() => ledger.request(request)).toThrow(/does not hold/)
    expect(() => ledger.overAsking(request, sponsor, 1)).toThrow(/does not hold/)
  })
})
