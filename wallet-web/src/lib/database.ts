/** What lies on this device: the sealed root secret, the encrypted wallet index, and what was learnt about hosts' heads. */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import type { Seal } from './seal'

interface Schema extends DBSchema {
  /** Single values by name. */
  kept: { key: 'seal' | 'index'; value: unknown }
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

export async function loadIndex(): Promise<Uint8Array | undefined> {
  return (await (await database()).get('kept', 'index')) as Uint8Array | undefined
}

export async function saveIndex(index: Uint8Array): Promise<void> {
  await (await database()).put('kept', index, 'index')
}

/** Removes everything from this device. */
export async function eraseDevice(): Promise<void> {
  const db = await database()
  await Promise.all([db.clear('kept'), db.clear('sealed')])
}
