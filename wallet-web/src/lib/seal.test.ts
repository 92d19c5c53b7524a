import { describe, expect, it } from 'vitest'
import { randomBytes, toBase64url } from './bytes'
import { type Seal, WrongKeyError, openWithPasskey, openWithPassphrase, passphraseLength, sealWithPasskey, sealWithPassphrase } from './seal'

const secret = randomBytes(32)

describe('a seal under a passphrase', () => {
  it('opens with the passphrase, also typed in full width', async () => {
    const seal = await sealWithPassphrase(secret, 'blue kite 2026')
    expect(await openWithPassphrase(seal, 'blue kite 2026')).toEqual(secret)
    expect(await openWithPassphrase(seal, ' ｂｌｕｅ kite ２０２６ ')).toEqual(secret)
    expect(JSON.stringify(seal)).not.toContain(toBase64url(secret))
  })

  it('stays shut for another passphrase', async () => {
    const seal = await sealWithPassphrase(secret, 'blue kite 2026')
    await expect(openWithPassphrase(seal, 'blue kite 2027')).rejects.toBeInstanceOf(WrongKeyError)
  })

  it('stays shut when any part of it was altered', async () => {
    const seal = await sealWithPassphrase(secret, 'blue kite 2026')
    if (seal.kind !== 'passphrase') throw new Error('a passphrase makes a passphrase seal')
    const altered: Seal[] = [
      { ...seal, rounds: seal.rounds + 1 },
      { ...seal, rounds: 1 },
      { ...seal, rounds: 1e12 },
      { ...seal, salt: toBase64url(randomBytes(16)) },
      { ...seal, nonce: toBase64url(randomBytes(12)) },
      { ...seal, ciphertext: toBase64url(randomBytes(48)) },
    ]
    for (const wrong of altered) await expect(openWithPassphrase(wrong, 'blue kite 2026')).rejects.toBeInstanceOf(WrongKeyError)
  }, 30_000)

  it('counts characters, not code units', () => {
    expect(passphraseLength('  👶👶👶 ')).toBe(3)
  })
})

describe('a seal under a passkey', () => {
  it('opens with the PRF output that made it and with no other', async () => {
    const output = randomBytes(32)
    const seal = await sealWithPasskey(secret, randomBytes(16), randomBytes(32), output)
    expect(await openWithPasskey(seal, output)).toEqual(secret)
    await expect(openWithPasskey(seal, randomBytes(32))).rejects.toBeInstanceOf(WrongKeyError)
    await expect(openWithPassphrase(seal, 'anything at all')).rejects.toBeInstanceOf(WrongKeyError)
  })

  it('is bound to its credential', async () => {
    const output = randomBytes(32)
    const seal = await sealWithPasskey(secret, randomBytes(16), randomBytes(32), output)
    const moved = { ...seal, credentialId: toBase64url(randomBytes(16)) } as Seal
    await expect(openWithPasskey(moved, output)).rejects.toBeInstanceOf(WrongKeyError)
  })
})
