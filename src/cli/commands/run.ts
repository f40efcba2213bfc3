import type { Command } from 'commander'
import { type AgentClient, connect, defaultSource, type Registration, register } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { socketsAt } from '../../listeners/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { type Context, contextOf } from '../context.ts'
import { callersAt, meshProxy, ownUid, sendersHere } from '../listeners/proxy/index.ts'
import { StreamForwarder } from '../listeners/stream/forwarder.ts'
import { collect, dnsNameOption } from '../options/index.ts'
import { clauseWithHint, cliLogger, RateLimitedLines, withNextStep } from '../output/index.ts'
import { NotStarted, SignalRelay } from '../run/child.ts'
import { environmentFor } from '../run/environment.ts'
import { isolateNetwork } from '../run/isolate.ts'
import { type AddressPort, parsePair } from '../run/pair.ts'
import { SvidFiles } from '../run/svid-files.ts'

interface RunOptions {
  readonly as?: string
  readonly serve?: string[]
  readonly forward?: string[]
  readonly allow?: string[]
  readonly proxy: boolean
  readonly svidFiles?: true
  readonly dnsName?: string[]
  readonly isolated?: true
  readonly wait: boolean
}

/** What is made for the command, and ends with it; aborted: no more time for what is under way. */
type Undo = (over: AbortSignal) => unknown

const APPLICATION = 'warren run'
const KEEP_ALIVE_MS = 60_000
/** What a command wrote before it ended has so long to reach its server. */
const SETTLE_MS = 2_000

export function addRun(program: Command): void {
  program
    .command('run')
    .description('run a command as a workload: it reaches and serves the mesh without any setting of its own')
    .argument('<command...>', 'after --: the program and its arguments')
    .option(
      '--as <address>',
      'SCOPE.GROUP.NAME.RESOURCE of the command, for as long as it runs (default: none; it connects as SCOPE.user.YOU.default)'
    )
    .option(
      '--serve <address=port>',
      'the command listens on this port of 127.0.0.1, and serves that address; may be repeated',
      collect
    )
    .option(
      '--allow <pattern>',
      'let these sources of the same scope connect to it without a rule; may be repeated',
      collect
    )
    .option(
      '--forward <address=port>',
      'this port of 127.0.0.1 leads to that address or pattern; may be repeated',
      collect
    )
    .option('--no-proxy', 'make no proxy to ADDRESS.warren, and leave the variables for one as they are')
    .option('--svid-files', 'write its certificate and key to files; WARREN_SVID_DIR says where')
    .addOption(dnsNameOption())
    .option('--isolated', 'with a network that has warren and nothing else; needs root, on Linux')
    .addOption(noWaitOption())
    .action(async (argv: string[], options: RunOptions, command: Command) => {
      const serves = (options.serve ?? []).map(text => parsePair('--serve', text))
      const forwards = (options.forward ?? []).map(text => parsePair('--forward', text))
      if (options.allow !== undefined && serves.length === 0) {
        throw new WarrenError(ErrorCode.InvalidOption, '--allow is for an address that the command serves', {
          hint: 'Say which, and where the command listens: --serve dev.web.site.default=8080.'
        })
      }
      if (options.isolated === true && serves.length > 0) {
        throw new WarrenError(ErrorCode.InvalidOption, '--serve does not go with --isolated', {
          hint: 'The agent reaches no port of another network: let the command serve by the library, or leave --isolated out.'
        })
      }
      requireOwn(options)
      const context = contextOf(command)
      const signals = new SignalRelay()
      const undo: Undo[] = []
      try {
        if (options.isolated === true) await isolateNetwork()
        const env = await prepare(context, options, { serves, forwards }, signals.early, undo)
        process.exitCode = await signals.run({ argv, env })
      } catch (err) {
        if (!(err instanceof NotStarted)) throw err
        context.say(clauseWithHint(err))
        process.exitCode = err.exitCode
      } finally {
        const over = AbortSignal.timeout(SETTLE_MS)
        for (const one of undo.reverse()) await one(over)
      }
    })
}

interface Ports {
  readonly serves: readonly AddressPort[]
  readonly forwards: readonly AddressPort[]
}

/** Makes everything that the command needs, and returns its environment. */
async function prepare(
  context: Context,
  options: RunOptions,
  { serves, forwards }: Ports,
  signal: AbortSignal,
  undo: Undo[]
): Promise<NodeJS.ProcessEnv> {
  const { say } = context
  const agent = new AwaitedAgent(context, { wait: options.wait, signal })
  const failures = new RateLimitedLines(say)
  const onFailure = (err: unknown): void => failures.line(clauseWithHint(err), performance.now())
  const common = { application: APPLICATION, forUser: true, signal, log: cliLogger(say) }
  const hold = async (made: Promise<Registration>): Promise<Registration> => {
    const registration = await made
    undo.push(() => registration.close())
    void registration.closed.then(({ error }) => error !== undefined && onFailure(error))
    return registration
  }
  const { dnsName: dnsNames } = options
  const { as } = options
  const own = as && (await hold(agent.call(client => register(as, { ...common, client, dnsNames, wait: 'local' }))))
  // Without an agent there is nothing that the command could reach.
  if (!own) await agent.call(client => client.workload.listServices({ pattern: '*.*.*.*' }, { signal }))
  const { client } = agent
  undo.unshift(() => client.close())
  for (const { address, port } of serves) {
    const target = { tcp: `127.0.0.1:${port}` }
    await hold(register(address, { ...common, client, target, whitelist: options.allow ?? [], wait: 'local' }))
  }
  const uidOf = await callersAt('tcp').catch((err: unknown): undefined => {
    if (options.proxy) throw withoutProxy(err)
  })
  for (const pair of forwards) undo.push(await forward(pair, { client, as, uidOf, onFailure }))
  let proxy: string | undefined
  if (options.proxy && uidOf !== undefined) {
    const uids = new Set([ownUid()])
    const to = { client, as, strategy: 'balanced', application: APPLICATION } as const
    const onDrops = (text: string): void => failures.line(text, performance.now())
    const uidOfSender = await sendersHere()
    const local = meshProxy({ ...to, uidOf, uidOfSender, uids, keepAliveMs: KEEP_ALIVE_MS, onDrops, onFailure })
    proxy = await local.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    undo.push(over => ended(local, over))
  }
  let svidDir: string | undefined
  if (own && options.svidFiles === true) {
    const files = await SvidFiles.write(client, own.spiffeId, say, signal)
    undo.push(() => files.remove())
    svidDir = files.path
  }
  return environmentFor(process.env, {
    runtimeDir: client.runtimeDir,
    spiffeId: own ? own.spiffeId : undefined,
    proxy,
    svidDir
  })
}

interface ForwardPlace {
  readonly client: AgentClient
  readonly as: string | undefined
  readonly uidOf: Awaited<ReturnType<typeof callersAt>> | undefined
  readonly onFailure: (err: unknown) => void
}

async function forward({ address, port }: AddressPort, place: ForwardPlace): Promise<Undo> {
  const { client, uidOf, onFailure } = place
  const as = place.as ?? defaultSource(address)
  const forwarder = new StreamForwarder({
    open: async (local, signal) => {
      const uid = uidOf?.(local) ?? ownUid()
      if (uid !== ownUid()) throw new WarrenError(ErrorCode.PermissionDenied, `uid ${uid} may not use port ${port}`)
      try {
        return await connect(address, { client, as, signal, explicitEnd: true, application: APPLICATION })
      } catch (err) {
        throw withNextStep(err, as, address)
      }
    },
    keepAliveMs: KEEP_ALIVE_MS,
    onFailure
  })
  try {
    await forwarder.listen(socketsAt({ kind: 'tcp', host: '127.0.0.1', port }))
  } catch (cause) {
    const { code, reason } = WarrenError.from(cause)
    throw new WarrenError(code, reason, { hint: `Choose another: --forward ${address}=PORT.`, cause })
  }
  return over => ended(forwarder, over)
}

async function ended(ports: Pick<StreamForwarder, 'settle' | 'close'>, over: AbortSignal): Promise<void> {
  await ports.settle(over)
  ports.close()
}

/** Throws INVALID_OPTION for what needs an address of the command. */
function requireOwn({ as, svidFiles, dnsName }: RunOptions): void {
  if (as !== undefined || (svidFiles === undefined && dnsName === undefined)) return
  throw new WarrenError(ErrorCode.InvalidOption, '--svid-files and --dns-name are for the certificate of --as', {
    hint: 'Say whose it is: --as dev.shop.cart.default.'
  })
}

function withoutProxy(err: unknown): WarrenError {
  const { code, reason } = WarrenError.from(err)
  return new WarrenError(code, reason, {
    hint: 'Give --no-proxy, and --forward for what the command needs.',
    cause: err
  })
}
