import { type Command, Option } from 'commander'
import {
  type AgentConfig,
  type LogLevel,
  readOptions,
  UP_OPTIONS,
  type UpOption,
  type UpOptionName
} from '../../config/index.ts'
import { definedOnly, ErrorCode, formatHostPort, parseDuration, raceAbort, WarrenError } from '../../core/index.ts'
import type { GlobalOptions } from '../context.ts'
import { collect, parseLimits, readSecret } from '../options/index.ts'
import { printJsonLine, say } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'
import type { FileConfig } from '../up-config.ts'

// Not an import: that would load the agent for every other command as well.
type RunningAgent = import('../../agent/index.ts').RunningAgent

/** Those that are not in `UP_OPTIONS`, whose texts are found by their attribute names. */
interface UpOptions extends GlobalOptions {
  readonly init?: string
  readonly join?: string
  readonly mdns: boolean
  readonly logLevel?: LogLevel
  readonly drainTimeout?: string
  readonly config?: string
  readonly limit?: string[]
  readonly acceptLostState?: true
}

/** Time for connections to finish when the agent stops. */
export const DRAIN_MS = 10_000
const MAX_DRAIN_MS = 86_400_000

const optionOf = (name: UpOptionName): Option => {
  const { takes, help, ...kind }: UpOption = UP_OPTIONS[name]
  const option = new Option(`--${name} <${takes}>`, help)
  return 'readAll' in kind ? option.argParser(collect) : option
}

const AFTER = `
The token may also be in a file (--join @FILE), on standard input (--join -) or in WARREN_JOIN_TOKEN. A token on the command line
is convenient, but other users of this host can read it in the list of processes. It admits one host, once, and for a short time.
A host that is already a member needs neither --init nor --join; they then have no effect.`

export function addUp(program: Command): void {
  const command = program
    .command('up')
    .description('run the agent of this host')
    .addOption(new Option('--init <trust-domain>', 'found a trust domain, as in example.org').conflicts('join'))
    .option('--join <token>', 'join a trust domain: the token, @FILE that contains it, or - for standard input')
  for (const name of Object.keys(UP_OPTIONS) as UpOptionName[]) command.addOption(optionOf(name))
  command
    .option('--no-mdns', 'do not look for members on the LAN')
    .addOption(
      new Option('--log-level <level>', 'lowest level that is logged (default: info; on a terminal: warn)').choices([
        'error',
        'warn',
        'info',
        'debug',
        'silent'
      ])
    )
    .option(
      '--drain-timeout <time>',
      'time for connections to finish when the agent stops; the rest are reset (default: 10s)'
    )
    .option('--limit <name=number>', 'a limit of docs/limits.md; may be repeated (in the file: limits)', collect)
    .option('--accept-lost-state', 'once: start without files of the state directory, or its database, that are lost')
    .option('--config <file>', 'YAML file whose keys are these options without the dashes; options override it')
    .addHelpText('after', AFTER)
    .action(async (_options: unknown, command: Command) => {
      await up(command.optsWithGlobals<UpOptions>(), command.getOptionValueSource('mdns') === 'cli')
    })
}

async function up(options: UpOptions, mdnsGiven: boolean): Promise<void> {
  const startedMs = performance.now()
  const { config, drainMs } = await configOf(options, mdnsGiven)
  let agent: RunningAgent | undefined
  const ending = endingSignals((signal, why) => {
    if (agent === undefined) inWords(say)(signal, why)
    else agent.log.warn('signal has no effect', { signal, reason: why })
  })
  agent = await start(config, ending.signal)
  const readyMs = Math.round(performance.now() - startedMs)
  announce(agent, config, readyMs, options)
  await ending.asked
  if (drainMs > 0) await agent.drain(drainMs)
  await agent.stop()
}

async function configOf(options: UpOptions, mdnsGiven: boolean): Promise<{ config: AgentConfig; drainMs: number }> {
  // The parser is loaded only if there is a file.
  const file: FileConfig =
    options.config === undefined ? {} : (await import('../up-config.ts')).readConfigFile(options.config)
  const init = options.init ?? (options.join === undefined ? file.init : undefined)
  const fromElsewhere = file.join ?? (file.init === undefined ? process.env['WARREN_JOIN_TOKEN'] : undefined)
  const joinText = options.join ?? (options.init === undefined ? fromElsewhere : undefined)
  // The agent's children and readers of its environment must not see it.
  delete process.env['WARREN_JOIN_TOKEN']
  const drainTimeout = options.drainTimeout ?? file['drain-timeout']
  const drainMs =
    drainTimeout === undefined ? DRAIN_MS : parseDuration('--drain-timeout', drainTimeout, 0, MAX_DRAIN_MS)
  const given = options as UpOptions & Readonly<Record<string, string | string[] | undefined>>
  const config: AgentConfig = {
    ...readOptions(name => given[optionOf(name).attributeName()] ?? file[name]),
    ...definedOnly({
      init,
      join: joinText === undefined || joinText === '' ? undefined : await readSecret('--join', joinText),
      runtimeDir: options.runtimeDir ?? file['runtime-dir'],
      mdns: mdnsGiven ? options.mdns : (file.mdns ?? true),
      limits: { ...file.limits, ...parseLimits(options.limit ?? []) },
      acceptLostState: options.acceptLostState,
      logLevel: options.logLevel ?? file['log-level'] ?? (process.stderr.isTTY ? 'warn' : 'info')
    })
  }
  return { config, drainMs }
}

async function start(config: AgentConfig, signal: AbortSignal): Promise<RunningAgent> {
  // Imported here only: the other commands must not load the agent.
  const { startAgent, tuneProcess } = await import('../../agent/index.ts')
  tuneProcess()
  try {
    return await raceAbort(startAgent(config), signal)
  } catch (err) {
    if (!signal.aborted) throw err
    // The started parts end with the process, right after this.
    throw new WarrenError(ErrorCode.NotReady, 'stopped before it was ready', { cause: err })
  }
}

function announce(agent: RunningAgent, config: AgentConfig, readyMs: number, options: UpOptions): void {
  const { machine, trustDomain, runtimeDir } = agent
  const meshAddresses = agent.meshAddresses()
  const dataAddress = formatHostPort(agent.dataAddress())
  if (options.json === true) {
    printJsonLine({
      event: 'ready',
      machine,
      trustDomain,
      meshAddresses,
      dataAddress,
      runtimeDir,
      pid: process.pid,
      readyMs
    })
  }
  if (options.quiet === true) return
  // The address to give to another host as its --bootstrap.
  const mesh = meshAddresses.find(address => !address.startsWith('/ip4/127.') && !address.startsWith('/ip6/::1/'))
  const next = config.init === undefined ? 'warren status' : 'warren token create MACHINE'
  say(
    `ready in ${readyMs} ms: ${machine} of ${trustDomain}, mesh ${mesh ?? meshAddresses[0] ?? '-'}, data ${dataAddress}, sockets in ${runtimeDir}; next: ${next}`
  )
}
