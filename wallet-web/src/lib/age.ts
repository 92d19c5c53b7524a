/** Opening a sealed record: age v1 with npm `age-encryption`, loaded when the first record is opened. */
import { type Bytes, concat, fromHex } from './bytes'

/** Head of an X25519 private key in PKCS #8 (RFC 8410 section 7). */
const PKCS8_X25519 = fromHex('302e020100300506032b656e04220420')

/** Opens with the private half of a drawer key as a WebCrypto key that cannot be exported. Wipes `drawerSecret`. */
export async function openSealed(file: Bytes, drawerSecret: Bytes): Promise<Bytes> {
  const pkcs8 = concat(PKCS8_X25519, drawerSecret)
  try {
    const [{ Decrypter }, identity] = await Promise.all([
      import('age-encryption'),
      crypto.subtle.importKey('pkcs8', pkcs8, { name: 'X25519' }, false, ['deriveBits']),
    ])
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity)
    return new Uint8Array(await decrypter.decrypt(file))
  } finally {
    pkcs8.fill(0)
    drawerSecret.fill(0)
  }
}
