import { describe, expect, it } from 'vitest'
import type { GrantNote, Person } from './index-blob'
import { shareStatus, sharesOf } from './shares'

const grant: GrantNote = {
  id: 'g',
  nonce: '',
  recipient: '',
  name: { ja: '', en: '' },
  categories: [],
  purpose: 'care',
  untilMs: 1000,
  usesMax: null,
  reference: '',
  notedMs: 1,
  final: true,
}

describe('shares', () => {
  it('end when stopped or over, and count only when recorded', () => {
    expect(shareStatus(grant, 999)).toBe('active')
    expect(shareStatus(grant, 1000)).toBe('expired')
    expect(shareStatus({ ...grant, final: false }, 999)).toBe('pending')
    expect(shareStatus({ ...grant, shownMs: 5 }, 999)).toBe('shown')
    expect(shareStatus({ ...grant, shownMs: 5 }, 1000)).toBe('shown')
    expect(shareStatus({ ...grant, revokedMs: 5 }, 999)).toBe('revoked')
    expect(shareStatus({ ...grant, revokedMs: 5 }, 2000)).toBe('revoked')
  })

  it('are listed newest first, over all persons', () => {
    const person = (id: string, grants: GrantNote[]) => ({ id, grants }) as unknown as Person
    const people = [person('a', [grant]), person('b', [{ ...grant, id: 'h', notedMs: 2 }])]
    expect(sharesOf(people, 0).map((share) => share.grant.id)).toEqual(['h', 'g'])
  })
})
