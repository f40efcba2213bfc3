import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import { type Lifetimes, resolveLifetimes } from '../ca/index.ts'
import { parseAdvertise } from '../cluster/index.ts'
import { ErrorCode, type HostPort, WarrenError } from '../core/index.ts'
import { parseMachineName, parseTrustDomain } from '../identity/index.ts'
import { ANY_CARRIER, requireCarrier } from '../proxy/index.ts'
import { type AgentLimits, resolveLimits } from './limit-options.ts'

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'silent'

/** What an operator may choose. Everything has a default; what is given twice is taken from the command line. */
export interface AgentConfig {
  /** Where keys, certificates and the database live. @default /var/lib/warren for root, else $XDG_STATE_HOME/warren */
  readonly stateDir?: string
  /** Where the sockets live. @default /run/warren for root, else $XDG_RUNTIME_DIR/warren, else /tmp/warren-UID */
  readonly runtimeDir?: string
  /** Machine name. Kept from the first start on. @default the host name up to its first dot */
  readonly name?: string
  /** Found a new trust domain of this name. Without effect on a host that already belongs to it. */
  readonly init?: string
  /** Join with this token. Without effect on a host that is already a member. */
  readonly join?: string
  /** Mesh listener. @default 0.0.0.0:7460 */
  readonly listen?: HostPort
  /** Data listener. @default 0.0.0.0:7461 */
  readonly dataListen?: HostPort
  /** Names or IP addresses under which others reach this host, best first; at most 16. @default those of its interfaces */
  readonly advertise?: readonly string[]
  /** Multiaddrs of members to dial besides those already known. */
  readonly bootstrap?: readonly string[]
  /** Find members on the LAN. @default true */
  readonly mdns?: boolean
  /** How brokered bytes reach another host. @default auto */
  readonly carrier?: string
  readonly logLevel?: LogLevel
  /**
   * Go on without files of the state directory, or its database, that are lost; without effect where none is. For one start, since the
   * next loss should be heard of. @default false
   */
  readonly acceptLostState?: boolean
  /** How long certificates and keys live; see `Lifetimes` for units, bounds and defaults. */
  readonly lifetimes?: Partial<Lifetimes>
  /** By the names of docs/limits.md; see there for which can be set, and the defaults. */
  readonly limits?: Readonly<Record<string, number>>
}

export interface ResolvedConfig
  extends Required<Omit<AgentConfig, 'name' | 'init' | 'join' | 'advertise' | 'lifetimes' | 'limits'>> {
  readonly lifetimes: Lifetimes
  readonly limits: AgentLimits
  readonly name: string | undefined
  readonly init: string | undefined
  readonly join: string | undefined
  readonly advertise: readonly string[] | undefined
}

/** Fills in the defaults, checks what can be checked without touching anything, and freezes the result. */
export function resolveConfig(config: AgentConfig, env: NodeJS.ProcessEnv = process.env): ResolvedConfig {
  if (config.init !== undefined && config.join !== undefined) {
    throw new WarrenError(ErrorCode.InvalidOption, '--init and --join exclude each other', {
      hint: 'The first host founds the trust domain with --init; every other one joins with a token.'
    })
  }
  if (config.init !== undefined) parseTrustDomain(config.init)
  if (config.name !== undefined) parseMachineName(config.name)
  if (config.carrier !== undefined) requireCarrier(config.carrier)
  return Object.freeze({
    name: config.name,
    init: config.init,
    join: config.join,
    advertise: config.advertise === undefined ? undefined : parseAdvertise(config.advertise),
    stateDir: config.stateDir ?? defaultStateDir(env),
    runtimeDir: config.runtimeDir ?? defaultRuntimeDir(env),
    listen: config.listen ?? { host: '0.0.0.0', port: 7460 },
    dataListen: config.dataListen ?? { host: '0.0.0.0', port: 7461 },
    bootstrap: config.bootstrap ?? [],
    mdns: config.mdns ?? true,
    carrier: config.carrier ?? ANY_CARRIER,
    logLevel: config.logLevel ?? 'info',
    acceptLostState: config.acceptLostState ?? false,
    lifetimes: resolveLifetimes(config.lifetimes),
    limits: resolveLimits(config.limits)
  })
}

function defaultStateDir(env: NodeJS.ProcessEnv): string {
  if (userInfo().uid === 0) return '/var/lib/warren'
  return join(env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'warren')
}

function defaultRuntimeDir(env: NodeJS.ProcessEnv): string {
  const { uid } = userInfo()
  if (env['WARREN_RUNTIME_DIR'] !== undefined && env['WARREN_RUNTIME_DIR'] !== '') return env['WARREN_RUNTIME_DIR']
  if (uid === 0) return '/run/warren'
  const runtime = env['XDG_RUNTIME_DIR']
  return runtime !== undefined && runtime !== '' ? join(runtime, 'warren') : `/tmp/warren-${uid}`
}
