import { ErrorCode, formatHostPort, isLoopback, WarrenError } from '../core/index.ts'

/** Files that prove who is at the other end of TLS, and who this host is there. Absolute paths. */
export interface TlsFiles {
  /** Certificates of the authorities that may have signed the certificate of the receiver. @default the public ones */
  readonly ca?: string
  /** Certificate of this host for the receiver, and its key. */
  readonly cert?: string
  readonly key?: string
}

/** Where the audit log is pushed to. */
export type AuditTarget = {
  /** Scheme, host and port: for people. Paths and queries may hold secrets. */
  readonly name: string
  /** The whole address, without the names of files: what makes it another receiver. */
  readonly identity: string
} & (
  | { readonly kind: 'syslog'; readonly host: string; readonly port: number; readonly tls: TlsFiles | undefined }
  | { readonly kind: 'datagrams'; readonly host: string; readonly port: number }
  | { readonly kind: 'journal'; readonly path: string }
  | {
      readonly kind: 'webhook' | 'otlp'
      readonly url: URL
      readonly tls: TlsFiles | undefined
      /** File of the bearer token. */
      readonly token?: string
    }
)

/** Receivers of one host. */
export const MAX_AUDIT_TARGETS = 4

/** Where journald accepts lines, as of `systemd-cat`. */
const JOURNAL_PATH = '/run/systemd/journal/stdout'
const MAX_LENGTH = 2_048
const FORMS =
  'Write syslog+tls://HOST, syslog+tcp://HOST, syslog+udp://HOST, https://HOST/PATH, otlp+https://HOST:PORT, otlp+http://HOST:PORT or journald:.'

const SYSLOG_PORTS: Readonly<Record<string, number>> = {
  'syslog+tcp:': 514,
  'syslog+udp:': 514,
  'syslog+tls:': 6_514
}
const HTTP_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }
const TLS_KEYS = ['ca', 'cert', 'key']

/** Reads the values of `--audit-push`. Throws INVALID_ARGUMENT, without what may be secret. */
export function parseAuditTargets(texts: readonly string[]): readonly AuditTarget[] {
  if (texts.length > MAX_AUDIT_TARGETS) throw refusal(`more than ${MAX_AUDIT_TARGETS} receivers`, 'Remove some.')
  const targets = texts.map(text => parseAuditTarget(text))
  if (new Set(targets.map(({ identity }) => identity)).size === targets.length) return targets
  throw refusal('one receiver is named twice', 'Name each receiver once.')
}

/** A collector of OTLP. */
export type OtlpTarget = Extract<AuditTarget, { readonly kind: 'webhook' | 'otlp' }>

/** Reads `--otlp`: `http://HOST:PORT` or `https://HOST:PORT`, with files behind `#`. Throws INVALID_ARGUMENT. */
export function parseTraceTarget(text: string): OtlpTarget {
  try {
    const target = parseAuditTarget(`otlp+${text.replace(/^otlp\+/, '')}`, '/v1/traces')
    if (target.kind === 'otlp') return target
  } catch (err) {
    const { code, reason, hint } = WarrenError.from(err)
    if (hint !== FORMS) throw new WarrenError(code, reason.replace('--audit-push', '--otlp'), { ...(hint && { hint }) })
  }
  throw new WarrenError(ErrorCode.InvalidArgument, '--otlp: the value is not the address of a collector', {
    hint: 'Write it as http://127.0.0.1:4318 or https://otlp.example.org:4318#token=/etc/warren/otlp.token'
  })
}

function parseAuditTarget(text: string, otlpPath = '/v1/logs'): AuditTarget {
  if (text === 'journald:') return { kind: 'journal', name: text, identity: text, path: JOURNAL_PATH }
  const scheme = /^[a-z+]+:(?=\/\/)/.exec(text)?.[0] ?? ''
  const url = URL.parse(text.replace(/^[a-z+]+:/, scheme.endsWith('s:') ? 'https:' : 'http:'))
  if (scheme === '' || url === null || url.hostname === '' || text.length > MAX_LENGTH) {
    throw refusal('the value is not an address of a receiver', FORMS)
  }
  if (url.username !== '' || url.password !== '') {
    throw refusal(
      'an address must not contain a password: all users of this host can read the command line',
      'Write the token into a file, and name it behind the address: #token=/etc/warren/collector.token'
    )
  }
  const files = filesIn(url)
  url.hash = ''
  if (scheme in SYSLOG_PORTS) return syslogTarget(scheme, text, url, files)
  const kind = scheme.startsWith('otlp+') ? 'otlp' : 'webhook'
  const isKnown = scheme === 'https:' || scheme === 'otlp+https:' || scheme === 'otlp+http:'
  if (!isKnown) throw refusal(`"${scheme}//" is not a kind of receiver`, FORMS)
  const tls = url.protocol === 'https:' ? tlsFiles(files) : undefined
  refuseOthers(files, scheme, tls === undefined ? ['token'] : ['token', ...TLS_KEYS])
  const [host, token] = [hostOf(url), files.get('token')]
  if (token !== undefined && tls === undefined && !isLoopback(host)) {
    throw refusal('a token must not leave this host without encryption', `Use ${scheme.replace('http:', 'https:')}//.`)
  }
  if (kind === 'otlp' && !url.pathname.endsWith(otlpPath)) {
    url.pathname = `${url.pathname.replace(/\/$/, '')}${otlpPath}`
  }
  const port = Number(url.port) || HTTP_PORTS[url.protocol] || 0
  const name = `${scheme}//${formatHostPort({ host, port })}`
  const identity = `${scheme}${url.href.slice(url.protocol.length)}`
  return { kind, name, identity, url, tls, ...(token === undefined ? {} : { token }) }
}

function syslogTarget(scheme: string, text: string, url: URL, files: ReadonlyMap<string, string>): AuditTarget {
  if (url.pathname !== '/' || url.search !== '') throw refusal('an address of syslog has no path', FORMS)
  // The parser of addresses removes the port of HTTP, which somebody may have written here.
  const written = /^[^#/]*:\/\/(?:\[[^\]]*\]|[^#/:[\]]*):(\d+)/.exec(text)?.[1]
  const port = written === undefined ? (SYSLOG_PORTS[scheme] ?? 0) : Number(written)
  const host = hostOf(url)
  const name = `${scheme}//${formatHostPort({ host, port })}`
  const at = { name, identity: name, host, port }
  refuseOthers(files, scheme, scheme === 'syslog+tls:' ? TLS_KEYS : [])
  if (scheme === 'syslog+udp:') return { kind: 'datagrams', ...at }
  return { kind: 'syslog', ...at, tls: scheme === 'syslog+tls:' ? tlsFiles(files) : undefined }
}

/** What stands behind `#` never leaves this host: the names of files. */
function filesIn(url: URL): ReadonlyMap<string, string> {
  const files = new Map(new URLSearchParams(url.hash.slice(1)))
  for (const [key, path] of files) {
    if (path.startsWith('/')) continue
    throw refusal(
      `behind "#", ${key.slice(0, 40)} is not an absolute path`,
      'Write it as #ca=/etc/warren/log.pem&token=/etc/warren/log.token'
    )
  }
  return files
}

function refuseOthers(files: ReadonlyMap<string, string>, scheme: string, known: readonly string[]): void {
  const other = [...files.keys()].find(key => !known.includes(key))
  if (other === undefined) return
  const list = known.length === 0 ? 'Nothing can stand behind # there.' : `Behind # there can be: ${known.join(', ')}.`
  throw refusal(`"${other.slice(0, 40)}" has no meaning for ${scheme}//`, list)
}

function tlsFiles(files: ReadonlyMap<string, string>): TlsFiles {
  if (files.has('cert') !== files.has('key')) throw refusal('a certificate needs its key', 'Give both, cert and key.')
  return Object.fromEntries([...files].filter(([key]) => TLS_KEYS.includes(key)))
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}

function refusal(what: string, hint: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `--audit-push: ${what}`, { hint })
}
