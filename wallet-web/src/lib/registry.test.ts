import { describe, expect, it } from 'vitest'
import type { Organisation } from './core'
import { credentialKeysAt, mayAsk, mayIssue, sealKeyOf, signsWith } from './registry'

const organisation: Organisation = {
  id: 'aa'.repeat(32),
  name: { ja: 'みどり小児科', en: 'Midori Clinic' },
  roles: ['issuer', 'verifier'],
  services: [],
  did: 'did:web:midori.example',
  keys: [
    { use: 'sign', public: '01', fromMs: 100, untilMs: 200 },
    { use: 'sign', public: '02', fromMs: 200, untilMs: null },
    { use: 'seal', public: '03', fromMs: 0, untilMs: null },
    { use: 'credential-eddsa', public: '04', fromMs: 0, untilMs: 150 },
    { use: 'credential-es256', public: '05', fromMs: 100, untilMs: null },
  ],
  issues: [{ recordType: 'vaccination', fromMs: 100, untilMs: 300 }],
  asks: [{ purpose: 'care', categories: ['vaccination', 'laboratory'], retentionMaxDays: 30 }],
  suspensions: [{ fromMs: 250, untilMs: 260 }],
}

describe('the registry', () => {
  it('counts keys in their time only', () => {
    expect(signsWith(organisation, '01', 150)).toBe(true)
    expect(signsWith(organisation, '01', 200)).toBe(false)
    expect(signsWith(organisation, '02', 200)).toBe(true)
    expect(signsWith(organisation, '03', 200)).toBe(false)
    expect(credentialKeysAt(organisation, 120)).toEqual(['EdDSA:04', 'ES256:05'])
    expect(credentialKeysAt(organisation, 150)).toEqual(['ES256:05'])
    expect(sealKeyOf(organisation, 1)).toBe('03')
  })

  it('lets nobody issue outside accreditation or while suspended', () => {
    expect(mayIssue(organisation, 'vaccination', 150)).toBe(true)
    expect(mayIssue(organisation, 'vaccination', 99)).toBe(false)
    expect(mayIssue(organisation, 'vaccination', 255)).toBe(false)
    expect(mayIssue(organisation, 'vaccination', 260)).toBe(true)
    expect(mayIssue(organisation, 'vaccination', 300)).toBe(false)
    expect(mayIssue(organisation, 'laboratory_result', 150)).toBe(false)
    expect(mayIssue({ ...organisation, roles: ['verifier'] }, 'vaccination', 150)).toBe(false)
  })

  it('lets nobody ask for more than accredited', () => {
    expect(mayAsk(organisation, 'care', ['laboratory'], 30, 150)).toBe(true)
    expect(mayAsk(organisation, 'care', ['laboratory'], 31, 150)).toBe(false)
    expect(mayAsk(organisation, 'care', ['laboratory', 'imaging'], 30, 150)).toBe(false)
    expect(mayAsk(organisation, 'research', ['laboratory'], 30, 150)).toBe(false)
    expect(mayAsk(organisation, 'care', ['laboratory'], 30, 255)).toBe(false)
    expect(mayAsk({ ...organisation, roles: ['issuer'] }, 'care', ['laboratory'], 30, 150)).toBe(false)
  })
})
