import type { Socket } from 'node:net'
import {
  type AgentClient,
  connect,
  defaultSource,
  type MeshSocket,
  type Registration,
  register
} from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { socketsAt } from '../../listeners/index.ts'
import { AwaitedAgent } from '../await-agent.ts'
import type { Context } from '../context.ts'
import {
  besides,
  callersAt,
  explainRefusal,
  meshProxy,
  ownUid,
  RefusedHttp,
  sendersHere
} from '../listeners/proxy/index.ts'
import { StreamForwarder } from '../listeners/stream/forwarder.ts'
import { clauseWithHint, cliLogger, RateLimitedLines, withNextStep } from '../output/index.ts'
import type { SignalRelay } from './child.ts'
import { environmentFor } from './environment.ts'
import { mentionedNames, namesFor, type Wrap } from './names/index.ts'
import type { AddressPort } from './pair.ts'
import { type PrivateDirectory, privateDirectory } from './private-directory.ts'
import { SpiffeSocket } from './spiffe-socket.ts'
import { SvidFiles } from './svid-files.ts'

/** What a command gets. */
export interface Wishes {
  readonly argv: readonly string[]
  /** @default it connects as SCOPE.user.YOU.default */
  readonly as: string | undefined
  readonly dnsNames: readonly string[] | undefined
  readonly serves: readonly AddressPort[]
  /** Sources that may connect to what it serves without a rule. */
  readonly allow: readonly string[]
  readonly forwards: readonly AddressPort[]
  readonly proxy: boolean
  /** Names of DNS; undefined: if it mentions one, and if they can be had. */
  readonly names: boolean | undefined
  readonly svidFiles: boolean
  /** Wait for an agent that does not answer yet. */
  readonly wait: boolean
}

/** How a command is started that was prepared. */
export interface Prepared {
  readonly env: NodeJS.ProcessEnv
  readonly wrap: Wrap
}

/** What is made for the command, and ends with it; aborted: no more time for what is under way. */
export type Undo = (over: AbortSignal) => unknown

const APPLICATION = 'warren run'
const KEEP_ALIVE_MS = 60_000

/** Makes everything that a command needs. What ends it is added to `undo`, also if this rejects. */
export async function prepare(context: Context, wishes: Wishes, signals: SignalRelay, undo: Undo[]): Promise<Prepared> {
  const { say } = context
  const { early: signal } = signals
  const { as, dnsNames } = wishes
  const agent = new AwaitedAgent(context, { wait: wishes.wait, signal })
  const failures = new RateLimitedLines(say)
  const onFailure = (err: unknown): void => failures.line(clauseWithHint(err), performance.now())
  const common = { application: APPLICATION, signal, log: cliLogger(say) }
  const hold = async (made: Promise<Registration>): Promise<Registration> => {
    const registration = await made
    undo.push(() => registration.close())
    void registration.closed.then(({ error }) => error !== undefined && onFailure(error))
    return registration
  }
  let spiffe: SpiffeSocket | undefined
  const onLost = (): void => spiffe?.reset()
  // For this process alone: the command gets it by a socket of its own, and no other program of the user does.
  const own =
    as && (await hold(agent.call(client => register(as, { ...common, client, dnsNames, onLost, wait: 'local' }))))
  // Without an agent there is nothing that the command could reach.
  if (!own) await agent.call(client => client.workload.listServices({ pattern: '*.*.*.*' }, { signal }))
  const { client } = agent
  undo.unshift(() => client.close())
  for (const { address, port } of wishes.serves) {
    const target = { tcp: `127.0.0.1:${port}` }
    const options = { ...common, client, target, forUser: true, whitelist: wishes.allow, wait: 'local' } as const
    await hold(register(address, options))
  }
  let made: PrivateDirectory | undefined
  // A command that needs none also runs where none can be made.
  const directory = (): string => {
    if (made !== undefined) return made.path
    made = privateDirectory()
    undo.push(made.remove)
    return made.path
  }
  if (own) spiffe = await spiffeSocket({ client, own, directory: directory(), onFailure }, signals, undo)
  const uidOf = await callersAt('tcp').catch((err: unknown): undefined => {
    if (!WarrenError.is(err, ErrorCode.Unsupported)) throw err
    if (wishes.proxy) throw withoutProxy(err)
  })
  const open = opener({ client, as, uidOf, onFailure })
  for (const pair of wishes.forwards) {
    // Before the command is started, for a pattern that has no source.
    if (as === undefined) defaultSource(pair.address)
    undo.push(await forward(pair, open, onFailure))
  }
  const scope = as?.split('.', 1)[0]
  let proxy: string | undefined
  if (wishes.proxy && uidOf !== undefined) {
    const uids = new Set([ownUid()])
    const to = { client, as, scope, strategy: 'balanced', application: APPLICATION } as const
    const onDrops = (text: string): void => failures.line(text, performance.now())
    const uidOfSender = await sendersHere()
    const local = meshProxy({ ...to, uidOf, uidOfSender, uids, keepAliveMs: KEEP_ALIVE_MS, onDrops, onFailure })
    proxy = await local.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    undo.push(over => ended(local, over))
  }
  let svidDir: string | undefined
  if (own && wishes.svidFiles) {
    const files = await SvidFiles.write(client, own.spiffeId, say, signal)
    undo.push(() => files.remove())
    svidDir = files.path
  }
  const env = environmentFor(process.env, {
    runtimeDir: client.runtimeDir,
    spiffeId: own ? own.spiffeId : undefined,
    spiffeSocket: spiffe ? spiffe.path : undefined,
    proxy,
    svidDir
  })
  const mentioned = mentionedNames(wishes.argv, process.env)
  const wantsNames = wishes.names ?? (uidOf !== undefined && mentioned.size > 0)
  if (!wantsNames) return { env, wrap: argv => argv }
  if (uidOf === undefined) throw withoutNames()
  try {
    const places = { client, directory, scope, mentioned, open }
    const names = await namesFor(
      { ...places, hasProxy: proxy !== undefined, keepAliveMs: KEEP_ALIVE_MS, onFailure },
      signal
    )
    undo.push(over => names.close(over))
    return { env, wrap: names.wrap }
  } catch (err) {
    if (wishes.names === true || !WarrenError.is(err, ErrorCode.Unsupported)) throw err
    onFailure(err)
    return { env, wrap: argv => argv }
  }
}

async function spiffeSocket(
  place: Pick<Parameters<typeof SpiffeSocket.listen>[0], 'client' | 'own' | 'directory' | 'onFailure'>,
  signals: SignalRelay,
  undo: Undo[]
): Promise<SpiffeSocket> {
  const isBeside = await besides()
  const isOwn = (caller: Socket): boolean => signals.pid !== undefined && isBeside(caller, signals.pid)
  const socket = await SpiffeSocket.listen({ ...place, isOwn })
  undo.push(() => socket.close())
  return socket
}

interface Opening {
  readonly client: AgentClient
  readonly as: string | undefined
  readonly uidOf: Awaited<ReturnType<typeof callersAt>> | undefined
  readonly onFailure: (err: unknown) => void
}

type Open = (destination: string, local: Socket, signal: AbortSignal) => Promise<MeshSocket | undefined>

/** Opens connections for clients of this user, at ports that were made for the command. */
function opener({ client, as, uidOf, onFailure }: Opening): Open {
  const refused = new RefusedHttp({ onFailure })
  return async (destination, local, signal) => {
    const uid = uidOf?.(local) ?? ownUid()
    if (uid !== ownUid()) {
      throw new WarrenError(ErrorCode.PermissionDenied, `uid ${uid} may not use port ${local.localPort ?? '?'}`)
    }
    const source = as ?? defaultSource(destination)
    const open = async (): Promise<MeshSocket> => {
      try {
        return await connect(destination, { client, as: source, signal, explicitEnd: true, application: APPLICATION })
      } catch (err) {
        throw withNextStep(err, source, destination)
      }
    }
    const checks = async (err: unknown, limit: AbortSignal): Promise<string | undefined> =>
      await explainRefusal(client, err, source, destination, limit)
    return await refused.orAnswer(local, open, checks, signal)
  }
}

async function forward({ address, port }: AddressPort, open: Open, onFailure: (err: unknown) => void): Promise<Undo> {
  const forwarder = new StreamForwarder({
    open: (local, signal) => open(address, local, signal),
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

function withoutNames(): WarrenError {
  return new WarrenError(
    ErrorCode.Unsupported,
    'names serve your user alone, and this system names no user of a port',
    {
      hint: 'Use --forward ADDRESS=PORT, and leave --names out.'
    }
  )
}

function withoutProxy(err: unknown): WarrenError {
  const { code, reason } = WarrenError.from(err)
  return new WarrenError(code, reason, {
    hint: 'Give --no-proxy, and --forward for what the command needs.',
    cause: err
  })
}
