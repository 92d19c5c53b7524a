/**
 * Everything that the pure crates do for the wallet: keys, signatures, proofs. WebAssembly, loaded when first needed.
 * Identifiers are lower-case hexadecimal, times milliseconds since 1970 unless a name says otherwise.
 */
import { type Bytes, fromBase64url } from './bytes'
import type * as Wasm from '../wasm/tegata'

let loaded: Promise<typeof Wasm> | undefined

/** The WebAssembly module. Fails where the file cannot be fetched; the next call tries again. */
export function core(): Promise<typeof Wasm> {
  loaded ??= (async () => {
    const [module, { default: url }] = await Promise.all([import('../wasm/tegata'), import('../wasm/tegata_bg.wasm?url')])
    await module.default({ module_or_path: url })
    return module
  })().catch((error: unknown) => {
    loaded = undefined
    throw error
  })
  return loaded
}

export interface Names {
  ja: string
  en: string
}
export type RoleName = 'issuer' | 'verifier' | 'host' | 'validator' | 'auditor'

interface Span {
  fromMs: number
  untilMs: number | null
}

/** An organisation as the ledger has it, with proof. */
export interface Organisation {
  id: string
  name: Names
  roles: RoleName[]
  services: { role: RoleName; url: string }[]
  did: string
  keys: (Span & { use: 'sign' | 'seal' | 'credential-eddsa' | 'credential-es256'; public: string })[]
  issues: (Span & { recordType: string })[]
  asks: { purpose: string; categories: string[]; retentionMaxDays: number }[]
  suspensions: Span[]
}

/** Something proven in the header of a height. */
export interface Proven {
  height: number
  timeMs: number
}

/** A grant as the ledger has it. */
export interface GrantState {
  recipient: string
  sponsor: string
  categories: string[]
  purpose: string
  legalBasis: string
  retentionDays: number
  fromMs: number
  untilMs: number
  usesMax: number | null
  grantedMs: number
  revokedMs: number | null
  uses: number
  accesses: number
}

/** One access under a grant, allowed (`refused` is null) or refused with the reason's code. */
export interface Reading {
  entry: string
  timeMs: number
  height: number
  recipient: string
  refused: string | null
  /** What the host handed out, where the access's opening came to it. */
  records: { drawer: string; record: string; timeMs: number; erasure: string }[] | null
}

/** A whole history, with the grant's state that proves that it is whole. */
export interface HistoryRead {
  state: Proven & { grant: GrantState }
  readings: Reading[]
}

export interface ConsentRequest {
  signer: string
  digest: string
  recipient: string
  categories: string[]
  purpose: string
  legalBasis: string
  retentionDays: number
  untilMs: number
  usesMax: number | null
  reference: string
  expiresMs: number
}

export interface ReceiptSays extends Proven {
  entry: string
  refused: string | null
  /** The grant that the entry ends. */
  revokes: string | null
}

export interface DrawerNote {
  id: string
  category: string
  epoch: number
}

export interface GrantInput {
  chain: string
  nonce: string
  host: string
  recipient: string
  recipientSealKey: string
  purpose: string
  legalBasis: string
  retentionDays: number
  fromMs: number
  untilMs: number
  usesMax?: number
  notAfterMs: number
  drawers: DrawerNote[]
  reference: string
  request?: string
}

export interface InvitationInput {
  chain: string
  host: string
  depositor: string
  pairingCode: string
  drawers: DrawerNote[]
  recordTypes: string[]
  expiresMs: number
}

export interface DepositSays {
  depositor: string
  signer: string
  drawer: string
  record: string
  dateMs: number
  digest: string
  vault: string
  holder: string
  recordTypes: string[]
}

export interface DrawerDeposits {
  count: number
  head: string
  deposits: { record: string; depositor: string; signer: string; dateMs: number; receivedMs: number; length: number; digest: string }[]
}

export interface Manifest {
  drawer: string
  record: string
  dateMs: number
  depositor: string
  recordType: string
  parts: { mediaType: string; length: number; name: string | null }[]
  replaces: string | null
}

export interface VerifiedCredential {
  issuer: string | null
  vct: string
  claims: Record<string, unknown>
  issuedAtS: number | null
  expiresAtS: number | null
  holder: string | null
  status: { uri: string; index: number } | null
}

/** The ledger that this wallet trusts: everything it says was checked against the genesis. */
export class Ledger {
  private constructor(private readonly inner: Wasm.Ledger) {}

  static async load(genesis: Bytes): Promise<Ledger> {
    return new Ledger(new (await core()).Ledger(genesis))
  }

  get chain(): string {
    return this.inner.chain
  }
  organisation(proof: Bytes, id: string): Proven & { organisation: Organisation | null } {
    return JSON.parse(this.inner.organisation(proof, id)) as Proven & { organisation: Organisation | null }
  }
  receipt(receipt: Bytes): ReceiptSays {
    return JSON.parse(this.inner.receipt(receipt)) as ReceiptSays
  }
  /**
   * Reads a grant's history of whatever length, oldest first, page by page: `next` fetches the page that begins after so many
   * accesses. Throws where anything is not proven, or the end is not what the last page's proof says.
   */
  async history(grant: string, next: (from: number) => Promise<Bytes>, seen: (count: number) => void): Promise<HistoryRead> {
    const reader = this.inner.history(grant)
    try {
      const readings: Reading[] = []
      for (;;) {
        const page = JSON.parse(reader.page(await next(reader.count))) as HistoryRead & { complete: boolean }
        readings.push(...page.readings)
        if (page.complete) return { state: page.state, readings }
        seen(reader.count)
      }
    } finally {
      reader.free()
    }
  }
  /** Checks a presentation's request: signed by the organisation that `proof` proves, for the client that the link names. */
  presentationRequest(proof: Bytes, request: string, clientId: string, walletNonce: string | undefined, atMs: number): PresentationRequest {
    return new PresentationRequest(this.inner.presentationRequest(proof, request, clientId, walletNonce, atMs))
  }
  request(request: Bytes): ConsentRequest {
    return JSON.parse(this.inner.request(request)) as ConsentRequest
  }
  /** An entry that reports a request (for consent, or for a presentation) as asking for more than its organisation may. */
  overAsking(request: Bytes, sponsor: string, notAfterMs: number): Bytes {
    return this.inner.overAsking(request, sponsor, notAfterMs) as Bytes
  }
  /** When a request was reported; null where nobody did. */
  /** A consent proof: the grant as the ledger has it, null where it has none. */
  grantProof(proof: Bytes, grant: string): Proven & { grant: GrantState | null } {
    return JSON.parse(this.inner.grant(proof, grant)) as Proven & { grant: GrantState | null }
  }

  overAskingProof(proof: Bytes, digest: string): Proven & { reportedMs: number | null } {
    return JSON.parse(this.inner.overAskingProof(proof, digest)) as Proven & { reportedMs: number | null }
  }
  /**
   * 0 is valid, 1 revoked, 2 suspended, 3 recalled: bound to the wrong person. Throws where the list does not hold, or is not the
   * newest that its issuer put on the ledger; then the message begins with the reason code.
   */
  credentialStatus(proof: Bytes, issuer: string, keys: string[], token: string, status: { uri: string; index: number }, atMs: number): Proven & { status: number } {
    const at = Math.floor(atMs / 1000)
    return JSON.parse(this.inner.credentialStatus(proof, issuer, keys.join(','), token, status.uri, status.index, at)) as Proven & { status: number }
  }
  /** When a recipient confirmed that it dropped a recalled record; null where it has not. */
  erasure(proof: Bytes, recipient: string, commitment: string): Proven & { confirmedMs: number | null } {
    return JSON.parse(this.inner.erasure(proof, recipient, commitment)) as Proven & { confirmedMs: number | null }
  }
  async drawer(hostKeys: string[], drawer: string, list: Bytes, seen: { count: number; head: string }): Promise<DrawerDeposits> {
    const { drawerReceipts } = await core()
    return JSON.parse(drawerReceipts(this.chain, hostKeys.join(','), drawer, list, seen.count, seen.head)) as DrawerDeposits
  }
  async sealedRecord(bytes: Bytes): Promise<{ says: DepositSays; file: Bytes }> {
    const papers = (await core()).sealedPapers(this.chain, bytes)
    try {
      return { says: JSON.parse(papers.says) as DepositSays, file: papers.file as Bytes }
    } finally {
      papers.free()
    }
  }
}

/** What a presentation's request says. */
export interface PresentationSays {
  organisation: string
  categories: string[]
  purpose: string
  legalBasis: string
  retentionDays: number
  untilMs: number
  /** Whether the verifier wants a consent on the ledger. */
  needsConsent: boolean
  queries: { id: string; vctValues: string[]; multiple: boolean }[]
  /** Of each set one option, a list of queries, must be answered; null where all queries must be. */
  sets: string[][][] | null
  responseUri: string
  /** Under which it can be reported; null where it is not of the form that is evidence. */
  evidence: string | null
}

/** A request for a presentation that a registered organisation signed. */
export class PresentationRequest {
  readonly says: PresentationSays
  constructor(readonly inner: Wasm.PresentationRequest) {
    this.says = JSON.parse(inner.says) as PresentationSays
  }
  /** The claims of a credential that would be shown for a query; null where it does not answer it. */
  shows(query: string, credential: string): string[] | null {
    return JSON.parse(this.inner.shows(query, credential)) as string[] | null
  }
  /** As it was signed. */
  get bytes(): Bytes {
    return this.inner.bytes as Bytes
  }
  /** The form in which a person says no. */
  denial(): string {
    return this.inner.denial()
  }
}

/** Who says to ask, unverified: whom to look up. */
export async function presentationAsker(request: string): Promise<{ chain: string; organisation: string }> {
  return JSON.parse((await core()).presentationAsker(request)) as { chain: string; organisation: string }
}

export interface OneTimeInput {
  nonce: string
  host: string
  categories: string[]
  fromMs: number
  notAfterMs: number
}

export interface ResponseInput {
  shown: { query: string; credential: string; issuer: string; issuerProof?: string; statusProof?: string }[]
  consent?: { grant: string; salt: string; proof: string }
  atMs: number
}

/** Reads an opened record whose manifest says what its deposit says. */
export async function openFramed(plaintext: Bytes, says: DepositSays): Promise<{ manifest: Manifest; part: (index: number) => Bytes | undefined }> {
  const opened = (await core()).openFramed(plaintext, says.drawer, says.record, says.depositor, says.dateMs)
  try {
    const manifest = JSON.parse(opened.manifest) as Manifest
    const parts = manifest.parts.map((_, index) => opened.part(index) as Bytes | undefined)
    return { manifest, part: (index) => parts[index] }
  } finally {
    opened.free()
  }
}

export async function verifyCredential(credential: string, keys: string[], atMs: number): Promise<VerifiedCredential> {
  return JSON.parse((await core()).verifyCredential(credential, keys.join(','), Math.floor(atMs / 1000))) as VerifiedCredential
}

/** How the ledger names the list under a URI. */
export async function statusListId(uri: string): Promise<string> {
  return (await core()).statusListId(uri)
}

/** Keys of one person's vault. Call `free` when the wallet locks: it wipes the secret. */
export class Vault {
  readonly id: string
  private constructor(private readonly inner: Wasm.Vault) {
    this.id = inner.id
  }

  static async open(secret: Uint8Array): Promise<Vault> {
    return new Vault(new (await core()).Vault(secret))
  }

  free(): void {
    this.inner.free()
  }
  /** Key for the wallet's index; the caller wipes it. */
  indexSecret(): Bytes {
    return this.inner.indexSecret() as Bytes
  }
  /** Private half of a drawer key; the caller wipes it. */
  drawerSecret(drawer: string): Bytes {
    return this.inner.drawerSecret(drawer) as Bytes
  }
  holderKey(issuer: string): string {
    return this.inner.holderKey(issuer)
  }
  grantId(nonce: string): string {
    return this.inner.grantId(nonce)
  }
  drawer(note: DrawerNote): Bytes {
    return this.inner.drawer(note.id, note.category, note.epoch) as Bytes
  }
  invitation(input: InvitationInput): Bytes {
    return this.inner.invitation(JSON.stringify(input)) as Bytes
  }
  grant(input: GrantInput): { id: string; entryId: string; submission: Bytes } {
    const papers = this.inner.grant(JSON.stringify(input))
    try {
      return { id: papers.id, entryId: papers.entryId, submission: papers.submission as Bytes }
    } finally {
      papers.free()
    }
  }
  oneTimeGrant(request: PresentationRequest, input: OneTimeInput): { id: string; entryId: string; salt: string; submission: Bytes } {
    const papers = this.inner.oneTimeGrant(request.inner, JSON.stringify(input))
    try {
      return { id: papers.id, entryId: papers.entryId, salt: papers.salt, submission: papers.submission as Bytes }
    } finally {
      papers.free()
    }
  }
  /** The form that answers a request. */
  present(request: PresentationRequest, input: ResponseInput): string {
    return this.inner.present(request.inner, JSON.stringify(input))
  }
  revocation(chain: string, nonce: string, host: string, notAfterMs: number): { entryId: string; entry: Bytes } {
    const made = JSON.parse(this.inner.revocation(chain, nonce, host, notAfterMs)) as { entryId: string; entry: string }
    return { entryId: made.entryId, entry: fromBase64url(made.entry) }
  }
  signRequest(method: string, target: string, digest: string | undefined, createdS: number, nonce: string): { input: string; signature: Bytes } {
    const signed = JSON.parse(this.inner.signRequest(method, target, digest, createdS, nonce)) as { input: string; signature: string }
    return { input: signed.input, signature: fromBase64url(signed.signature) }
  }
}
