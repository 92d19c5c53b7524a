import { describe, expect, it } from 'vitest'
import { pageOf, readLink } from './links'
import { readPresentLink } from './present-link'
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

  it('reads links to requests for a presentation, ours and those for any wallet', () => {
    const query = 'client_id=x509_hash%3Aabc&request_uri=https%3A%2F%2Fclinic.example%2Fv1%2Fpresentations%2F00%2Frequest&request_uri_method=post'
    for (const text of [`https://wallet.example/#/present?${query}`, `openid4vp://?${query}`, `haip-vp://authorize?${query}`]) {
      const link = readLink(text)
      expect(link, text).toEqual({ kind: 'present', query })
      expect(link && readPresentLink(parse(`#${pageOf(link)}`).query)).toEqual({
        clientId: 'x509_hash:abc',
        requestUri: 'https://clinic.example/v1/presentations/00/request',
        post: true,
      })
    }
    for (const wrong of [
      query.replace('client_id=x509_hash%3Aabc&', ''),
      query.replace('https%3A', 'javascript%3A'),
      query.replace('method=post', 'method=put'),
    ]) {
      expect(readLink(`#/present?${wrong}`), wrong).toBeUndefined()
    }
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
