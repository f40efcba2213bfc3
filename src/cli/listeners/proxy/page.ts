import { clauseWithHint, printable } from '../../output/index.ts'
import { codesOf } from './codes.ts'

/** An answer of the proxy itself. */
export interface Page {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const STYLE = 'body{font:16px/1.5 sans-serif;margin:3em auto;max-width:50em;padding:0 1em}pre{overflow:auto}'
const POLICY = `default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'`
const MAX_DETAIL = 400
const NOT_FOUND = 404

/** The refusal of a request, with the checks of `warren explain` where there are any; HTML for a browser, else text. */
export function refusalPage(err: unknown, checks: string | undefined, wantsHtml: boolean): Page {
  const { http, status: type } = codesOf(err)
  const reason = printable(clauseWithHint(err))
  const page = textPage(http, checks === undefined ? `warren: ${reason}` : `warren: ${reason}\n\n${checks}`, wantsHtml)
  const details = reason
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, MAX_DETAIL)
    .replace(/["\\]/g, '\\$&')
  return { ...page, headers: { ...page.headers, 'Proxy-Status': `warren; error=${type}; details="${details}"` } }
}

/** What somebody gets who takes the proxy for a site. */
export function helpPage(bound: string, wantsHtml: boolean): Page {
  const [curl, browser] = bound.startsWith('unix:')
    ? [`--proxy socks5h://localhost${bound.slice('unix:'.length)}`, 'a browser needs a proxy at a port']
    : [`--proxy http://${bound}`, `a browser: http://${bound}/proxy.pac is its automatic proxy configuration`]
  const text = `This is a proxy, and not a site. It leads to names of the mesh:

  curl ${curl} http://dev.web.site.default.warren/
  ${browser}`
  return textPage(NOT_FOUND, text, wantsHtml)
}

/** Tells a browser to come here for names of the mesh, and for nothing else. */
export function pacPage(bound: string): Page {
  const body = `function FindProxyForURL(url, host) {
  return dnsDomainIs(host, '.warren') ? 'PROXY ${bound}; SOCKS5 ${bound}' : 'DIRECT'
}
`
  return { status: 200, headers: headersOf('application/x-ns-proxy-autoconfig', body), body }
}

function textPage(status: number, text: string, wantsHtml: boolean): Page {
  if (!wantsHtml) return { status, headers: headersOf('text/plain; charset=utf-8', `${text}\n`), body: `${text}\n` }
  const body = `<!doctype html><meta charset="utf-8"><title>warren</title><style>${STYLE}</style><pre>${escaped(text)}</pre>\n`
  return { status, headers: headersOf('text/html; charset=utf-8', body), body }
}

function headersOf(type: string, body: string): Record<string, string> {
  return {
    'Content-Type': type,
    'Content-Length': String(Buffer.byteLength(body)),
    'Content-Security-Policy': POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store'
  }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
