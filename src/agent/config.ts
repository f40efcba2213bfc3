import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { resolveLifetimes } from '../ca/index.ts'
import { parseAdvertise } from '../cluster/index.ts'
import type { AgentConfig, Lifetimes } from '../config/index.ts'
import { definedOnly, ErrorCode, WarrenError } from '../core/index.ts'
import { parseMachineName, parseTrustDomain } from '../identity/index.ts'
import { ANY_CARRIER, requireCarrier } from '../proxy/index.ts'
import { type AgentLimits, resolveLimits } from './limit-options.ts'

type WithDefault = keyof typeof DEFAULTS | 'stateDir' | 'runtimeDir'

/** The complete configuration of an agent. An option without a default is here as it was given. */
export interface ResolvedConfig
  extends Omit<AgentConfig, WithDefault | 'name' | 'init' | 'join' | 'advertise' | 'lifetimes' | 'limits'>,
    Required<Pick<AgentConfig, WithDefault>> {
  readonly lifetimes: Lifetimes
  readonly limits: AgentLimits
  readonly name: string | undefined
  readonly init: string | undefined
  readonly join: string | undefined
  readonly advertise: readonly string[] | undefined
}

/** The host of a listener whose operator has named none: all addresses of this machine. */
export const ANY_HOST = ''

const DEFAULTS = Object.freeze({
  listen: { host: ANY_HOST, port: 7460 },
  dataListen: { host: ANY_HOST, port: 7461 },
  bootstrap: [],
  mdns: true,
  carrier: 'auto',
  logLevel: 'info',
  acceptLostState: false
} satisfies AgentConfig)

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
    ...DEFAULTS,
    ...definedOnly(config),
    name: config.name,
    init: config.init,
    join: config.join,
    advertise: config.advertise === undefined ? undefined : parseAdvertise(config.advertise),
    stateDir: config.stateDir ?? defaultStateDir(env),
    runtimeDir: config.runtimeDir ?? defaultRuntimeDir(env),
    ...(config.shareDir !== undefined && { shareDir: resolve(config.shareDir) }),
    listen: config.listen ?? DEFAULTS.listen,
    dataListen: config.dataListen ?? DEFAULTS.dataListen,
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
  if (env['WARREN_STATE_DIR'] !== undefined && env['WARREN_STATE_DIR'] !== '') return env['WARREN_STATE_DIR']
  if (ownUid() === 0) return '/var/lib/warren'
  return join(env['XDG_STATE_HOME'] ?? join(homeOf(env), '.local', 'state'), 'warren')
}

function defaultRuntimeDir(env: NodeJS.ProcessEnv): string {
  const uid = ownUid()
  if (env['WARREN_RUNTIME_DIR'] !== undefined && env['WARREN_RUNTIME_DIR'] !== '') return env['WARREN_RUNTIME_DIR']
  if (uid === 0) return '/run/warren'
  const runtime = env['XDG_RUNTIME_DIR']
  return runtime !== undefined && runtime !== '' ? join(runtime, 'warren') : `/tmp/warren-${uid}`
}

function ownUid(): number {
  return process.getuid?.() ?? 0
}

// A uid without an entry in the user database has none, as in many containers.
function homeOf(env: NodeJS.ProcessEnv): string {
  try {
    const home = env['HOME'] ?? homedir()
    if (isAbsolute(home)) return home
  } catch {
    // Named below, with what to do.
  }
  throw new WarrenError(ErrorCode.InvalidOption, `uid ${ownUid()} has no home directory for the state of the agent`, {
    hint: 'Choose a directory with --state-dir or WARREN_STATE_DIR.'
  })
}
