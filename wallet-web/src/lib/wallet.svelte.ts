/** The wallet's state and what a person can do with it. Secrets live here only while it is open, and are wiped when it locks. */
import { ServiceError, VaultCalls, answerPairing, configuration, consentRequest, hostSays, standingProof, stateProof } from './api'
import { type Bytes, concat, fromBase64url, randomBytes, toBase64url } from './bytes'
import { type ConsentRequest, type GrantState, Ledger, type Organisation, type Reading, Vault, statusListId } from './core'
import { eraseDevice, loadHost, loadIndex, loadSeal, saveHost, saveIndex, saveSeal } from './database'
import { type GrantNote, type Person, type WalletIndex, emptyIndex, mergeIndexes, openIndex, randomId, sealIndex } from './index-blob'
import { type CheckedPresentation, type Choice, type Evidence, readPresentation, sendResponse } from './present'
import type { PresentLink } from './present-link'
import { type PersonRecords, openRecords } from './records'
import { type RecoveryKit } from './recovery'
import { Registry, STALE_AFTER_MS, asksTooMuch, mayAsk, mayIssue, sealKeyOf, signsWith, urlOf } from './registry'
import type { Seal } from './seal'

/** An entry may wait this long for its block, in milliseconds (the ledger allows ten minutes). */
const NOT_AFTER_MS = 5 * 60_000
/** How long an issuer may deposit under one invitation, in milliseconds. */
const INVITATION_MS = 10 * 365 * 86_400_000
/** A hidden wallet locks after this time, in milliseconds. */
const LOCK_AFTER_MS = 5 * 60_000
const WRITES_MAX = 5

/** The sealing of a new root secret: under a passkey or a passphrase. */
export type Sealer = (secret: Bytes) => Promise<Seal>

/** What somebody who asks was found to be. */
export interface CheckedRequest {
  bytes: Bytes
  says: ConsentRequest
  recipient: Organisation
  /** Whether the registry lets the recipient ask for this. */
  accredited: boolean
  /** Whether it is for more than the recipient is accredited for: that may be reported. */
  tooMuch: boolean
  expired: boolean
}

/** Who read what and when under a grant, complete by proof. */
export interface CheckedHistory {
  grant: GrantState
  readings: Reading[]
  checkedMs: number
}

export type RecordsState =
  | { state: 'loading' }
  | { state: 'loaded'; records: PersonRecords }
  | { state: 'failed'; error: unknown; records?: PersonRecords }

/** Something that an answer proves to be wrong; its text is for the log of the browser, not for people. */
export class ProofError extends Error {}

class Wallet {
  phase: 'loading' | 'none' | 'locked' | 'open' = $state('loading')
  seal: Seal | undefined = $state.raw()
  index: WalletIndex = $state.raw(emptyIndex())
  hostUrl = $state('')
  personId = $state('')
  records: Record<string, RecordsState> = $state.raw({})

  private root: Vault | undefined
  private rootSecret: Bytes | undefined
  private readonly vaults = new Map<string, Vault>()
  private tag: string | undefined
  private surroundings: Promise<{ ledger: Ledger; registry: Registry; host: Organisation }> | undefined
  private hiddenMs = 0

  get people(): Person[] {
    return this.index.people
  }
  get person(): Person | undefined {
    return this.index.people.find((person) => person.id === this.personId) ?? this.index.people[0]
  }

  /** What lies on this device. */
  async load(): Promise<void> {
    this.seal = await loadSeal()
    this.hostUrl = (await loadHost()) ?? ''
    this.phase = this.seal ? 'locked' : 'none'
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.hiddenMs = Date.now()
      else if (this.phase === 'open' && Date.now() - this.hiddenMs > LOCK_AFTER_MS) this.lock()
    })
  }

  /** Makes a new vault at a host. Nothing stays on the device where the host does not answer. */
  async create(hostUrl: string, sealer: Sealer): Promise<void> {
    const secret = randomBytes(32)
    const seal = await sealer(secret)
    const root = await Vault.open(secret)
    const index = emptyIndex()
    const calls = new VaultCalls(hostUrl, root)
    await calls.open()
    const sealed = await sealedIndex(index, root)
    this.tag = await calls.writeIndex(sealed, undefined)
    await this.keep(seal, hostUrl, sealed)
    this.become(secret, root, index)
  }

  /** Brings everything back from a recovery kit, and seals the secret anew on this device. */
  async restore(kit: RecoveryKit, sealer: Sealer): Promise<'restored' | 'nothing there'> {
    const root = await Vault.open(kit.secret)
    const found = await new VaultCalls(kit.hostUrl, root).index()
    if (!found) {
      root.free()
      return 'nothing there'
    }
    const index = await openedIndex(found.bytes, root)
    const seal = await sealer(kit.secret)
    this.lock()
    this.tag = found.tag
    await this.keep(seal, kit.hostUrl, found.bytes)
    this.become(kit.secret.slice(), root, { ...index, kitDone: true })
    return 'restored'
  }

  /** Opens with the root secret that the seal gave; this takes it over. */
  async unlock(secret: Bytes): Promise<void> {
    const root = await Vault.open(secret)
    const kept = await loadIndex()
    this.become(secret, root, kept ? await openedIndex(kept, root) : emptyIndex())
    // The other device may have written meanwhile; without a network the kept index serves.
    void this.refreshIndex().catch(() => undefined)
  }

  lock(): void {
    for (const vault of [this.root, ...this.vaults.values()]) vault?.free()
    this.rootSecret?.fill(0)
    this.vaults.clear()
    this.root = undefined
    this.rootSecret = undefined
    this.surroundings = undefined
    this.tag = undefined
    this.index = emptyIndex()
    this.records = {}
    if (this.phase === 'open') this.phase = 'locked'
  }

  async erase(): Promise<void> {
    await eraseDevice()
    this.lock()
    this.seal = undefined
    this.phase = 'none'
  }

  /** For the recovery kit: the caller wipes the copy. */
  kit(): RecoveryKit {
    if (!this.rootSecret) throw new ProofError('the wallet is locked')
    return { secret: this.rootSecret.slice(), hostUrl: this.hostUrl }
  }

  async kitDone(): Promise<void> {
    await this.change((index) => ({ ...index, kitDone: true }))
  }

  async addPerson(name: string, birthDate: string, categories: string[]): Promise<void> {
    const person: Person = {
      id: randomId(8),
      name,
      birthDate,
      secret: toBase64url(randomBytes(32)),
      drawers: categories.map((category) => ({ id: randomId(16), category, epoch: 1 })),
      connections: [],
      grants: [],
      seen: {},
    }
    // Noted first: a vault whose secret nobody has would be lost.
    await this.change((index) => ({ ...index, people: [...index.people, person] }))
    this.personId = person.id
    await this.openAtHost(person)
  }

  async loadRecords(person: Person): Promise<void> {
    const before = this.records[person.id]
    const kept = before?.state === 'loading' ? undefined : before?.records
    if (!kept) this.setRecords(person.id, { state: 'loading' })
    try {
      const { ledger, registry, host } = await this.around()
      const vault = await this.vaultOf(person)
      const calls = new VaultCalls(this.hostUrl, vault)
      const open = () => openRecords(person, { ledger, registry, host, vault, calls })
      const records = await open().catch(async (error: unknown) => {
        if (!(error instanceof ServiceError && error.status === 404)) throw error
        // The wallet was stopped between noting the person and opening the vault.
        await this.openAtHost(person)
        return open()
      })
      this.setRecords(person.id, { state: 'loaded', records })
      await this.noteSeen(person, records.seen)
    } catch (error) {
      this.setRecords(person.id, { state: 'failed', error, ...(kept ? { records: kept } : {}) })
    }
  }

  /** An organisation with proof; null where the ledger has none. */
  async organisation(id: string): Promise<Organisation | null> {
    if (!/^[0-9a-f]{64}$/.test(id)) return null
    return (await this.around()).registry.organisation(id)
  }

  /** Record types that an issuer may put in now. */
  issuedBy(organisation: Organisation): string[] {
    const types = organisation.issues.map((issues) => issues.recordType)
    return [...new Set(types)].filter((type) => mayIssue(organisation, type, Date.now()))
  }

  /** Answers a pairing code with an invitation to these categories. */
  async connect(person: Person, issuer: Organisation, code: string, recordTypes: string[], categories: string[]): Promise<void> {
    const url = urlOf(issuer, 'issuer')
    if (!url) throw new ProofError('the organisation has no issuer service')
    const { ledger, host } = await this.around()
    const drawers = await this.drawersFor(person, categories)
    const vault = await this.vaultOf(person)
    const invitation = vault.invitation({
      chain: ledger.chain,
      host: host.id,
      depositor: issuer.id,
      pairingCode: code,
      drawers,
      recordTypes,
      expiresMs: Date.now() + INVITATION_MS,
    })
    await answerPairing(url, code, invitation)
    const connection = { organisation: issuer.id, name: issuer.name, recordTypes, connectedMs: Date.now() }
    await this.changePerson(person.id, (now) => ({
      ...now,
      connections: [...now.connections.filter((other) => other.organisation !== issuer.id), connection],
    }))
  }

  /** Fetches a consent request and checks signature, asker and accreditation. Throws where it is malformed or altered. */
  async readRequest(from: string, id: string): Promise<CheckedRequest | null> {
    const { ledger } = await this.around()
    const recipient = await this.organisation(from)
    const url = recipient && urlOf(recipient, 'verifier')
    if (!recipient || !url) return null
    const bytes = await consentRequest(url, id)
    const says = ledger.request(bytes)
    const now = Date.now()
    if (says.recipient !== recipient.id || !signsWith(recipient, says.signer, now)) {
      throw new ProofError('the request is signed by another than the one who asks')
    }
    const accredited = mayAsk(recipient, says.purpose, says.categories, says.retentionDays, now)
    const tooMuch = asksTooMuch(recipient, says.purpose, says.categories, says.retentionDays)
    return { bytes, says, recipient, accredited, tooMuch, expired: now >= says.expiresMs || now >= says.untilMs }
  }

  /** Puts a request that asks for too much on the ledger, with its signature as evidence. Once is enough, whoever does it. */
  async report(person: Person, evidence: Evidence): Promise<void> {
    const { ledger, registry, host } = await this.around()
    const entry = ledger.overAsking(evidence.bytes, host.id, Date.now() + NOT_AFTER_MS)
    const calls = new VaultCalls(this.hostUrl, await this.vaultOf(person))
    try {
      const receipt = ledger.receipt(await calls.reportOverAsking(entry))
      if (receipt.refused !== null) throw new ProofError('the receipt is for another entry')
    } catch (error) {
      if (!(error instanceof ServiceError && error.status === 409)) throw error
    }
    // whatever the host answered: the ledger has it
    const { digest } = evidence
    await standingProof(registry.ledgers, `over-askings/${digest}`, (proof) => ledger.overAskingProof(proof, digest).reportedMs !== null)
  }

  /** Grants what a request asks for, or less. The answer is the grant's id, proven to be on the ledger. */
  async grant(person: Person, request: CheckedRequest, categories: string[], untilMs: number): Promise<string> {
    const { ledger, host } = await this.around()
    const sealKey = sealKeyOf(request.recipient, Date.now())
    if (!sealKey) throw new ProofError('the recipient has no key for tickets')
    const drawers = await this.drawersFor(person, categories)
    const vault = await this.vaultOf(person)
    const nonce = randomId(16)
    const now = Date.now()
    const note: GrantNote = {
      id: vault.grantId(nonce),
      nonce,
      recipient: request.recipient.id,
      name: request.recipient.name,
      categories,
      purpose: request.says.purpose,
      untilMs,
      usesMax: request.says.usesMax,
      reference: request.says.reference,
      notedMs: now,
      final: false,
    }
    await this.changePerson(person.id, (it) => ({ ...it, grants: [...it.grants, note] }))
    const papers = vault.grant({
      chain: ledger.chain,
      nonce,
      host: host.id,
      recipient: request.recipient.id,
      recipientSealKey: sealKey,
      purpose: request.says.purpose,
      legalBasis: request.says.legalBasis,
      retentionDays: request.says.retentionDays,
      fromMs: now - 60_000,
      untilMs,
      ...(request.says.usesMax === null ? {} : { usesMax: request.says.usesMax }),
      notAfterMs: now + NOT_AFTER_MS,
      drawers,
      reference: request.says.reference,
      request: toBase64url(request.bytes),
    })
    const receipt = ledger.receipt(await new VaultCalls(this.hostUrl, vault).grant(papers.submission))
    if (receipt.entry !== papers.entryId || receipt.refused !== null) throw new ProofError('the receipt is for another entry')
    await this.changeGrant(person.id, note.id, (grant) => ({ ...grant, final: true }))
    return note.id
  }

  /** Fetches a request for a presentation and checks who signed it. Throws where it is malformed or altered. */
  async readPresentation(link: PresentLink): Promise<CheckedPresentation> {
    const { ledger, registry } = await this.around()
    return readPresentation(link, ledger, registry)
  }

  /**
   * Shows records: grants once, for this very request, and sends the response with the ledger's proofs. Gives where the browser
   * goes on, where that is elsewhere.
   */
  async present(person: Person, asked: CheckedPresentation, choices: Choice[]): Promise<string | undefined> {
    const { ledger, registry, host } = await this.around()
    const vault = await this.vaultOf(person)
    const { says } = asked.request
    const now = Date.now()
    const proof = async (path: string) => toBase64url(await stateProof(registry.ledgers, path))
    const shown = await Promise.all(
      choices.map(async ({ query, record }) => ({
        query,
        credential: record.credential,
        issuer: record.issuerId,
        issuerProof: await proof(`organisations/${record.issuerId}`),
        ...(record.statusUri ? { statusProof: await proof(`status-lists/${record.issuerId}/${await statusListId(record.statusUri)}`) } : {}),
      })),
    )
    const categories = [...new Set(choices.map((choice) => choice.record.category))].sort()
    const nonce = randomId(16)
    const note: GrantNote = {
      id: vault.grantId(nonce),
      nonce,
      recipient: asked.recipient.id,
      name: asked.recipient.name,
      categories,
      purpose: says.purpose,
      untilMs: says.untilMs,
      usesMax: 1,
      reference: '',
      notedMs: now,
      final: false,
    }
    await this.changePerson(person.id, (it) => ({ ...it, grants: [...it.grants, note] }))
    const papers = vault.oneTimeGrant(asked.request, { nonce, host: host.id, categories, fromMs: now - 60_000, notAfterMs: now + NOT_AFTER_MS })
    const receipt = ledger.receipt(await new VaultCalls(this.hostUrl, vault).grant(papers.submission))
    if (receipt.entry !== papers.entryId || receipt.refused !== null) throw new ProofError('the receipt is for another entry')
    await this.changeGrant(person.id, note.id, (grant) => ({ ...grant, final: true }))
    // the consent proof comes last: its age is what the verifier bounds
    const standing = await standingProof(registry.ledgers, `grants/${papers.id}`, (proof) => ledger.grantProof(proof, papers.id).grant !== null)
    const consent = { grant: papers.id, salt: papers.salt, proof: toBase64url(standing) }
    const next = await sendResponse(says.responseUri, vault.present(asked.request, { shown, consent, atMs: Date.now() }))
    // it was shown, whether or not the host takes the note of it
    await this.changeGrant(person.id, note.id, (grant) => ({ ...grant, shownMs: Date.now() })).catch(() => undefined)
    return next
  }

  /** Ends a grant, proven to be on the ledger. */
  async revoke(person: Person, note: GrantNote): Promise<void> {
    const { ledger, host } = await this.around()
    const vault = await this.vaultOf(person)
    const { entry } = vault.revocation(ledger.chain, note.nonce, host.id, Date.now() + NOT_AFTER_MS)
    const receipt = ledger.receipt(await new VaultCalls(this.hostUrl, vault).revoke(entry))
    // an earlier revocation whose answer was lost ends it as well
    if (receipt.revokes !== note.id || receipt.refused !== null) throw new ProofError('the receipt is for another entry')
    await this.changeGrant(person.id, note.id, (grant) => ({ ...grant, final: true, revokedMs: receipt.timeMs }))
  }

  /** Throws where the history is not complete or not proven. */
  async history(person: Person, note: GrantNote, seen: (count: number) => void = () => {}): Promise<CheckedHistory> {
    const { ledger } = await this.around()
    const calls = new VaultCalls(this.hostUrl, await this.vaultOf(person))
    const { state, readings } = await ledger.history(note.id, (from) => calls.history(note.id, from), seen)
    if (Date.now() - state.timeMs > 60_000) throw new ServiceError(503, 'stale', 'the proof is too old')
    const revokedMs = state.grant.revokedMs
    if (!note.final || (revokedMs !== null && note.revokedMs === undefined)) {
      await this.changeGrant(person.id, note.id, (grant) => ({ ...grant, final: true, ...(revokedMs === null ? {} : { revokedMs }) }))
    }
    return { grant: state.grant, readings, checkedMs: state.timeMs }
  }

  /** Of recalled records that were handed out: when the recipient confirmed that it dropped its copy; null where it has not. */
  async erasures(history: CheckedHistory, recalled: Set<string>): Promise<{ record: string; confirmedMs: number | null }[]> {
    const { ledger, registry } = await this.around()
    const confirmed = new Map<string, number | null>()
    for (const reading of history.readings) {
      for (const handed of reading.records ?? []) {
        if (!recalled.has(handed.record) || confirmed.get(handed.record)) continue
        const proof = await stateProof(registry.ledgers, `erasures/${reading.recipient}/${handed.erasure}`)
        const proven = ledger.erasure(proof, reading.recipient, handed.erasure)
        if (Date.now() - proven.timeMs > STALE_AFTER_MS) throw new ServiceError(503, 'stale', 'the proof is too old')
        confirmed.set(handed.record, proven.confirmedMs)
      }
    }
    return [...confirmed].map(([record, confirmedMs]) => ({ record, confirmedMs }))
  }

  /** Everything at the host, sealed, in one file: a CBOR sequence (RFC 8742), one vault after another. */
  async exportFile(): Promise<Bytes> {
    if (!this.root) throw new ProofError('the wallet is locked')
    const vaults = [this.root, ...(await Promise.all(this.people.map((person) => this.vaultOf(person))))]
    return concat(...(await Promise.all(vaults.map((vault) => new VaultCalls(this.hostUrl, vault).export()))))
  }

  private become(secret: Bytes, root: Vault, index: WalletIndex): void {
    this.rootSecret = secret
    this.root = root
    this.index = index
    this.phase = 'open'
  }

  private async keep(seal: Seal, hostUrl: string, sealed: Bytes): Promise<void> {
    await Promise.all([saveSeal(seal), saveHost(hostUrl), saveIndex(sealed)])
    this.seal = seal
    this.hostUrl = hostUrl
  }

  private async vaultOf(person: Person): Promise<Vault> {
    const open = this.vaults.get(person.id)
    if (open) return open
    const secret = fromBase64url(person.secret)
    const vault = await Vault.open(secret)
    secret.fill(0)
    this.vaults.set(person.id, vault)
    return vault
  }

  private async openAtHost(person: Person): Promise<void> {
    const vault = await this.vaultOf(person)
    const calls = new VaultCalls(this.hostUrl, vault)
    await calls.open()
    for (const drawer of person.drawers) await calls.openDrawer(drawer.id, vault.drawer(drawer))
  }

  /** The newest drawers of these categories, opened where there is none yet. */
  private async drawersFor(person: Person, categories: string[]): Promise<Person['drawers']> {
    const missing = categories.filter((category) => !person.drawers.some((drawer) => drawer.category === category))
    const fresh = missing.map((category) => ({ id: randomId(16), category, epoch: 1 }))
    const now = fresh.length > 0 ? await this.changePerson(person.id, (it) => ({ ...it, drawers: [...it.drawers, ...fresh] })) : person
    await this.openAtHost({ ...now, drawers: fresh })
    return now.drawers.filter((drawer) => categories.includes(drawer.category))
  }

  /** The ledger from this wallet's own origin, and the host as the registry has it. */
  private around(): Promise<{ ledger: Ledger; registry: Registry; host: Organisation }> {
    this.surroundings ??= (async () => {
      const [{ genesis }, says] = await Promise.all([configuration(), hostSays(this.hostUrl)])
      const ledger = await Ledger.load(genesis)
      if (says.chain !== ledger.chain) throw new ProofError('the host serves another ledger than this wallet trusts')
      const registry = new Registry(ledger, says.ledgers)
      const host = await registry.organisation(says.organisation)
      if (!host?.roles.includes('host')) throw new ProofError('the host is not in the register')
      return { ledger, registry, host }
    })().catch((error: unknown) => {
      this.surroundings = undefined
      throw error
    })
    return this.surroundings
  }

  private setRecords(id: string, state: RecordsState): void {
    this.records = { ...this.records, [id]: state }
  }

  private async noteSeen(person: Person, seen: Person['seen']): Promise<void> {
    const grown = Object.entries(seen).some(([drawer, now]) => now.count > (person.seen[drawer]?.count ?? 0))
    if (grown) await this.changePerson(person.id, (now) => ({ ...now, seen: { ...now.seen, ...seen } }))
  }

  private async changeGrant(personId: string, id: string, change: (grant: GrantNote) => GrantNote): Promise<void> {
    await this.changePerson(personId, (person) => ({
      ...person,
      grants: person.grants.map((grant) => (grant.id === id ? change(grant) : grant)),
    }))
  }

  private async changePerson(id: string, change: (person: Person) => Person): Promise<Person> {
    await this.change((index) => ({ ...index, people: index.people.map((person) => (person.id === id ? change(person) : person)) }))
    const now = this.people.find((person) => person.id === id)
    if (!now) throw new ProofError('there is no such person')
    return now
  }

  private writing: Promise<void> = Promise.resolve()

  /** Changes the index here and at the host, one change after another. Where the host's changed meanwhile, both are joined. */
  private change(change: (index: WalletIndex) => WalletIndex): Promise<void> {
    return this.inTurn(() => this.write(change(this.index)))
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const next = this.writing.then(work)
    this.writing = next.catch(() => undefined)
    return next
  }

  private async write(index: WalletIndex): Promise<void> {
    const root = this.root
    if (!root) throw new ProofError('the wallet is locked')
    const calls = new VaultCalls(this.hostUrl, root)
    for (let attempt = 0; attempt < WRITES_MAX; attempt += 1) {
      if (this.tag === undefined) {
        const found = await calls.index()
        this.tag = found?.tag
        if (found) index = mergeIndexes(index, await openedIndex(found.bytes, root))
      }
      const sealed = await sealedIndex(index, root)
      try {
        this.tag = await calls.writeIndex(sealed, this.tag)
        await saveIndex(sealed)
        this.index = index
        return
      } catch (error) {
        if (!(error instanceof ServiceError && error.status === 412)) throw error
        this.tag = undefined
      }
    }
    throw new ServiceError(412, 'busy', 'another device keeps writing')
  }

  private refreshIndex(): Promise<void> {
    return this.inTurn(async () => {
      const root = this.root
      if (!root) return
      const found = await new VaultCalls(this.hostUrl, root).index()
      if (!found || this.root !== root) return
      this.tag = found.tag
      this.index = mergeIndexes(this.index, await openedIndex(found.bytes, root))
      await saveIndex(await sealedIndex(this.index, root))
    })
  }
}

async function sealedIndex(index: WalletIndex, root: Vault): Promise<Bytes> {
  const secret = root.indexSecret()
  try {
    return await sealIndex(index, secret, root.id)
  } finally {
    secret.fill(0)
  }
}

async function openedIndex(sealed: Bytes, root: Vault): Promise<WalletIndex> {
  const secret = root.indexSecret()
  try {
    return await openIndex(sealed, secret, root.id)
  } finally {
    secret.fill(0)
  }
}

export const wallet = new Wallet()
