/**
 * The wallet's index: everything but the root secret, sealed under a key of the root vault and kept on this device and at the
 * host. With the recovery kit it brings everything back.
 *
 * Sealed form: version byte 1, nonce of 12 bytes, AES-256-GCM of the JSON text padded with spaces to a multiple of 4096
 * bytes, so that the host does not see how many children and grants there are. The vault id is authenticated with it.
 */
import { type Bytes, concat, fromUtf8, randomBytes, toHex, utf8 } from './bytes'
import type { DrawerNote, Names } from './core'

const PADDING_BYTES = 4096
const VERSION = 1

export interface Connection {
  organisation: string
  name: Names
  recordTypes: string[]
  connectedMs: number
}

/** A grant, noted before it is sent: without its nonce nobody could revoke it. */
export interface GrantNote {
  id: string
  /** 16 bytes in hexadecimal, from which the grant's key derives. */
  nonce: string
  recipient: string
  name: Names
  categories: string[]
  purpose: string
  untilMs: number
  usesMax: number | null
  reference: string
  notedMs: number
  /** Whether a receipt has shown it to be on the ledger. */
  final: boolean
  revokedMs?: number
  /** When it was used to show records, and they were accepted. It was for that one time. */
  shownMs?: number
}

export interface Person {
  id: string
  name: string
  /** `2026-04-01` */
  birthDate: string
  /** The vault's secret, base64url. */
  secret: string
  drawers: DrawerNote[]
  connections: Connection[]
  grants: GrantNote[]
  /** How far each drawer's chain of receipts was seen: the host can never show less again. */
  seen: Record<string, { count: number; head: string }>
}

export interface WalletIndex {
  version: 1
  kitDone: boolean
  people: Person[]
}

export class IndexError extends Error {}

export function emptyIndex(): WalletIndex {
  return { version: 1, kitDone: false, people: [] }
}

export async function sealIndex(index: WalletIndex, secret: Bytes, vaultId: string): Promise<Bytes> {
  const text = utf8(JSON.stringify(index))
  const padded = new Uint8Array(Math.ceil(text.length / PADDING_BYTES) * PADDING_BYTES).fill(0x20)
  padded.set(text)
  const nonce = randomBytes(12)
  const sealed = await crypto.subtle.encrypt(parameters(nonce, vaultId), await key(secret, 'encrypt'), padded)
  return concat(new Uint8Array([VERSION]), nonce, new Uint8Array(sealed))
}

/** @throws IndexError where it was altered, or sealed with another key or by a newer wallet */
export async function openIndex(sealed: Bytes, secret: Bytes, vaultId: string): Promise<WalletIndex> {
  if (sealed[0] !== VERSION) throw new IndexError('the index was written by another version')
  let padded: ArrayBuffer
  try {
    padded = await crypto.subtle.decrypt(parameters(sealed.slice(1, 13), vaultId), await key(secret, 'decrypt'), sealed.slice(13))
  } catch {
    throw new IndexError('the index does not open: it was altered, or belongs to another wallet')
  }
  return JSON.parse(fromUtf8(new Uint8Array(padded))) as WalletIndex
}

/**
 * Joins what two devices wrote: nobody and nothing that either knows is lost, a revocation and the further-seen head win.
 */
export function mergeIndexes(mine: WalletIndex, theirs: WalletIndex): WalletIndex {
  const people = joined(mine.people, theirs.people, (person) => person.id, (a, b) => ({
    ...a,
    drawers: joined(a.drawers, b.drawers, (drawer) => drawer.id, (drawer) => drawer),
    connections: joined(a.connections, b.connections, (connection) => connection.organisation, (x, y) => (x.connectedMs >= y.connectedMs ? x : y)),
    grants: joined(a.grants, b.grants, (grant) => grant.id, mergeGrants),
    seen: Object.fromEntries(
      [...new Set([...Object.keys(a.seen), ...Object.keys(b.seen)])].map((drawer) => {
        const [x, y] = [a.seen[drawer], b.seen[drawer]]
        return [drawer, x && (!y || x.count >= y.count) ? x : (y as { count: number; head: string })]
      }),
    ),
  }))
  return { version: 1, kitDone: mine.kitDone || theirs.kitDone, people }
}

function mergeGrants(a: GrantNote, b: GrantNote): GrantNote {
  const revokedMs = a.revokedMs ?? b.revokedMs
  const shownMs = a.shownMs ?? b.shownMs
  return { ...a, final: a.final || b.final, ...(revokedMs === undefined ? {} : { revokedMs }), ...(shownMs === undefined ? {} : { shownMs }) }
}

function joined<T>(mine: T[], theirs: T[], id: (item: T) => string, both: (a: T, b: T) => T): T[] {
  const others = new Map(theirs.map((item) => [id(item), item]))
  const out = mine.map((item) => {
    const other = others.get(id(item))
    others.delete(id(item))
    return other ? both(item, other) : item
  })
  return [...out, ...others.values()]
}

function key(secret: Bytes, use: 'encrypt' | 'decrypt'): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', secret, 'AES-GCM', false, [use])
}

function parameters(nonce: Bytes, vaultId: string): AesGcmParams {
  return { name: 'AES-GCM', iv: nonce, additionalData: utf8(`tegata/v1/wallet-index/${vaultId}`) }
}

/** A random identifier of `length` bytes in hexadecimal. */
export function randomId(length: number): string {
  return toHex(randomBytes(length))
}
