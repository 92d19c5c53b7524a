import { describe, expect, it } from 'vitest'
import { pageOf, readLink } from './links'
import { parse } from './router.svelte'

const organisation = 'ab'.repeat(32)

describe('links', () => {
  it('reads pairing and request links', () => {
    expect(readLink(`https://wallet.example/#/pair?issuer=${organisation}&code=K7Q2M9XTPB4W`)).toEqual({
      kind: 'pair',
      issuer: organisation,
      code: 'K7Q2M9XTPB4W',
    })
    const link = readLink(`  #/request?from=${organisation}&id=0123456789abcdef0123456789abcdef `)
    expect(link).toEqual({ kind: 'request', from: organisation, id: '0123456789abcdef0123456789abcdef' })
    expect(link && parse(`#${pageOf(link)}`).query.get('from')).toBe(organisation)
  })

  it('refuses everything else', () => {
    for (const text of [
      '',
      'https://wallet.example/',
      `#/pair?issuer=${organisation}`,
      `#/pair?issuer=zz&code=K7Q2M9XTPB4W`,
      `#/request?from=${organisation}&id=../../etc`,
      `#/settings?from=${organisation}&id=0123456789abcdef`,
      `#/pair?issuer=${organisation}&code=${'A'.repeat(3000)}`,
    ]) {
      expect(readLink(text), text).toBeUndefined()
    }
  })
})
