/** Passkeys with the PRF extension (WebAuthn Level 3, section 10.1.4): 32 secret bytes that only this passkey gives. */
import { type Bytes, fromBase64url, randomBytes } from './bytes'

/** The device has no passkey with PRF, or the person cancelled. The wallet then offers a passphrase. */
export class PasskeyUnavailableError extends Error {
  readonly cancelled: boolean
  constructor(cause?: unknown) {
    super('no passkey with PRF', { cause })
    this.cancelled = cause instanceof DOMException && cause.name === 'NotAllowedError'
  }
}

export interface NewPasskey {
  credentialId: Bytes
  prfSalt: Bytes
  prfOutput: Bytes
}

interface PrfResults {
  prf?: { enabled?: boolean; results?: { first?: BufferSource } }
}

/** Whether it is worth offering a passkey at all. */
export async function passkeyPossible(): Promise<boolean> {
  if (!('PublicKeyCredential' in globalThis) || !globalThis.isSecureContext) return false
  try {
    return await PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable()
  } catch {
    return false
  }
}

/** @throws PasskeyUnavailableError */
export async function createPasskey(displayName: string): Promise<NewPasskey> {
  const prfSalt = randomBytes(32)
  let created: PublicKeyCredential | null
  try {
    created = (await navigator.credentials.create({
      publicKey: {
        rp: { name: 'Tegata', id: location.hostname },
        user: { id: randomBytes(16), name: displayName, displayName },
        challenge: randomBytes(32),
        pubKeyCredParams: [-8, -7, -257].map((alg) => ({ type: 'public-key', alg })),
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
        extensions: { prf: { eval: { first: prfSalt } } },
      },
    })) as PublicKeyCredential | null
  } catch (error) {
    throw new PasskeyUnavailableError(error)
  }
  if (!created) throw new PasskeyUnavailableError()
  const credentialId = new Uint8Array(created.rawId)
  const results = created.getClientExtensionResults() as PrfResults
  if (!results.prf?.enabled) throw new PasskeyUnavailableError()
  // Some authenticators say at creation only that they can; the output comes with the first use.
  const prfOutput = outputOf(results) ?? (await usePasskeyBytes(credentialId, prfSalt))
  return { credentialId, prfSalt, prfOutput }
}

/** @throws PasskeyUnavailableError */
export async function usePasskey(credentialId: string, prfSalt: string): Promise<Bytes> {
  return usePasskeyBytes(fromBase64url(credentialId), fromBase64url(prfSalt))
}

async function usePasskeyBytes(credentialId: Bytes, prfSalt: Bytes): Promise<Bytes> {
  let used: PublicKeyCredential | null
  try {
    used = (await navigator.credentials.get({
      publicKey: {
        rpId: location.hostname,
        challenge: randomBytes(32),
        allowCredentials: [{ type: 'public-key', id: credentialId }],
        userVerification: 'required',
        extensions: { prf: { eval: { first: prfSalt } } },
      },
    })) as PublicKeyCredential | null
  } catch (error) {
    throw new PasskeyUnavailableError(error)
  }
  const output = used && outputOf(used.getClientExtensionResults() as PrfResults)
  if (!output) throw new PasskeyUnavailableError()
  return output
}

function outputOf(results: PrfResults): Bytes | undefined {
  const first = results.prf?.results?.first
  if (!first) return undefined
  const bytes = ArrayBuffer.isView(first)
    ? new Uint8Array(first.buffer, first.byteOffset, first.byteLength)
    : new Uint8Array(first)
  return bytes.length === 32 ? new Uint8Array(bytes) : undefined
}
