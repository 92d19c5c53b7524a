// The WebAssembly build against the browser's own cryptography: two implementations, one result.
import { readFileSync } from 'node:fs'
import { Encrypter } from 'age-encryption'
import { bech32 } from '@scure/base'
import { beforeAll, describe, expect, it } from 'vitest'
import { Vault as WasmVault, initSync, sealedPapers, verifyCredential } from '../wasm/tegata'
import { openSealed } from './age'
import { type Bytes, concat, fromBase64url, fromHex, randomBytes, toHex, utf8 } from './bytes'

const secret = Uint8Array.from({ length: 32 }, (_, i) => i)
const drawer = '00112233445566778899aabbccddeeff'

beforeAll(() => {
  initSync({ module: readFileSync(new URL('../wasm/tegata_bg.wasm', import.meta.url)) })
})

/** HKDF-SHA-256 as `specs/consent/sealing.md`, section 1, has it. */
async function derived(label: string, context: Uint8Array = new Uint8Array()): Promise<Bytes> {
  const key = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits'])
  const info = concat(utf8(label), new Uint8Array([0]), context)
  return new Uint8Array(await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: utf8('tegata/v1/vault'), info }, key, 256))
}

async function publicEd25519(seed: Bytes): Promise<CryptoKey> {
  const pkcs8 = concat(fromHex('302e020100300506032b657004220420'), seed)
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign'])
  const { x } = await crypto.subtle.exportKey('jwk', key)
  return crypto.subtle.importKey('raw', fromBase64url(x ?? ''), 'Ed25519', true, ['verify'])
}

describe('a vault', () => {
  it('derives the keys that the specification says', async () => {
    const vault = new WasmVault(secret)
    const key = await publicEd25519(await derived('vault'))
    expect(vault.id).toBe(toHex(new Uint8Array(await crypto.subtle.exportKey('raw', key))))
    expect(vault.drawerSecret(drawer)).toEqual(await derived('drawer', fromHex(drawer)))
    expect(vault.indexSecret()).toEqual(await derived('index'))
    const issuer = 'ab'.repeat(32)
    const holder = await publicEd25519(await derived('holder', fromHex(issuer)))
    expect(vault.holderKey(issuer)).toBe(toHex(new Uint8Array(await crypto.subtle.exportKey('raw', holder))))
    vault.free()
  })

  it('refuses what is no secret and no identifier', () => {
    expect(() => new WasmVault(new Uint8Array(31))).toThrow(/31 bytes/)
    const vault = new WasmVault(secret)
    expect(() => vault.drawerSecret('abc')).toThrow(/16 bytes/)
    expect(() => vault.grant('{"chain":1}')).toThrow()
    vault.free()
  })

  it('signs requests as RFC 9421 says', async () => {
    const vault = new WasmVault(secret)
    const target = `http://localhost:7413/v1/vaults/${vault.id}/index`
    const { input, signature } = JSON.parse(vault.signRequest('PUT', target, 'sha-256=:AA==:', 1_760_000_000, 'bm9uY2U')) as Record<string, string>
    expect(input).toBe(
      `sig=("@method" "@target-uri" "content-digest");created=1760000000;nonce="bm9uY2U";keyid="vault:${vault.id}";alg="ed25519";tag="tegata"`,
    )
    const base = (method: string) =>
      utf8(`"@method": ${method}\n"@target-uri": ${target}\n"content-digest": sha-256=:AA==:\n"@signature-params": ${input?.slice(4)}`)
    const key = await publicEd25519(await derived('vault'))
    expect(await crypto.subtle.verify('Ed25519', key, fromBase64url(signature ?? ''), base('PUT'))).toBe(true)
    expect(await crypto.subtle.verify('Ed25519', key, fromBase64url(signature ?? ''), base('GET'))).toBe(false)
    vault.free()
  })

  it('makes a grant only its nonce can find again', () => {
    const vault = new WasmVault(secret)
    const nonce = '11'.repeat(16)
    const id = 'cd'.repeat(32)
    const input = {
      chain: id,
      nonce,
      host: id,
      recipient: 'ab'.repeat(32),
      // The X25519 base point: any usable key does here.
      recipientSealKey: `09${'00'.repeat(31)}`,
      purpose: 'care',
      legalBasis: 'consent',
      retentionDays: 30,
      fromMs: 1,
      untilMs: 2,
      notAfterMs: 3,
      drawers: [{ id: drawer, category: 'vaccination', epoch: 1 }],
      reference: 'K-1',
    }
    const papers = vault.grant(JSON.stringify(input))
    expect(papers.id).toBe(vault.grantId(nonce))
    expect(papers.id).not.toBe(vault.grantId('12'.repeat(16)))
    expect(papers.submission.length).toBeGreaterThan(500)
    const small = { ...input, recipientSealKey: '00'.repeat(32) }
    expect(() => vault.grant(JSON.stringify(small))).toThrow(/not a usable/)
    expect(() => vault.grant(JSON.stringify({ ...input, drawers: [] }))).toThrow(/between 1 and/)
    const revocation = JSON.parse(vault.revocation(id, nonce, id, 3)) as { entry: string }
    expect(toHex(fromBase64url(revocation.entry))).toContain(papers.id)
    vault.free()
  })
})

describe('a sealed file', () => {
  const file = async (recipientOf: Bytes, text: string) => {
    const jwk = await crypto.subtle.exportKey('jwk', await crypto.subtle.importKey('pkcs8', concat(fromHex('302e020100300506032b656e04220420'), recipientOf), 'X25519', true, ['deriveBits']))
    const encrypter = new Encrypter()
    encrypter.addRecipient(bech32.encodeFromBytes('age', fromBase64url(jwk.x ?? '')))
    return new Uint8Array(await encrypter.encrypt(text))
  }

  it('opens with the drawer key, and the key is wiped', async () => {
    const vault = new WasmVault(secret)
    const key = vault.drawerSecret(drawer) as Bytes
    const sealed = await file(key, '予防接種')
    expect(new TextDecoder().decode(await openSealed(sealed, key))).toBe('予防接種')
    expect(key.every((byte) => byte === 0)).toBe(true)
    vault.free()
  })

  it('stays shut for another key, and when altered or cut off', async () => {
    const key = randomBytes(32)
    const sealed = await file(key, '予防接種'.repeat(100))
    await expect(openSealed(sealed, randomBytes(32))).rejects.toThrow()
    await expect(openSealed(sealed.slice(0, -1), key.slice())).rejects.toThrow()
    const altered = sealed.slice()
    altered[altered.length - 20] = (altered[altered.length - 20] ?? 0) ^ 1
    await expect(openSealed(altered, key.slice())).rejects.toThrow()
  })
})

describe('what is malformed', () => {
  it('is refused with the part at fault', () => {
    expect(() => sealedPapers('00'.repeat(32), new Uint8Array([1, 2, 3]))).toThrow(/CBOR/)
    expect(() => verifyCredential('not a credential', `EdDSA:${'58'.repeat(32)}`, 0)).toThrow()
    expect(() => verifyCredential('a.b.c~', 'RS256:00', 0)).toThrow(/EdDSA or ES256/)
  })
})
