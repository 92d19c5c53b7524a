import { describe, expect, it } from 'vitest'
import { randomBytes } from './bytes'
import { type GrantNote, IndexError, type Person, type WalletIndex, emptyIndex, mergeIndexes, openIndex, sealIndex } from './index-blob'

const grant: GrantNote = {
  id: 'g1',
  nonce: '00'.repeat(16),
  recipient: 'aa'.repeat(32),
  name: { ja: 'さくら保険', en: 'Sakura Insurance' },
  categories: ['laboratory'],
  purpose: 'payout',
  untilMs: 2_000_000_000_000,
  usesMax: null,
  reference: 'P-1',
  notedMs: 1_900_000_000_000,
  final: false,
}
const person: Person = {
  id: 'p1',
  name: 'はる',
  birthDate: '2026-04-01',
  secret: 'c2VjcmV0',
  drawers: [{ id: 'd1', category: 'vaccination', epoch: 1 }],
  connections: [],
  grants: [grant],
  seen: { d1: { count: 2, head: 'bb' } },
}
const index: WalletIndex = { version: 1, kitDone: false, people: [person] }

describe('the wallet index', () => {
  it('opens only with its key, for its vault, unaltered', async () => {
    const key = randomBytes(32)
    const sealed = await sealIndex(index, key, 'vault')
    expect(await openIndex(sealed, key, 'vault')).toEqual(index)
    await expect(openIndex(sealed, randomBytes(32), 'vault')).rejects.toBeInstanceOf(IndexError)
    await expect(openIndex(sealed, key, 'other')).rejects.toBeInstanceOf(IndexError)
    for (const at of [0, 5, 40, sealed.length - 1]) {
      const altered = sealed.slice()
      altered[at] = (altered[at] ?? 0) ^ 1
      await expect(openIndex(altered, key, 'vault'), String(at)).rejects.toBeInstanceOf(IndexError)
    }
  })

  it('does not tell by its size how many children there are', async () => {
    const key = randomBytes(32)
    const [none, one] = await Promise.all([sealIndex(emptyIndex(), key, 'v'), sealIndex(index, key, 'v')])
    expect(none.length).toBe(one.length)
  })
})

describe('joining two indexes', () => {
  it('loses nobody and nothing', () => {
    const mine: WalletIndex = {
      version: 1,
      kitDone: true,
      people: [{ ...person, grants: [grant, { ...grant, id: 'g2' }], seen: { d1: { count: 5, head: 'cc' } } }],
    }
    const theirs: WalletIndex = {
      version: 1,
      kitDone: false,
      people: [
        { ...person, grants: [{ ...grant, final: true, revokedMs: 5, shownMs: 7 }], drawers: [...person.drawers, { id: 'd2', category: 'imaging', epoch: 1 }] },
        { ...person, id: 'p2' },
      ],
    }
    for (const merged of [mergeIndexes(mine, theirs), mergeIndexes(theirs, mine)]) {
      const child = merged.people.find((one) => one.id === 'p1')
      expect(merged.kitDone).toBe(true)
      expect(merged.people.map((one) => one.id).sort()).toEqual(['p1', 'p2'])
      expect(child?.grants.map((one) => one.id).sort()).toEqual(['g1', 'g2'])
      expect(child?.grants.find((one) => one.id === 'g1')).toMatchObject({ final: true, revokedMs: 5, shownMs: 7 })
      expect(child?.drawers.map((one) => one.id).sort()).toEqual(['d1', 'd2'])
      expect(child?.seen['d1']).toEqual({ count: 5, head: 'cc' })
    }
  })
})
