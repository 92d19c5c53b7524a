/** Calls to the services (`specs/API.md`). Answers are bytes or JSON; nothing here believes them: `core.ts` checks. */
import { type Bytes, fromBase64url, randomBytes, sha256, toBase64url, utf8 } from './bytes'
import type { Names, Vault } from './core'

const TIMEOUT_MS = 20_000
const ANSWER_MAX_BYTES = 80 * 1024 * 1024

/** A service answered with problem details (RFC 9457), or did not answer (`status` 0). */
export class ServiceError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(`${status} ${code}: ${detail}`)
  }
}

/** What the wallet is told by its own origin: the ledger that it trusts, and hosts to choose from. */
export interface Configuration {
  genesis: Bytes
  hosts: { name: Names; url: string }[]
}

export async function configuration(): Promise<Configuration> {
  const answer = await call('GET', new URL('config.json', document.baseURI).href)
  const read = (await answer.json()) as { genesis: string; hosts: { name: Names; url: string }[] }
  return { genesis: fromBase64url(read.genesis), hosts: read.hosts }
}

/** What a host says of itself. */
export interface HostSays {
  organisation: string
  chain: string
  ledgers: string[]
}

export async function hostSays(hostUrl: string): Promise<HostSays> {
  return (await (await call('GET', `${hostUrl}/v1/host`)).json()) as HostSays
}

/** A state proof about an organisation from the first ledger node that answers. */
export function organisationProof(ledgers: string[], id: string): Promise<Bytes> {
  return stateProof(ledgers, `organisations/${id}`)
}

/** A proof of what the ledger has under a key of its state, or that it has nothing: `status-lists/…`, `over-askings/…`, `erasures/…`. */
export async function stateProof(ledgers: string[], path: string): Promise<Bytes> {
  let failure: unknown
  for (const ledger of ledgers) {
    try {
      return await bytesOf(await call('GET', `${ledger}/v1/state/${path}`))
    } catch (error) {
      failure = error
    }
  }
  throw failure ?? new ServiceError(0, 'no-ledger', 'the host names no ledger node')
}

/** How long nodes may be behind the one that made an entry final. */
const BEHIND_MS = 5_000
const AGAIN_MS = 100

/** A state proof in which something stands. A node may be a block behind the one that made it final: all are asked, for a while. */
export async function standingProof(ledgers: string[], path: string, stands: (proof: Bytes) => boolean): Promise<Bytes> {
  const until = Date.now() + BEHIND_MS
  for (;;) {
    let failure: unknown
    for (const ledger of ledgers) {
      try {
        const proof = await stateProof([ledger], path)
        if (stands(proof)) return proof
      } catch (error) {
        failure = error
      }
    }
    if (Date.now() >= until) throw failure ?? new ServiceError(0, 'behind', `no ledger node has ${path} yet`)
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}

/** A consent request, signed. `id` comes from a link. */
export async function consentRequest(verifierUrl: string, id: string): Promise<Bytes> {
  return bytesOf(await call('GET', `${verifierUrl}/v1/requests/${encodeURIComponent(id)}`))
}

/** Answers a pairing code with an invitation. */
export async function answerPairing(issuerUrl: string, code: string, invitation: Bytes): Promise<void> {
  const body = utf8(JSON.stringify({ code, invitation: toBase64url(invitation) }))
  await call('POST', `${issuerUrl}/v1/pairings/answers`, { body, type: 'application/json' })
}

export async function statusList(uri: string): Promise<string> {
  return (await call('GET', uri)).text()
}

/** The owner's calls to a vault at its host, each signed with the vault's key (RFC 9421). */
export class VaultCalls {
  constructor(
    private readonly hostUrl: string,
    private readonly vault: Vault,
  ) {}

  private get base(): string {
    return `${this.hostUrl}/v1/vaults/${this.vault.id}`
  }

  async open(): Promise<void> {
    await this.signed('PUT', this.base)
  }
  /** The sealed index with its tag; nothing where there is none. */
  async index(): Promise<{ bytes: Bytes; tag: string } | undefined> {
    try {
      const answer = await this.signed('GET', `${this.base}/index`)
      return { bytes: await bytesOf(answer), tag: answer.headers.get('etag') ?? '' }
    } catch (error) {
      if (error instanceof ServiceError && error.status === 404) return undefined
      throw error
    }
  }
  /** Writes the sealed index where it is still the one with `tag` (none: where there is none). 412 where it changed. */
  async writeIndex(bytes: Bytes, tag: string | undefined): Promise<string> {
    const condition: Record<string, string> = tag ? { 'if-match': tag } : { 'if-none-match': '*' }
    const answer = await this.signed('PUT', `${this.base}/index`, { body: bytes, type: 'application/octet-stream' }, condition)
    return answer.headers.get('etag') ?? ''
  }
  async openDrawer(id: string, drawer: Bytes): Promise<void> {
    await this.signed('PUT', `${this.base}/drawers/${id}`, { body: drawer, type: 'application/cbor' })
  }
  async drawer(id: string): Promise<Bytes> {
    return bytesOf(await this.signed('GET', `${this.base}/drawers/${id}`))
  }
  async record(drawer: string, record: string): Promise<Bytes> {
    return bytesOf(await this.signed('GET', `${this.base}/drawers/${drawer}/records/${record}`))
  }
  /** The receipt. */
  async grant(submission: Bytes): Promise<Bytes> {
    return bytesOf(await this.signed('POST', `${this.base}/grants`, { body: submission, type: 'application/cbor' }))
  }
  /** The receipt. */
  async revoke(entry: Bytes): Promise<Bytes> {
    return bytesOf(await this.signed('POST', `${this.base}/revocations`, { body: entry, type: 'application/cbor' }))
  }
  /** The receipt. */
  async reportOverAsking(entry: Bytes): Promise<Bytes> {
    return bytesOf(await this.signed('POST', `${this.base}/over-askings`, { body: entry, type: 'application/cbor' }))
  }
  /** The page of a grant's history that begins after `from` accesses. */
  async history(grant: string, from: number): Promise<Bytes> {
    return bytesOf(await this.signed('GET', `${this.base}/grants/${grant}${from ? `?from=${from}` : ''}`))
  }
  async export(): Promise<Bytes> {
    return bytesOf(await this.signed('GET', `${this.base}/export`))
  }

  private async signed(method: string, url: string, content?: Content, headers: Record<string, string> = {}): Promise<Response> {
    const digest = content ? await contentDigest(content.body) : undefined
    const { input, signature } = this.vault.signRequest(method, url, digest, Math.floor(Date.now() / 1000), toBase64url(randomBytes(16)))
    return call(method, url, content, {
      ...headers,
      ...(digest ? { 'content-digest': digest } : {}),
      'signature-input': input,
      signature: `sig=:${base64(signature)}:`,
    })
  }
}

interface Content {
  body: Bytes
  type: string
}

/** `Content-Digest` of RFC 9530. */
export async function contentDigest(body: Bytes): Promise<string> {
  return `sha-256=:${base64(await sha256(body))}:`
}

/** @throws ServiceError */
async function call(method: string, url: string, content?: Content, headers: Record<string, string> = {}): Promise<Response> {
  let answer: Response
  try {
    answer = await fetch(url, {
      method,
      headers: content ? { ...headers, 'content-type': content.type } : headers,
      body: content?.body ?? null,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    })
  } catch (error) {
    throw new ServiceError(0, 'network', error instanceof Error ? error.message : String(error))
  }
  if (!answer.ok) throw await problem(answer)
  if (Number(answer.headers.get('content-length') ?? 0) > ANSWER_MAX_BYTES) {
    throw new ServiceError(answer.status, 'too-large', 'the answer is longer than any that this wallet reads')
  }
  return answer
}

async function problem(answer: Response): Promise<ServiceError> {
  let read: { code?: unknown; detail?: unknown; title?: unknown } = {}
  try {
    read = (await answer.json()) as typeof read
  } catch {
    // Not problem details: a proxy's page, say. The status is all there is to tell.
  }
  const text = (value: unknown) => (typeof value === 'string' ? value.slice(0, 300) : '')
  return new ServiceError(answer.status, text(read.code) || String(answer.status), text(read.detail) || text(read.title))
}

async function bytesOf(answer: Response): Promise<Bytes> {
  const bytes = new Uint8Array(await answer.arrayBuffer())
  if (bytes.length > ANSWER_MAX_BYTES) throw new ServiceError(answer.status, 'too-large', 'the answer is too long')
  return bytes
}

/** Standard base64 with padding, as structured fields (RFC 9651) have it. */
function base64(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}
