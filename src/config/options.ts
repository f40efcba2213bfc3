import { ErrorCode, type HostPort, parseDuration, parseHostPort, WarrenError } from '../core/index.ts'
import { type AuditTarget, type OtlpTarget, parseAuditTargets, parseTraceTarget } from './audit-target.ts'
import type { DeclaredSource } from './declared.ts'
import { jwtIssuerOf } from './jwt-issuer.ts'

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How long what proves an identity lives, in milliseconds. An authority's values count for the hosts that it admits. */
export interface Lifetimes {
  /** An X.509-SVID. @default 1 h; 5 s to 24 h, and at most half of `nodeMs` */
  readonly svidMs: number
  /** A node CA certificate. @default 30 d; 10 s to 90 d, and at most half of `authorityMs` */
  readonly nodeMs: number
  /** An authority certificate. @default 90 d; 20 s to 400 d */
  readonly authorityMs: number
  /** For how long a key signs JWT-SVIDs. @default 7 d; 10 s to 90 d */
  readonly jwtKeyMs: number
  /** For how long after its end a node CA certificate can still be renewed. @default 14 d; 0 to 90 d */
  readonly graceMs: number
}

/** Where a scraper finds the metrics: a TCP address, or the path of a unix socket. */
export type MetricsListen = HostPort | { readonly path: string }

/** The settings of an operator. Every setting has a default; the command line overrides variables, and these the file. */
export interface AgentConfig {
  /** Directory of keys, certificates and the database. @default $WARREN_STATE_DIR, else /var/lib/warren for root, else $XDG_STATE_HOME/warren */
  readonly stateDir?: string
  /** Directory of the sockets. @default $WARREN_RUNTIME_DIR, else /run/warren for root, else $XDG_RUNTIME_DIR/warren, else /tmp/warren-UID */
  readonly runtimeDir?: string
  /** Directory for containers to mount, in the runtime directory: sockets for workloads, and none for the operator. @default none */
  readonly shareDir?: string
  /** File of the public keys (JWKS) of the Kubernetes cluster of this host. @default service accounts of pods are not established */
  readonly kubernetesKeys?: string
  /** Machine name. It stays as it was at the first start. @default the host name up to its first dot */
  readonly name?: string
  /** Found a new trust domain of this name. Without effect on a host that already belongs to it. */
  readonly init?: string
  /** Join with this token. Without effect on a host that is already a member. */
  readonly join?: string
  /** With an invitation in `join`: file of the certificate of this host, and of its issuers, in PEM. */
  readonly joinCert?: string
  /** The file of its private key, in PEM. */
  readonly joinKey?: string
  /** With an invitation in `join`: file that contains an OIDC token. */
  readonly joinOidc?: string
  /** Mesh listener. An empty host means all addresses, of both families where the machine has both. @default :7460 */
  readonly listen?: HostPort
  /** Data listener, likewise. @default :7461 */
  readonly dataListen?: HostPort
  /** Names or IP addresses under which others reach this host, best first; at most 16. @default those of its interfaces */
  readonly advertise?: readonly string[]
  /** Multiaddrs of members to dial besides those already known. */
  readonly bootstrap?: readonly string[]
  /** Where the metrics are served over HTTP. @default they are not */
  readonly metricsListen?: MetricsListen
  /** Where the audit log is: a path, or `on` for the file `audit.log` of the state directory. @default there is none */
  readonly audit?: string
  /** Where the audit log is pushed to; at most 4. There is one then, in the state directory if `audit` says nothing. @default nowhere */
  readonly auditPush?: readonly AuditTarget[]
  /** Where a trace of each opening of a flow goes. @default nowhere */
  readonly otlp?: OtlpTarget
  /** Find members on the LAN. @default true */
  readonly mdns?: boolean
  /** Carrier of brokered bytes to other hosts. @default auto */
  readonly carrier?: string
  /** What happens to a datagram that is larger than a packet between the hosts. @default 'drop' */
  readonly oversize?: Oversize
  /** A flow whose path is lost waits for so long for another; zero: it is reset at once. @default 0 */
  readonly resumeWindowMs?: number
  /** Without a confirmation of the policy by a host of an admin for so long, this host serves nothing; 10 s to 24 h. @default no bound */
  readonly policyLeaseMs?: number
  /** Zone of this host, such as its data centre: the label `zone` of its servers. Servers of the same zone are preferred. @default none */
  readonly zone?: string
  /** `iss` of JWT-SVIDs: the https address at which relying parties find the keys. @default they have none */
  readonly jwtIssuer?: string
  readonly logLevel?: LogLevel
  /**
   * Start without files of the state directory, or its database, that are lost; no effect if none is. For one start only, so that
   * the next loss is noticed. @default false
   */
  readonly acceptLostState?: boolean
  /** Lifetimes of certificates and keys; see `Lifetimes` for units, bounds and defaults. */
  readonly lifetimes?: Partial<Lifetimes>
  /** Limits by the names of docs/limits.md, which shows the ones that can be set, and the defaults. */
  readonly limits?: Readonly<Record<string, number>>
  /** What the agent runs for users, and how to read that anew. @default nothing */
  readonly declared?: DeclaredSource
}

/** An option of `warren up` that is also a key of its configuration file, and what the agent is started with because of it. */
export type UpOption = {
  /** For the help. */
  readonly takes: string
  readonly help: string
} & (
  | { readonly read: (text: string, option: string) => AgentConfig }
  /** May be repeated; a list in the file. */
  | { readonly readAll: (texts: readonly string[]) => AgentConfig }
)

/**
 * The options of `warren up` that need nothing but their text, by their names. One that needs more, as a secret does, is in
 * `src/cli/up-options.ts`. The agent checks ranges and combinations.
 */
export const UP_OPTIONS = Object.freeze({
  name: {
    takes: 'machine',
    help: 'name of this host (default: its host name, or the name in the token)',
    read: name => ({ name })
  },
  'join-with-cert': {
    takes: 'file',
    help: 'with an invitation: certificate of this host and its issuers (PEM), as the proof of its right to join',
    read: joinCert => ({ joinCert })
  },
  'join-with-key': {
    takes: 'file',
    help: 'the private key of that certificate (PEM)',
    read: joinKey => ({ joinKey })
  },
  'join-with-oidc': {
    takes: 'file',
    help: 'with an invitation: file that contains an OIDC token, as the proof of its right to join',
    read: joinOidc => ({ joinOidc })
  },
  share: {
    takes: 'dir',
    help: 'directory for containers to mount, in the runtime directory: agent.sock, spiffe.sock, and the sockets of connections',
    read: shareDir => ({ shareDir })
  },
  'kubernetes-keys': {
    takes: 'file',
    help: 'public keys of the Kubernetes cluster of this host (JWKS), for entries with --service-account',
    read: kubernetesKeys => ({ kubernetesKeys })
  },
  listen: {
    takes: 'host:port',
    help: 'mesh listener (default: :7460, all addresses of both families)',
    read: (text, option) => ({ listen: listenerOf(text, option) })
  },
  'data-listen': {
    takes: 'host:port',
    help: 'data listener (default: :7461, all addresses of both families)',
    read: (text, option) => ({ dataListen: listenerOf(text, option) })
  },
  advertise: {
    takes: 'host',
    help: 'address where others reach this host; may be repeated (default: its interfaces)',
    readAll: advertise => ({ advertise })
  },
  bootstrap: {
    takes: 'multiaddr',
    help: 'a member to dial; may be repeated',
    readAll: bootstrap => ({ bootstrap })
  },
  'metrics-listen': {
    takes: 'host:port|unix:path',
    help: 'serve metrics, health and readiness over HTTP here (default: nowhere)',
    read: (text, option) => ({ metricsListen: metricsListenOf(text, option) })
  },
  audit: {
    takes: 'file',
    help: 'keep an audit log in this file; "on": in the state directory (default: none)',
    read: text => ({ audit: auditOf(text) })
  },
  'audit-push': {
    takes: 'url',
    help: 'push the audit log there: syslog+tls://, syslog+tcp://, syslog+udp://, https://, otlp+https://, otlp+http:// or journald:; may be repeated',
    readAll: texts => ({ auditPush: parseAuditTargets(texts) })
  },
  otlp: {
    takes: 'url',
    help: 'send a trace of each opening of a connection to this collector: http://HOST:4318 or https:// (default: none)',
    read: text => ({ otlp: parseTraceTarget(text) })
  },
  carrier: {
    takes: 'name',
    help: 'only carrier for data to other hosts (default: auto, the first that reaches them)',
    read: carrier => ({ carrier })
  },
  oversize: {
    takes: 'drop|capsule',
    help: 'a datagram larger than a packet between the hosts: drop it, or carry it over TCP (default: drop)',
    read: oversize => ({ oversize: oversizeOf(oversize) })
  },
  'resume-window': {
    takes: 'time',
    help: 'time that a connection whose path is lost waits for another; both hosts need it (default: 0s, reset at once)',
    read: (text, option) => ({ resumeWindowMs: parseDuration(option, text, 0, MAX_RESUME_WINDOW_MS) })
  },
  'policy-lease': {
    takes: 'time',
    help: 'serve nothing after so long without a host of an admin that confirms the policy, 10s to 24h (default: off)',
    read: (text, option) => ({ policyLeaseMs: parseDuration(option, text, MIN_POLICY_LEASE_MS, MAX_POLICY_LEASE_MS) })
  },
  zone: {
    takes: 'name',
    help: 'zone of this host, as a data centre: its servers get it as a label, and its clients prefer servers there (default: none)',
    read: (text, option) => ({ zone: zoneOf(text, option) })
  },
  'state-dir': {
    takes: 'dir',
    help: 'directory for keys and certificates',
    read: stateDir => ({ stateDir })
  },
  'svid-lifetime': lifetime('svidMs', 'lifetime of the certificates of workloads (default: 1h)'),
  'node-lifetime': lifetime(
    'nodeMs',
    'lifetime of the certificates of hosts that this one admits and renews (default: 30d)'
  ),
  'authority-lifetime': lifetime('authorityMs', 'lifetime of the authority certificate on this host (default: 90d)'),
  'jwt-issuer': {
    takes: 'url',
    help: 'iss of the JWT-SVIDs of this host: the https address where `warren oidc` is reached; the same on each host (default: none)',
    read: (text, option) => ({ jwtIssuer: jwtIssuerOf(text, option) })
  },
  'jwt-key-lifetime': lifetime('jwtKeyMs', 'time that a key signs JWT-SVIDs (default: 7d)'),
  'renewal-grace': lifetime('graceMs', 'time after its end in which a host certificate can be renewed (default: 14d)')
} satisfies Readonly<Record<string, UpOption>>)

export type UpOptionName = keyof typeof UP_OPTIONS

/** What waits is held in memory, and a server may think that its client lives. */
const MAX_RESUME_WINDOW_MS = 10 * 60_000

/** Three confirmations fit into the least one. */
const MIN_POLICY_LEASE_MS = 10_000
const MAX_POLICY_LEASE_MS = 24 * 3_600_000

/** IPv6 link-local, fe80::/10, with or without a zone. */
const LINK_LOCAL = /^fe[89ab][0-9a-f]:/i

function listenerOf(text: string, option: string): HostPort {
  const at = parseHostPort(text, { option, defaultHost: '' })
  if (!LINK_LOCAL.test(at.host)) return at
  throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is an address of one link`, {
    hint: 'Other hosts cannot use it. Listen at [::], or at another address of this host.'
  })
}

function metricsListenOf(text: string, option: string): MetricsListen {
  if (!text.startsWith('unix:')) return parseHostPort(text, { option })
  const path = text.slice('unix:'.length)
  if (path.startsWith('/')) return { path }
  throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" names no absolute path`, {
    hint: 'Write it as unix:/run/warren/metrics.sock.'
  })
}

function auditOf(text: string): string {
  if (text === 'on' || text.startsWith('/')) return text
  throw new WarrenError(
    ErrorCode.InvalidArgument,
    `--audit "${text.slice(0, 80)}" is neither "on" nor an absolute path`,
    {
      hint: 'Write --audit on, or as in --audit /var/log/warren/audit.log.'
    }
  )
}

/** What happens to a datagram that is larger than a packet of the path between two hosts. */
export type Oversize = 'drop' | 'capsule'

function oversizeOf(text: string): Oversize {
  if (text === 'drop' || text === 'capsule') return text
  throw new WarrenError(ErrorCode.InvalidOption, `--oversize must be drop or capsule, not "${text.slice(0, 40)}"`)
}

/** As long as a label of a DNS name. */
const ZONE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

function zoneOf(text: string, option: string): string {
  if (ZONE.test(text)) return text
  throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is no name of a zone`, {
    hint: 'Use up to 63 letters, digits, ".", "-" and "_", as in --zone eu-west-1a.'
  })
}

function lifetime(key: keyof Lifetimes, help: string): UpOption {
  return {
    takes: 'time',
    help,
    read: (text, option) => ({ lifetimes: { [key]: parseDuration(option, text, 0, Number.POSITIVE_INFINITY) } })
  }
}
