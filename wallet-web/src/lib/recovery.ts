/**
 * The recovery kit: the root secret and the vault host's address as text for paper.
 *
 * Payload: version 1, 32 bytes of secret, the address in UTF-8, and the first four bytes of SHA-256 of all that. Written
 * in Crockford's base 32 (no I, L, O, U) in lines of 16 characters and a seventeenth that checks its line, so that a
 * slip of the pen is found in its line.
 */
import { type Bytes, concat, fromUtf8, sha256, utf8 } from './bytes'

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const LINE_LENGTH = 16
const ADDRESS_LENGTH_MAX = 200

export interface RecoveryKit {
  secret: Bytes
  hostUrl: string
}

export type RecoveryProblem = { kind: 'line'; line: number } | { kind: 'length' } | { kind: 'checksum' } | { kind: 'version' }

/** The text is not a recovery kit; `problem` says where to look. */
export class RecoveryError extends Error {
  constructor(readonly problem: RecoveryProblem) {
    super(`not a recovery kit: ${problem.kind}`)
  }
}

/** Lines of five groups, for example `04HK 9Q2M …`. */
export async function writeKit(kit: RecoveryKit): Promise<string[]> {
  const body = concat(new Uint8Array([1]), kit.secret, utf8(kit.hostUrl))
  const digits = toBase32(concat(body, (await sha256(body)).subarray(0, 4)))
  const lines: string[] = []
  for (let start = 0; start < digits.length; start += LINE_LENGTH) {
    const line = digits.slice(start, start + LINE_LENGTH)
    lines.push([...(line.match(/.{1,4}/g) ?? []), checkOf(line, lines.length)].join(' '))
  }
  return lines
}

/** @throws RecoveryError */
export async function readKit(text: string): Promise<RecoveryKit> {
  const characters = normalised(text)
  if (characters.length > 1000) throw new RecoveryError({ kind: 'length' })
  let digits = ''
  for (let start = 0, number = 0; start < characters.length; start += LINE_LENGTH + 1, number += 1) {
    const line = characters.slice(start, start + LINE_LENGTH + 1)
    const data = line.slice(0, -1)
    if (!data || [...line].some((c) => !ALPHABET.includes(c)) || checkOf(data, number) !== line.at(-1)) {
      throw new RecoveryError({ kind: 'line', line: number + 1 })
    }
    digits += data
  }
  const bytes = fromBase32(digits)
  if (bytes.length < 1 + 32 + 8 + 4 || bytes.length > 1 + 32 + ADDRESS_LENGTH_MAX + 4) throw new RecoveryError({ kind: 'length' })
  const body = bytes.slice(0, -4)
  const checksum = (await sha256(body)).subarray(0, 4)
  if (!checksum.every((byte, i) => byte === bytes[body.length + i])) throw new RecoveryError({ kind: 'checksum' })
  if (body[0] !== 1) throw new RecoveryError({ kind: 'version' })
  return { secret: body.slice(1, 33), hostUrl: readAddress(body.subarray(33)) }
}

function readAddress(bytes: Uint8Array): string {
  try {
    const url = new URL(fromUtf8(bytes))
    if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new TypeError('not a web address')
    return url.href.replace(/\/$/, '')
  } catch {
    throw new RecoveryError({ kind: 'checksum' })
  }
}

/** What people write for what is printed: small letters, full width, O for 0, I and L for 1, any separators. */
function normalised(text: string): string {
  return text
    .normalize('NFKC')
    .toUpperCase()
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1')
    .replace(/[^0-9A-Z]/g, '')
}

/** Weighted sum with odd weights modulo 32: finds every wrong character, and nearly every swap of neighbours and lines. */
function checkOf(line: string, number: number): string {
  let sum = number * 5 + 7
  for (let i = 0; i < line.length; i += 1) sum += ALPHABET.indexOf(line.charAt(i)) * (2 * i + 1)
  return ALPHABET.charAt(((sum % 32) + 32) % 32)
}

function toBase32(bytes: Uint8Array): string {
  let out = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      out += ALPHABET.charAt((buffer >> bits) & 31)
    }
  }
  return bits > 0 ? out + ALPHABET.charAt((buffer << (5 - bits)) & 31) : out
}

function fromBase32(text: string): Bytes {
  const out = new Uint8Array(Math.floor((text.length * 5) / 8))
  let buffer = 0
  let bits = 0
  let length = 0
  for (const character of text) {
    buffer = ((buffer << 5) | ALPHABET.indexOf(character)) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      out[length++] = (buffer >> bits) & 0xff
    }
  }
  return out
}
