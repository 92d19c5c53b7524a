/**
 * How the wallet's root secret lies on this device: AES-256-GCM under a key that comes either from a passkey's PRF
 * output or from a passphrase. The head (everything but the ciphertext) is authenticated with it.
 *
 * Passphrase: PBKDF2-HMAC-SHA-256 with 1,000,000 rounds. It is the one password hash that browsers run natively, so it
 * adds nothing to the download and takes under a second on a phone; a memory-hard one in JavaScript would be slower for
 * the owner than for a thief with a graphics card. The rounds stand in the head, so they can grow.
 */
import { type Bytes, fromBase64url, randomBytes, toBase64url, utf8 } from './bytes'

export const PASSPHRASE_ROUNDS = 1_000_000
const PASSPHRASE_ROUNDS_MIN = 600_000
const PASSPHRASE_ROUNDS_MAX = 10_000_000
/** Characters, after trimming and Unicode normalisation. */
export const PASSPHRASE_LENGTH_MIN = 10

interface SealHead {
  version: 1
  /** base64url, 12 bytes */
  nonce: string
}
interface PassphraseHead extends SealHead {
  kind: 'passphrase'
  rounds: number
  /** base64url, 16 bytes */
  salt: string
}
interface PasskeyHead extends SealHead {
  kind: 'passkey'
  /** base64url */
  credentialId: string
  /** base64url, 32 bytes: the PRF's input */
  prfSalt: string
}
/** The sealed root secret, as it is stored. */
export type Seal = (PassphraseHead | PasskeyHead) & { ciphertext: string }

/** The passphrase or passkey does not open this seal, or the seal was altered. */
export class WrongKeyError extends Error {
  constructor() {
    super('the seal does not open with this key')
  }
}

export async function sealWithPassphrase(secret: Bytes, passphrase: string): Promise<Seal> {
  const head: PassphraseHead = {
    version: 1,
    kind: 'passphrase',
    rounds: PASSPHRASE_ROUNDS,
    salt: toBase64url(randomBytes(16)),
    nonce: toBase64url(randomBytes(12)),
  }
  return sealUnder(await passphraseKey(head, passphrase), head, secret)
}

/** `prfOutput`: 32 bytes that the passkey returned for `prfSalt`. */
export async function sealWithPasskey(
  secret: Bytes,
  credentialId: Uint8Array,
  prfSalt: Uint8Array,
  prfOutput: Bytes,
): Promise<Seal> {
  const head: PasskeyHead = {
    version: 1,
    kind: 'passkey',
    credentialId: toBase64url(credentialId),
    prfSalt: toBase64url(prfSalt),
    nonce: toBase64url(randomBytes(12)),
  }
  return sealUnder(await passkeyKey(prfOutput), head, secret)
}

/** @throws WrongKeyError */
export async function openWithPassphrase(seal: Seal, passphrase: string): Promise<Bytes> {
  if (seal.kind !== 'passphrase' || seal.rounds < PASSPHRASE_ROUNDS_MIN || seal.rounds > PASSPHRASE_ROUNDS_MAX) {
    throw new WrongKeyError()
  }
  return openUnder(await passphraseKey(seal, passphrase), seal)
}

/** @throws WrongKeyError */
export async function openWithPasskey(seal: Seal, prfOutput: Bytes): Promise<Bytes> {
  if (seal.kind !== 'passkey') throw new WrongKeyError()
  return openUnder(await passkeyKey(prfOutput), seal)
}

async function passphraseKey(head: PassphraseHead, passphrase: string): Promise<CryptoKey> {
  const password = await crypto.subtle.importKey('raw', utf8(normalised(passphrase)), 'PBKDF2', false, ['deriveKey'])
  return crypto.subtle.deriveKey(
    { name: 'PBKDF2', hash: 'SHA-256', salt: fromBase64url(head.salt), iterations: head.rounds },
    password,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

async function passkeyKey(prfOutput: Bytes): Promise<CryptoKey> {
  const input = await crypto.subtle.importKey('raw', prfOutput, 'HKDF', false, ['deriveKey'])
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: utf8('tegata/wallet-seal/v1') },
    input,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

async function sealUnder(key: CryptoKey, head: PassphraseHead | PasskeyHead, secret: Bytes): Promise<Seal> {
  const parameters = { name: 'AES-GCM', iv: fromBase64url(head.nonce), additionalData: authenticated(head) }
  const ciphertext = await crypto.subtle.encrypt(parameters, key, secret)
  return { ...head, ciphertext: toBase64url(new Uint8Array(ciphertext)) }
}

async function openUnder(key: CryptoKey, seal: Seal): Promise<Bytes> {
  try {
    const parameters = { name: 'AES-GCM', iv: fromBase64url(seal.nonce), additionalData: authenticated(seal) }
    return new Uint8Array(await crypto.subtle.decrypt(parameters, key, fromBase64url(seal.ciphertext)))
  } catch {
    throw new WrongKeyError()
  }
}

/** The head in one fixed form: sorted members, without the ciphertext. */
function authenticated(head: object): Bytes {
  const members = Object.entries(head).filter(([name]) => name !== 'ciphertext')
  return utf8(JSON.stringify(members.sort(([a], [b]) => (a < b ? -1 : 1))))
}

/** One person's keyboard writes full-width letters where another's writes half-width: both must open the seal. */
function normalised(passphrase: string): string {
  return passphrase.normalize('NFKC').trim()
}

export function passphraseLength(passphrase: string): number {
  return [...normalised(passphrase)].length
}
