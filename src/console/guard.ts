import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'

/** The header of every request of a page. A page of another site could send it only with leave, which nobody is given. */
export const KEY_HEADER = 'warren-console'

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  // What other hosts say is text. With these no page can make HTML of a text, even by mistake.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'"
].join('; ')

/** The headers of every answer. */
export const SECURITY_HEADERS: OutgoingHttpHeaders = Object.freeze({
  'content-security-policy': POLICY,
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  // Not "no-referrer": with it some browsers name no origin in a change.
  'referrer-policy': 'same-origin',
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()'
})

/** What is looked at before anything else is. */
export interface RequestFacts {
  readonly method: string
  readonly isApi: boolean
  readonly headers: IncomingHttpHeaders
  /** All headers as they came, to find those that came twice. */
  readonly rawHeaders: readonly string[]
}

/**
 * Why a request is refused before its session is looked at; undefined if it is not.
 *
 * `Host` must name this server: a name of another site that leads to 127.0.0.1 (DNS rebinding) is refused. `Origin`, which browsers
 * send with every change and every question of another site, must be this one; so must `Sec-Fetch-Site`, for data.
 */
export function whyRefused({ method, isApi, headers, rawHeaders }: RequestFacts, port: number): string | undefined {
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`]
  const { host = '', origin } = headers
  if (countOf(rawHeaders, 'host') !== 1 || !hosts.includes(host)) return 'the host of the request is another'
  const isChange = method !== 'GET' && method !== 'HEAD'
  if (origin === undefined ? isChange : origin !== `http://${host}`) return 'the request comes from another site'
  const site = headers['sec-fetch-site']
  if (isApi && site !== undefined && site !== 'same-origin') return 'the request comes from another site'
  if (isApi && headers[KEY_HEADER] === undefined) return `the request has no header "${KEY_HEADER}"`
  return undefined
}

/** Browsers keep the cookies of all ports of 127.0.0.1 together: hence the port in the name. */
export function cookieName(port: number): string {
  return `warren-console-${port}`
}

/** The value of the cookie of this console; undefined if there is none, or more than one. */
export function cookieOf(header: string | undefined, port: number): string | undefined {
  const name = cookieName(port)
  const values = (header ?? '').split(';').flatMap(pair => {
    const [key, value] = pair.trim().split('=')
    return key === name && value !== undefined ? [value] : []
  })
  return values.length === 1 ? values[0] : undefined
}

export function setCookie(port: number, value: string, maxAgeMs: number): string {
  const maxAge = Math.floor(maxAgeMs / 1_000)
  return `${cookieName(port)}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAge}`
}

function countOf(rawHeaders: readonly string[], name: string): number {
  return rawHeaders.filter((text, at) => at % 2 === 0 && text.toLowerCase() === name).length
}
