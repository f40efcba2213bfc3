import { Option } from 'commander'
import {
  type AgentConfig,
  type DeclaredSource,
  type Environment,
  type FileConfig,
  LOG_LEVELS,
  type LogLevel,
  readEnvironment,
  readOptions,
  type UpOptionName,
  variableOf
} from '../config/index.ts'
import { definedOnly, ErrorCode, parseDuration, WarrenError } from '../core/index.ts'
import type { GlobalOptions } from './context.ts'
import { parseLimits, readSecret } from './options/index.ts'
import { NO_FILES, readFiles } from './up-files.ts'

/** Those that are not in `UP_OPTIONS`, whose texts are found by their attribute names. */
export interface UpOptions extends GlobalOptions {
  readonly init?: string
  readonly join?: string
  readonly mdns: boolean
  readonly logLevel?: LogLevel
  readonly drainTimeout?: string
  readonly config?: string
  readonly limit?: string[]
  readonly acceptLostState?: true
  readonly check?: true
}

/** Time for connections to finish when the agent stops. */
export const DRAIN_MS = 10_000
const MAX_DRAIN_MS = 86_400_000
/** WARREN_JOIN_TOKEN is a second name of WARREN_JOIN, which says in an environment file that it holds a secret. */
const JOIN_TOKEN = 'join-token'

/**
 * What the agent is started with: by each option of the command line, else by its variable, else by the file. `mdnsGiven`: the
 * command line has `--no-mdns`. `contents`: the file, if it was read before. Takes the token out of `env`: neither children nor readers of the environment may see it.
 */
export async function configOf(
  options: UpOptions,
  mdnsGiven: boolean,
  env: NodeJS.ProcessEnv,
  contents?: FileConfig
): Promise<{ config: AgentConfig; declared: DeclaredSource; drainMs: number }> {
  const given = options as UpOptions & Readonly<Record<string, string | string[] | undefined>>
  const variables = readEnvironment(env)
  const join = variables.text('join') ?? variables.text(JOIN_TOKEN)
  for (const name of ['join', JOIN_TOKEN]) delete env[variableOf(name)]
  const choice = {
    config: options.config ?? variables.text('config'),
    runtimeDir: options.runtimeDir ?? variables.text('runtime-dir'),
    uid: process.getuid?.()
  }
  const isOverridden = (name: string): boolean =>
    name === 'mdns'
      ? mdnsGiven || variables.text('no-mdns') !== undefined
      : given[new Option(`--${name}`).attributeName()] !== undefined || variables.text(name) !== undefined
  const { options: file, source } =
    contents === undefined ? await readFiles(choice, isOverridden) : { options: contents, source: NO_FILES }
  const fromVariables = { init: variables.text('init'), join }
  // From one place: a host that was founded by its file can still be told to join.
  const start = [options, fromVariables, file].find(one => one.init !== undefined || one.join !== undefined)
  const joinOption = start === fromVariables ? variableOf('join') : '--join'
  const withoutMdns = variables.flag('no-mdns')
  const config: AgentConfig = {
    ...readOptions(
      (name, isList) =>
        given[attributeOf(name)] ?? (isList ? variables.list(name) : variables.text(name)) ?? file[name],
      name => sourceOf(name, given[attributeOf(name)], variables)
    ),
    ...definedOnly({
      init: start?.init,
      join: start?.join === undefined || start.join === '' ? undefined : await readSecret(joinOption, start.join),
      runtimeDir: options.runtimeDir ?? variables.text('runtime-dir') ?? file['runtime-dir'],
      mdns: mdnsGiven ? options.mdns : ((withoutMdns === undefined ? undefined : !withoutMdns) ?? file.mdns ?? true),
      limits: {
        ...file.limits,
        ...parseLimits(variables.list('limit') ?? [], variableOf('limit')),
        ...parseLimits(options.limit ?? [])
      },
      // Only on the command line: a variable in a file of the unit would accept every later loss as well.
      acceptLostState: options.acceptLostState,
      logLevel:
        options.logLevel ?? logLevelOf(variables) ?? file['log-level'] ?? (process.stderr.isTTY ? 'warn' : 'info')
    })
  }
  return { config, declared: source, drainMs: drainOf(options, variables, file) }
}

/** The name of an option as commander keeps its value. */
function attributeOf(name: UpOptionName): string {
  return new Option(`--${name}`).attributeName()
}

/** What the errors of a value name. */
function sourceOf(name: string, given: unknown, variables: Environment): string {
  return given === undefined && variables.text(name) !== undefined ? variableOf(name) : `--${name}`
}

function logLevelOf(variables: Environment): LogLevel | undefined {
  const text = variables.text('log-level')
  const level = LOG_LEVELS.find(one => one === text)
  if (text !== undefined && level === undefined) {
    const what = `${variableOf('log-level')} "${text.slice(0, 80)}" is no level`
    throw new WarrenError(ErrorCode.InvalidArgument, what, { hint: `The levels are: ${LOG_LEVELS.join(', ')}.` })
  }
  return level
}

function drainOf(options: UpOptions, variables: Environment, file: FileConfig): number {
  const name = 'drain-timeout'
  const text = options.drainTimeout ?? variables.text(name) ?? file[name]
  if (text === undefined) return DRAIN_MS
  return parseDuration(sourceOf(name, options.drainTimeout, variables), text, 0, MAX_DRAIN_MS)
}
