import { type Command, Option } from 'commander'
import { definedOnly, ErrorCode, formatHostPort, parseHostPort, raceAbort, WarrenError } from '../../core/index.ts'
import type { GlobalOptions } from '../context.ts'
import { collect, parseDuration, parseLimits, readSecret } from '../options/index.ts'
import { printJsonLine, say } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'
import type { FileConfig } from '../up-config.ts'

// Types only: an import would load the agent for every other command as well.
type AgentConfig = import('../../agent/index.ts').AgentConfig
type RunningAgent = import('../../agent/index.ts').RunningAgent

interface UpOptions extends GlobalOptions {
  readonly init?: string
  readonly join?: string
  readonly name?: string
  readonly listen?: string
  readonly dataListen?: string
  readonly advertise?: string[]
  readonly bootstrap?: string[]
  readonly mdns: boolean
  readonly carrier?: string
  readonly stateDir?: string
  readonly logLevel?: 'error' | 'warn' | 'info' | 'debug' | 'silent'
  readonly drainTimeout?: string
  readonly config?: string
  readonly svidLifetime?: string
  readonly nodeLifetime?: string
  readonly authorityLifetime?: string
  readonly jwtKeyLifetime?: string
  readonly renewalGrace?: string
  readonly limit?: string[]
  readonly acceptLostState?: true
}

/** Time for connections to finish when the agent stops. */
export const DRAIN_MS = 10_000
const MAX_DRAIN_MS = 86_400_000

const AFTER = `
The token may also be in a file (--join @FILE), on standard input (--join -) or in WARREN_JOIN_TOKEN. A token on the command line
is convenient, but other users of this host can read it in the list of processes. It admits one host, once, and for a short time.
A host that is already a member needs neither --init nor --join; they then have no effect.`

export function addUp(program: Command): void {
  program
    .command('up')
    .description('run the agent of this host')
    .addOption(new Option('--init <trust-domain>', 'found a trust domain, as in example.org').conflicts('join'))
    .option('--join <token>', 'join a trust domain: the token, @FILE that contains it, or - for standard input')
    .option('--name <machine>', 'name of this host (default: its host name, or the name in the token)')
    .option('--listen <host:port>', 'mesh listener (default: 0.0.0.0:7460)')
    .option('--data-listen <host:port>', 'data listener (default: 0.0.0.0:7461)')
    .option(
      '--advertise <host>',
      'address where others reach this host; may be repeated (default: its interfaces)',
      collect
    )
    .option('--bootstrap <multiaddr>', 'a member to dial; may be repeated', collect)
    .option('--no-mdns', 'do not look for members on the LAN')
    .option('--carrier <name>', 'only carrier for data to other hosts (default: auto, the first that reaches them)')
    .option('--state-dir <dir>', 'directory for keys and certificates')
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
    .option('--svid-lifetime <time>', 'lifetime of the certificates of workloads (default: 1h)')
    .option(
      '--node-lifetime <time>',
      'lifetime of the certificates of hosts that this one admits and renews (default: 30d)'
    )
    .option('--authority-lifetime <time>', 'lifetime of the authority certificate on this host (default: 90d)')
    .option('--jwt-key-lifetime <time>', 'time that a key signs JWT-SVIDs (default: 7d)')
    .option('--renewal-grace <time>', 'time after its end in which a host certificate can be renewed (default: 14d)')
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
  const listen = options.listen ?? file.listen
  const dataListen = options.dataListen ?? file['data-listen']
  const drainTimeout = options.drainTimeout ?? file['drain-timeout']
  const drainMs =
    drainTimeout === undefined ? DRAIN_MS : parseDuration('--drain-timeout', drainTimeout, 0, MAX_DRAIN_MS)
  const config: AgentConfig = definedOnly({
    init,
    join: joinText === undefined || joinText === '' ? undefined : await readSecret('--join', joinText),
    name: options.name ?? file.name,
    stateDir: options.stateDir ?? file['state-dir'],
    runtimeDir: options.runtimeDir ?? file['runtime-dir'],
    listen: listen === undefined ? undefined : parseHostPort(listen, { option: '--listen', defaultHost: '0.0.0.0' }),
    dataListen:
      dataListen === undefined
        ? undefined
        : parseHostPort(dataListen, { option: '--data-listen', defaultHost: '0.0.0.0' }),
    advertise: options.advertise ?? file.advertise,
    bootstrap: options.bootstrap ?? file.bootstrap,
    mdns: mdnsGiven ? options.mdns : (file.mdns ?? true),
    carrier: options.carrier ?? file.carrier,
    lifetimes: lifetimesOf(options, file),
    limits: { ...file.limits, ...parseLimits(options.limit ?? []) },
    acceptLostState: options.acceptLostState,
    logLevel: options.logLevel ?? file['log-level'] ?? (process.stderr.isTTY ? 'warn' : 'info')
  })
  return { config, drainMs }
}

function lifetimesOf(options: UpOptions, file: FileConfig): NonNullable<AgentConfig['lifetimes']> {
  const length = (name: keyof FileConfig & string, given: string | undefined): number | undefined => {
    const text = given ?? file[name]
    // The agent checks the bounds.
    return typeof text === 'string' ? parseDuration(`--${name}`, text, 0, Number.POSITIVE_INFINITY) : undefined
  }
  return definedOnly({
    svidMs: length('svid-lifetime', options.svidLifetime),
    nodeMs: length('node-lifetime', options.nodeLifetime),
    authorityMs: length('authority-lifetime', options.authorityLifetime),
    jwtKeyMs: length('jwt-key-lifetime', options.jwtKeyLifetime),
    graceMs: length('renewal-grace', options.renewalGrace)
  })
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
