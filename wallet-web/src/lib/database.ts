/** What lies on this device: the sealed root secret, the encrypted wallet index, and what was learnt about hosts' heads. */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import type { Seal } from './seal'

interface Schema extends DBSchema {
  /** Single values by name. */
  kept: { key: 'seal' | 'index' | 'host'; value: unknown }
  /** Opened nothing, sealed everything: ciphertexts of records by record id, so that they open without a network. */
  sealed: { key: string; value: unknown }
}

let opened: Promise<IDBPDatabase<Schema>> | undefined

function database(): Promise<IDBPDatabase<Schema>> {
  opened ??= openDB<Schema>('tegata', 1, {
    upgrade(db) {
      db.createObjectStore('kept')
      db.createObjectStore('sealed')
    },
  })
  return opened
}

export async function loadSeal(): Promise<Seal | undefined> {
  return (await (await database()).get('kept', 'seal')) as Seal | undefined
}

export async function saveSeal(seal: Seal): Promise<void> {
  await (await database()).put('kept', seal, 'seal')
}

export async function loadIndex(): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return (await (await database()).get('kept', 'index')) as Uint8Array<ArrayBuffer> | undefined
}

export async function saveIndex(index: Uint8Array): Promise<void> {
  await (await database()).put('kept', index, 'index')
}

/** Base URL of the host where the vault lies. */
export async function loadHost(): Promise<string | undefined> {
  return (await (await database()).get('kept', 'host')) as string | undefined
}

export async function saveHost(url: string): Promise<void> {
  await (await database()).put('kept', url, 'host')
}

/** The ciphertext of a record with its papers, as the host sent it. */
export async function loadSealed(record: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return (await (await database()).get('sealed', record)) as Uint8Array<ArrayBuffer> | undefined
}

export async function saveSealed(record: string, sealed: Uint8Array): Promise<void> {
  await (await database()).put('sealed', sealed, record)
}

/** Removes everything from this device. */
export async function eraseDevice(): Promise<void> {
  const db = await database()
  await Promise.all([db.clear('kept'), db.clear('sealed')])
}
