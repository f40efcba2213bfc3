/** The page that the address names behind "#". */
export interface Route {
  /** As in "map" or "host". */
  readonly page: string
  /** As in the name of a host. */
  readonly subject: string
  readonly query: URLSearchParams
}

/** Reads "#/host/a?x=y". */
export function routeOf(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const [page = '', subject = ''] = path.split('/')
  return { page: page === '' ? 'map' : page, subject: decoded(subject), query: new URLSearchParams(query) }
}

/** The address of a page. */
export function linkTo(page: string, subject = '', query: Readonly<Record<string, string>> = {}): string {
  const path = subject === '' ? page : `${page}/${encodeURIComponent(subject)}`
  const rest = new URLSearchParams(query).toString()
  return `#/${path}${rest === '' ? '' : `?${rest}`}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
