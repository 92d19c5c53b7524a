/** What people scan or paste: links whose fragment names a pairing code or a consent request (`specs/API.md`). */

import { readPresentLink } from './present-link'

export type Link =
  | { kind: 'pair'; issuer: string; code: string }
  | { kind: 'request'; from: string; id: string }
  | { kind: 'present'; query: string }

const ORGANISATION = /^[0-9a-f]{64}$/
const TOKEN = /^[A-Za-z0-9_-]{8,128}$/

/** Reads a link, a fragment (`#/pair?…`) or nothing of the kind. */
export function readLink(text: string): Link | undefined {
  const cleaned = text.normalize('NFKC').trim()
  if (cleaned.length > 2000) return undefined
  // A link for any wallet (OpenID4VP): what is behind the question mark is the same as in ours.
  const any = /^(?:openid4vp|haip-vp):\/\/[^?]*\?(.*)$/.exec(cleaned)?.[1]
  if (any !== undefined) return presentation(any)
  const at = cleaned.indexOf('#/')
  if (at < 0) return undefined
  const [path, query] = cleaned.slice(at + 2).split('?', 2)
  const values = new URLSearchParams(query ?? '')
  if (path === 'pair') {
    const [issuer, code] = [values.get('issuer') ?? '', values.get('code') ?? '']
    return ORGANISATION.test(issuer) && TOKEN.test(code) ? { kind: 'pair', issuer, code } : undefined
  }
  if (path === 'request') {
    const [from, id] = [values.get('from') ?? '', values.get('id') ?? '']
    return ORGANISATION.test(from) && TOKEN.test(id) ? { kind: 'request', from, id } : undefined
  }
  return path === 'present' ? presentation(query ?? '') : undefined
}

function presentation(query: string): Link | undefined {
  return readPresentLink(new URLSearchParams(query)) ? { kind: 'present', query } : undefined
}

/** The page of this wallet for a link. */
export function pageOf(link: Link): string {
  switch (link.kind) {
    case 'pair':
      return `/pair?issuer=${link.issuer}&code=${link.code}`
    case 'request':
      return `/request?from=${link.from}&id=${link.id}`
    case 'present':
      return `/present?${link.query}`
  }
}
