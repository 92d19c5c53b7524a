/** Links to requests for a presentation (OpenID4VP 1.0 §5.10): whose request it is, and where it lies. */

export interface PresentLink {
  clientId: string
  requestUri: string
  post: boolean
}

/** Reads the query of `#/present?client_id=…&request_uri=…`. */
export function readPresentLink(query: URLSearchParams): PresentLink | undefined {
  const [clientId, requestUri] = [query.get('client_id') ?? '', query.get('request_uri') ?? '']
  const method = query.get('request_uri_method') ?? 'get'
  if (!clientId || clientId.length > 2100 || !isWebAddress(requestUri) || !['get', 'post'].includes(method)) return undefined
  return { clientId, requestUri, post: method === 'post' }
}

export function isWebAddress(text: string): boolean {
  try {
    return text.length <= 2000 && ['https:', 'http:'].includes(new URL(text).protocol)
  } catch {
    return false
  }
}
