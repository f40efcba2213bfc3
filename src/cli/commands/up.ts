import type { Command } from 'commander'
import type { AgentConfig } from '../../config/index.ts'
import {
  checkNodeInternals,
  definedOnly,
  ErrorCode,
  formatHostPort,
  loadStartCode,
  packageVersion,
  raceAbort,
  requireTlsGroups,
  silentLogger,
  WarrenError
} from '../../core/index.ts'
import { addUpOptions } from '../options/up.ts'
import { printJsonLine, StartLines, say, whenReaderEnds } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'
import { serviceManager } from '../systemd.ts'
import { isRestarting } from '../systemd-job.ts'
import { unknownVariables } from '../unknown-variables.ts'
import { configOf, type UpOptions } from '../up-options.ts'

// Not an import: that would load the agent for every other command as well.
type RunningAgent = import('../../agent/index.ts').RunningAgent
type Restart = import('../../restart/index.ts').Restart

/** They are meant for this process alone. */
const HANDED = ['WARREN_HANDOVER', 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']

const AFTER = `
The token may also be in a file (--join @FILE), on standard input (--join -) or in WARREN_JOIN_TOKEN. A token on the command line
is convenient, but other users of this host can read it in the list of processes. It admits few hosts, and for a short time.
A host that is already a member needs neither --init nor --join; they then have no effect.

A variable can stand for each of its options: WARREN_DATA_LISTEN for --data-listen. Commas separate the values of an option that may be
repeated; an option without a value is true or false. Options override variables, and variables override the file.
Services and forwards that the agent itself runs are in the file: warren config schema. SIGHUP and warren reload read it anew.`

export function addUp(program: Command): void {
  const command = program.command('up').description('run the agent of this host')
  addUpOptions(command)
    .addHelpText('after', AFTER)
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<UpOptions>()
      // Before anything is taken out of it.
      const env = { ...process.env }
      for (const name of HANDED) delete process.env[name]
      if (options.quiet !== true) for (const line of unknownVariables(command, process.env)) say(line)
      await up(options, command.getOptionValueSource('mdns') === 'cli', env)
    })
}

async function up(options: UpOptions, mdnsGiven: boolean, env: NodeJS.ProcessEnv): Promise<void> {
  const startedMs = performance.now()
  // An agent does not end because nobody reads that it is ready.
  whenReaderEnds('ignored')
  const restart = options.check === true ? undefined : await openRestart(env)
  const manager = await serviceManager(process.env)
  // Its copies would keep open what this process closes.
  manager.forget(restart?.handover.storedNames ?? [])
  const {
    config: settings,
    declared,
    drainMs
  } = await configOf(options, mdnsGiven, process.env).catch(err => {
    restart?.failed(err)
    throw err
  })
  const listen = restart?.listenAt(settings.listen)
  const watcher = { begun: () => manager.reloading(), ended: (problem: string) => manager.reloaded(problem) }
  const config = { ...settings, ...definedOnly({ listen }), declared: { ...declared, watcher } }
  if (options.check === true) return await check(config, options)
  let agent: RunningAgent | undefined
  // The log says how it went. An agent that is still starting has just read its files.
  const onHangup = (): void => {
    agent?.reload().catch((err: unknown) => {
      // The log says what is wrong with the files.
      if (!WarrenError.is(err, ErrorCode.NotFound)) return
      agent?.log.warn('signal has no effect', { signal: 'SIGHUP', reason: err.reason })
    })
  }
  const ending = endingSignals((signal, why) => {
    if (agent === undefined) inWords(say)(signal, why)
    else agent.log.warn('signal has no effect', { signal, reason: why })
  }, onHangup)
  // For a person alone: programs that read standard error get the log.
  const lines = process.stderr.isTTY && options.quiet !== true ? new StartLines(say) : undefined
  agent = await start(config, ending.signal, lines, restart).finally(() => lines?.end())
  restart?.leavePort(Number(/\/tcp\/(\d+)/.exec(agent.meshAddresses()[0] ?? '')?.[1] ?? 0))
  restart?.settled()
  const readyMs = Math.round(performance.now() - startedMs)
  announce(agent, config, readyMs, options)
  manager.ready(`ready: ${agent.machine} of ${agent.trustDomain}`)
  await (restart === undefined ? ending.asked : Promise.race([ending.asked, restart.asked]))
  const isReplaced = restart?.isAsked === true && !ending.signal.aborted
  if (isReplaced) {
    manager.replacing()
  } else {
    manager.stopping()
    if (await isRestarting(env)) restart?.followedLater()
  }
  if (drainMs > 0) await agent.drain(drainMs)
  if (restart?.isAsked !== true) return await agent.stop()
  restart.leaveListeners()
  await restart.handover.collect()
  await agent.stop()
  if (isReplaced) restart.execute()
  manager.keep(restart.store())
}

async function openRestart(env: NodeJS.ProcessEnv): Promise<Restart | undefined> {
  const { openHandover, Restart } = await import('../../restart/index.ts')
  const handover = await openHandover(env)
  const others = Object.fromEntries(Object.entries(env).filter(([name]) => !HANDED.includes(name)))
  return handover === undefined ? undefined : new Restart(handover, others)
}

/** What a program must be able to do before it takes the place of another. Everything that an agent uses is loaded. */
async function check(config: AgentConfig, options: UpOptions): Promise<void> {
  const { resolveConfig } = await import('../../agent/index.ts')
  checkNodeInternals(silentLogger)
  requireTlsGroups()
  resolveConfig(config)
  const version = packageVersion()
  if (options.json === true) printJsonLine({ version })
  else if (options.quiet !== true) say(`warren ${version} can start with these options`)
}

async function start(
  config: AgentConfig,
  signal: AbortSignal,
  lines: StartLines | undefined,
  restart: Restart | undefined
): Promise<RunningAgent> {
  // Imported here only: the other commands must not load the agent.
  const { startAgent, tuneProcess } = await import('../../agent/index.ts')
  loadStartCode()
  tuneProcess()
  try {
    return await raceAbort(startAgent(config, undefined, { onProgress: one => lines?.note(one), restart }), signal)
  } catch (err) {
    if (!signal.aborted) {
      // Returns if there is no other program.
      restart?.failed(err)
      throw err
    }
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
