/**
 * Pages by the fragment of the address: `#/sharing/abc?x=1`. The fragment never reaches a server, so a consent request
 * or a pairing code in a link stays on the device.
 */
export interface Route {
  /** Parts of the path, decoded; none for home. */
  parts: string[]
  query: URLSearchParams
}

class Router {
  route: Route = $state(parse(globalThis.location?.hash ?? ''))
  /** The pairing code or consent request with which somebody came here, for after the first start. */
  private entry = globalThis.location?.hash.match(/^#(\/(?:pair|present|request)\?.*)$/)?.[1]

  constructor() {
    globalThis.addEventListener?.('hashchange', () => {
      this.route = parse(location.hash)
    })
  }

  go(path: string): void {
    location.hash = `#${path}`
  }

  /** Goes to what somebody came for, once; else home. */
  goOn(): void {
    this.replace(this.entry ?? '/')
    this.entry = undefined
  }

  /** Goes to a page that takes the place of this one in the browser's history. */
  replace(path: string): void {
    history.replaceState(null, '', `#${path}`)
    this.route = parse(location.hash)
  }
}

export function parse(hash: string): Route {
  const text = hash.replace(/^#/, '')
  const [path = '', query = ''] = splitOnce(text, '?')
  const parts = path.split('/').filter(Boolean).map(decoded)
  return { parts, query: new URLSearchParams(query) }
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export const router = new Router()
