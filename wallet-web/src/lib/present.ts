/**
 * A record shown now, to somebody who asks over OpenID4VP: the signed request, checked with the registry; what could be shown;
 * and the response, with the consent that the ledger has for exactly this request.
 */
import { organisationProof } from './api'
import type { Bytes } from './bytes'
import { type Ledger, type Organisation, PresentationRequest, presentationAsker } from './core'
import { randomId } from './index-blob'
import { type PresentLink, isWebAddress } from './present-link'
import { type OpenRecord, isGood } from './records'
import { type Registry, asksTooMuch, mayAsk, urlOf } from './registry'

const TIMEOUT_MS = 20_000
const REQUEST_MAX_BYTES = 128 * 1024
const REQUEST_TYPE = 'application/oauth-authz-req+jwt'

/** A signed request that asks for too much, and how the ledger names it. */
export interface Evidence {
  bytes: Bytes
  digest: string
}

/** What somebody who asks was found to be. */
export interface CheckedPresentation {
  request: PresentationRequest
  recipient: Organisation
  /** Whether the registry lets the recipient ask for this. */
  accredited: boolean
  /** Where it is for more than the recipient is accredited for: what a report embeds, or null where it cannot be reported. */
  evidence: Evidence | null | undefined
  expired: boolean
}

/** One record that answers one query, and the claims of it that would be shown. */
export interface Choice {
  query: string
  record: OpenRecord
  shows: string[]
}

/** The request is malformed, altered, or signed by another than the one who asks. The text is for the browser's log. */
export class PresentError extends Error {}

/** Fetches a request and checks who signed it and whether they may ask for this. */
export async function readPresentation(link: PresentLink, ledger: Ledger, registry: Registry): Promise<CheckedPresentation> {
  const nonce = link.post ? randomId(16) : undefined
  const text = await requestObject(link, nonce)
  const asker = await presentationAsker(text)
  if (asker.chain !== ledger.chain) throw new PresentError('the request is for another ledger')
  const recipient = await registry.organisation(asker.organisation)
  if (!recipient) throw new PresentError('whoever asks is not in the register')
  const proof = await organisationProof(registry.ledgers, asker.organisation)
  const now = Date.now()
  const request = ledger.presentationRequest(proof, text, link.clientId, nonce, now)
  const { purpose, categories, retentionDays, untilMs, responseUri, evidence } = request.says
  const home = urlOf(recipient, 'verifier')
  if (!home || !responseUri.startsWith(`${home}/`)) throw new PresentError('the response would go elsewhere than to the one who asks')
  const reportable = evidence === null ? null : { bytes: request.bytes, digest: evidence }
  return {
    request,
    recipient,
    accredited: mayAsk(recipient, purpose, categories, retentionDays, now),
    evidence: asksTooMuch(recipient, purpose, categories, retentionDays) ? reportable : undefined,
    expired: now >= untilMs,
  }
}

/**
 * What must be shown, of each group one. An empty group cannot be answered. Only records that hold, and the newest version of
 * each, are offered.
 */
export function groupsOf(request: PresentationRequest, records: OpenRecord[]): Choice[][] {
  const good = records.filter((record) => isGood(record) && !record.replacedBy)
  const choicesOf = (query: string): Choice[] =>
    good.flatMap((record) => {
      const shows = request.shows(query, record.credential)
      return shows ? [{ query, record, shows }] : []
    })
  const { queries, sets } = request.says
  if (!sets) return queries.map((query) => choicesOf(query.id))
  // An option that takes several records at once is left out: each group is one record.
  return sets.map((options) => options.flatMap((option) => (option.length === 1 && option[0] ? choicesOf(option[0]) : [])))
}

/** Sends a response or a refusal; gives where the browser goes on, where that is elsewhere. */
export async function sendResponse(uri: string, form: string): Promise<string | undefined> {
  const answer = await fetch(uri, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form,
    credentials: 'omit',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const body = (await answer.json().catch(() => ({}))) as { redirect_uri?: unknown; code?: unknown }
  if (!answer.ok) throw new PresentError(`the response was not accepted: ${String(body.code)}`)
  const next = body.redirect_uri
  return typeof next === 'string' && isWebAddress(next) ? next : undefined
}

async function requestObject(link: PresentLink, nonce: string | undefined): Promise<string> {
  const form = nonce === undefined ? undefined : new URLSearchParams({ wallet_nonce: nonce, wallet_metadata: WALLET_METADATA })
  const answer = await fetch(link.requestUri, {
    method: form ? 'POST' : 'GET',
    headers: { accept: REQUEST_TYPE },
    ...(form ? { body: form } : {}),
    credentials: 'omit',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (!answer.ok) throw new PresentError(`the request is not to be had: ${answer.status}`)
  const text = await answer.text()
  if (text.length > REQUEST_MAX_BYTES) throw new PresentError('the request is too long')
  return text
}

const WALLET_METADATA = JSON.stringify({
  vp_formats_supported: { 'dc+sd-jwt': { 'sd-jwt_alg_values': ['ES256', 'EdDSA'], 'kb-jwt_alg_values': ['EdDSA'] } },
  client_id_prefixes_supported: ['x509_hash', 'decentralized_identifier'],
  request_object_signing_alg_values_supported: ['ES256', 'EdDSA'],
})
