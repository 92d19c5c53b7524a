/** A person's records: fetched, opened and checked on this device. */
import type { VaultCalls } from './api'
import { stateProof, statusList } from './api'
import { openSealed } from './age'
import { fromUtf8 } from './bytes'
import type { DrawerNote, Ledger, Names, Organisation, Vault } from './core'
import { openFramed, statusListId, verifyCredential } from './core'
import { loadSealed, saveSealed } from './database'
import type { Person } from './index-blob'
import { type Registry, STALE_AFTER_MS, credentialKeysAt, mayIssue, signsWith } from './registry'

const FETCHES_AT_ONCE = 6

/** Every check by name: true, or the reason why it does not hold. */
export type Checks = Record<'depositor' | 'issuer' | 'accredited' | 'status' | 'holder', true | string>

export interface OpenRecord {
  id: string
  drawer: string
  category: string
  recordType: string
  dateMs: number
  claims: Record<string, unknown>
  /** As it was signed, and where its status is published. */
  credential: string
  statusUri: string | null
  issuerId: string
  issuerName: Names
  checks: Checks
  revoked: boolean
  /** Bound to the wrong person: whoever holds a copy must drop it. */
  recalled: boolean
  /** The record that took this one's place, where there is one. */
  replacedBy?: string
  replaces: string | null
}

/** A record that is there but does not open, with the reason. */
export interface BrokenRecord {
  id: string
  category: string
  reason: string
}

/** A drawer whose chain of receipts does not hold, with the reason. */
export interface BrokenDrawer {
  category: string
  reason: string
}

export interface PersonRecords {
  records: OpenRecord[]
  broken: BrokenRecord[]
  brokenDrawers: BrokenDrawer[]
  /** How far the chains of receipts go now, by drawer. */
  seen: Person['seen']
}

export interface Surroundings {
  ledger: Ledger
  registry: Registry
  host: Organisation
  vault: Vault
  calls: VaultCalls
}

/** Fetches and opens all records of a person. */
export async function openRecords(person: Person, around: Surroundings): Promise<PersonRecords> {
  const result: PersonRecords = { records: [], broken: [], brokenDrawers: [], seen: { ...person.seen } }
  const wanted: { drawer: DrawerNote; deposit: Deposit }[] = []
  for (const drawer of person.drawers) {
    const list = await around.calls.drawer(drawer.id)
    try {
      const checked = await around.ledger.drawer(
        around.host.keys.filter((key) => key.use === 'sign').map((key) => key.public),
        drawer.id,
        list,
        person.seen[drawer.id] ?? NOTHING_SEEN,
      )
      result.seen[drawer.id] = { count: checked.count, head: checked.head }
      wanted.push(...checked.deposits.map((deposit) => ({ drawer, deposit })))
    } catch (error) {
      result.brokenDrawers.push({ category: drawer.category, reason: reasonOf(error) })
    }
  }
  const queue = wanted.values()
  await Promise.all(
    Array.from({ length: FETCHES_AT_ONCE }, async () => {
      for (const { drawer, deposit } of queue) {
        try {
          result.records.push(await openRecord(drawer, deposit, around))
        } catch (error) {
          if (isNetwork(error)) throw error
          result.broken.push({ id: deposit.record, category: drawer.category, reason: reasonOf(error) })
        }
      }
    }),
  )
  markReplaced(result.records)
  result.records.sort((a, b) => b.dateMs - a.dateMs || (a.id < b.id ? -1 : 1))
  return result
}

interface Deposit {
  record: string
  receivedMs: number
  digest: string
}

const NOTHING_SEEN = { count: 0, head: '0'.repeat(64) }

async function openRecord(drawer: DrawerNote, deposit: Deposit, around: Surroundings): Promise<OpenRecord> {
  const { ledger, registry, vault } = around
  const { says, file } = await fetched(drawer, deposit, around)
  if (says.drawer !== drawer.id || says.record !== deposit.record || says.vault !== vault.id) {
    throw new Error('the record is not the one that was asked for')
  }
  const plaintext = await openSealed(file, vault.drawerSecret(drawer.id))
  const { manifest, part } = await openFramed(plaintext, says)
  plaintext.fill(0)
  if (manifest.parts[0]?.mediaType !== 'application/dc+sd-jwt') throw new Error('the record holds no credential')
  const credential = fromUtf8(part(0) ?? new Uint8Array())

  const issuer = await registry.organisation(says.depositor)
  if (!issuer) throw new Error('whoever made this record is not in the register')
  const at = deposit.receivedMs
  const verified = await verifyCredential(credential, credentialKeysAt(issuer, at), Date.now())
  const status = await statusOf(verified.status, issuer, ledger, registry.ledgers)
  return {
    id: says.record,
    drawer: drawer.id,
    category: drawer.category,
    recordType: manifest.recordType,
    dateMs: says.dateMs,
    claims: verified.claims,
    credential,
    statusUri: verified.status?.uri ?? null,
    issuerId: issuer.id,
    issuerName: issuer.name,
    revoked: status === 1,
    recalled: status === 3,
    replaces: manifest.replaces,
    checks: {
      depositor: signsWith(issuer, says.signer, at) || 'the depositor has no such key',
      issuer: verified.issuer === issuer.did || `issued by ${verified.issuer ?? 'nobody'}, expected ${issuer.did}`,
      accredited: (verified.vct.includes(`:${manifest.recordType}:`) && mayIssue(issuer, manifest.recordType, at)) || 'not accredited then',
      status: status === 0 || (typeof status === 'string' ? status : `status ${status}`),
      holder: (verified.holder === vault.holderKey(issuer.id) && says.holder === verified.holder) || 'bound to another key',
    },
  }

  async function fetched(note: DrawerNote, wanted: Deposit, { calls }: Surroundings) {
    const kept = await loadSealed(wanted.record)
    if (kept) {
      const read = await ledger.sealedRecord(kept).catch(() => undefined)
      if (read?.says.digest === wanted.digest) return read
    }
    const bytes = await calls.record(note.id, wanted.record)
    const read = await ledger.sealedRecord(bytes)
    if (read.says.digest !== wanted.digest) throw new Error('the host sent another deposit than its receipt names')
    await saveSealed(wanted.record, bytes)
    return read
  }
}

/** The issuer puts a list on the ledger a moment before it serves it: so often is it asked for again, after so long. */
const STATUS_ATTEMPTS = 3
const STATUS_PAUSE_MS = 500

/** The status now, by the newest list on the ledger; or the reason why it is not known. */
async function statusOf(status: { uri: string; index: number } | null, issuer: Organisation, ledger: Ledger, ledgers: string[]): Promise<number | string> {
  if (!status) return 'the issuer keeps no status for it'
  for (let attempt = 1; ; attempt += 1) {
    try {
      const proof = await stateProof(ledgers, `status-lists/${issuer.id}/${await statusListId(status.uri)}`)
      const token = await statusList(status.uri)
      const found = ledger.credentialStatus(proof, issuer.id, credentialKeysAt(issuer, Date.now()), token, status, Date.now())
      if (Date.now() - found.timeMs > STALE_AFTER_MS) return 'the newest header of the ledger is too old'
      return found.status
    } catch (error) {
      if (attempt === STATUS_ATTEMPTS || !reasonOf(error).startsWith('status_list_')) return reasonOf(error)
      await new Promise((wait) => setTimeout(wait, STATUS_PAUSE_MS))
    }
  }
}

function markReplaced(records: OpenRecord[]): void {
  const byId = new Map(records.map((record) => [record.id, record]))
  for (const record of records) {
    const old = record.replaces ? byId.get(record.replaces) : undefined
    if (old && old.issuerId === record.issuerId) old.replacedBy = record.id
  }
}

export function isGood(record: OpenRecord): boolean {
  return Object.values(record.checks).every((check) => check === true)
}

function isNetwork(error: unknown): boolean {
  return error instanceof Error && 'status' in error && (error.status === 0 || error.status === 503)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

