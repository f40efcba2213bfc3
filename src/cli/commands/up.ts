import { type Command, Option } from 'commander'
import { type AgentConfig, LOG_LEVELS, UP_OPTIONS, type UpOption, type UpOptionName } from '../../config/index.ts'
import { ErrorCode, formatHostPort, raceAbort, WarrenError } from '../../core/index.ts'
import { collect } from '../options/index.ts'
import { printJsonLine, say, whenReaderEnds } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'
import { unknownVariables } from '../unknown-variables.ts'
import { configOf, type UpOptions } from '../up-options.ts'

// Not an import: that would load the agent for every other command as well.
type RunningAgent = import('../../agent/index.ts').RunningAgent

const optionOf = (name: UpOptionName): Option => {
  const { takes, help, ...kind }: UpOption = UP_OPTIONS[name]
  const option = new Option(`--${name} <${takes}>`, help)
  return 'readAll' in kind ? option.argParser(collect) : option
}

const AFTER = `
The token may also be in a file (--join @FILE), on standard input (--join -) or in WARREN_JOIN_TOKEN. A token on the command line
is convenient, but other users of this host can read it in the list of processes. It admits few hosts, and for a short time.
A host that is already a member needs neither --init nor --join; they then have no effect.

A variable can stand for each option above: WARREN_DATA_LISTEN for --data-listen. Commas separate the values of an option that may be
repeated; an option without a value is true or false. Options override variables, and variables override the file.`

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
      new Option('--log-level <level>', 'lowest level that is logged (default: info; on a terminal: warn)').choices(
        LOG_LEVELS
      )
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
      const options = command.optsWithGlobals<UpOptions>()
      if (options.quiet !== true) for (const line of unknownVariables(command, process.env)) say(line)
      await up(options, command.getOptionValueSource('mdns') === 'cli')
    })
}

async function up(options: UpOptions, mdnsGiven: boolean): Promise<void> {
  const startedMs = performance.now()
  // An agent does not end because nobody reads that it is ready.
  whenReaderEnds('ignored')
  const { config, drainMs } = await configOf(options, mdnsGiven, process.env)
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

async function start(config: AgentConfig, signal: AbortSignal): Promise<RunningAgent> {
  // Imported here only: the other commands must not load the agent.
  const { startAgent, tuneProcess } = await import('../../agent/index.ts')
  tuneProcess()
  try {
    // Without a reader, the log has the line.
    const observer = process.stderr.isTTY && config.logLevel !== 'silent' ? { onWaiting: say } : {}
    return await raceAbort(startAgent(config, undefined, observer), signal)
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
