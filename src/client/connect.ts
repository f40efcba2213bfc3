import type { Socket } from 'node:net'
import { definedOnly, ErrorCode, raceAbort, WarrenError, within } from '../core/index.ts'
import { apiPb } from '../wire/index.ts'
import { type AgentClient, type AgentClientOptions, sharedClient } from './agent-client.ts'
import { MeshDatagramSocket } from './datagram-socket.ts'
import { defaultSource } from './default-source.ts'
import { dialAgent } from './dial-agent.ts'
import { systemCode } from './from-connect-error.ts'
import { endpointHint } from './from-container.ts'
import { type Peer, readHello } from './peer.ts'
import { type Source, type SourceOptions, sourcesOf } from './sources.ts'
import { surfaceTruncation } from './truncation.ts'
import { Witness } from './witness.ts'

export interface ConnectOptions extends Omit<AgentClientOptions, 'timeoutMs'>, SourceOptions {
  /**
   * The address to connect as (four components), which is registered for as long as it has connections.
   *
   * @default `<scope of the destination>.user.<user name>.default`
   */
  readonly as?: string | undefined
  /** @default 'tcp' */
  readonly protocol?: 'tcp' | undefined
  /**
   * How one of several matching instances is selected: `balanced` (one of this host, else of its zone; the less busy for its
   * weight), `spread` (as balanced, wherever they are), `first` (by address; the others stand by), `sticky` (the same one for the
   * same source), `exact` (the one of a five-part address, one attempt).
   *
   * @default 'balanced'
   */
  readonly strategy?: Strategy | undefined
  /**
   * Whether both ends of the connection are exact. Then only `end` ends this direction: a socket that is destroyed
   * before, or whose process ends, is reset at the other end. And every cut is an error here: after `end` the agent is
   * asked, one call for each connection. Without it every close is a clean end, as that of a program without this
   * library.
   *
   * @default false
   */
  readonly explicitEnd?: boolean | undefined
  /** Cancels connecting. Has no effect on the socket afterwards. */
  readonly signal?: AbortSignal | undefined
  /** Time limit for everything: registration, agents and the other end, in milliseconds. @default 15_000 */
  readonly timeoutMs?: number | undefined
  /** The client to use. @default the shared one of the runtime directory */
  readonly client?: AgentClient | undefined
  /** Called when a step is done: the source is registered; all checks up to the other end have passed; the other end has accepted. */
  readonly onStep?: ((step: ConnectStep) => void) | undefined
}

export type ConnectStep = 'registered' | 'checked' | 'accepted'

export type Strategy = keyof typeof STRATEGIES

const STRATEGIES = {
  balanced: apiPb.Strategy.BALANCED,
  spread: apiPb.Strategy.SPREAD,
  first: apiPb.Strategy.FIRST,
  sticky: apiPb.Strategy.STICKY,
  exact: apiPb.Strategy.EXACT
} as const

/** Same as ConnectOptions, for a flow of datagrams. */
export interface ConnectDatagramOptions extends Omit<ConnectOptions, 'protocol'> {
  readonly protocol: 'udp'
}

/** A connected `net.Socket`, with the peer at its other end. */
export type MeshSocket = Socket & { readonly peer: Peer }

const TIMEOUT_MS = 15_000
/** Time for a token that the agent no longer knows to be replaced, in milliseconds. */
const RENEWAL_MS = 2_000
/** A remembered endpoint that no longer exists and a stale token may each cost one more attempt. */
const MAX_ATTEMPTS = 3

/**
 * Connects to an instance of `destination`: an address, or a pattern such as `dev.web.{nginx,caddy}.*`.
 *
 * Resolves once the other end has accepted. Rejects with TIMEOUT, INVALID_SOURCE, DESTINATION_NOT_FOUND,
 * DESTINATION_UNREACHABLE, CANNOT_CONNECT or UNAUTHORIZED; INVALID_ARGUMENT, AGENT_NOT_RUNNING; or the reason of the
 * signal. The socket is half-open: end it. A connection that is cut fails with STREAM_TRUNCATED or ECONNRESET if that
 * is detectable.
 *
 * With protocol `udp` it resolves with a socket for datagrams, once the other end's agent has accepted.
 */
export async function connect(destination: string, options: ConnectDatagramOptions): Promise<MeshDatagramSocket>
export async function connect(destination: string, options?: ConnectOptions): Promise<MeshSocket>
export async function connect(
  destination: string,
  options: ConnectOptions | ConnectDatagramOptions = {}
): Promise<MeshSocket | MeshDatagramSocket> {
  const { as = defaultSource(destination), signal, timeoutMs = TIMEOUT_MS } = options
  const client = options.client ?? sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env }))
  return await within(timeoutMs, [signal], async limit => {
    try {
      return await connectAs(client, destination, as, options, timeoutMs, limit)
    } catch (err) {
      if (!limit.aborted || signal?.aborted === true) throw err
      throw new WarrenError(ErrorCode.Timeout, `${destination} did not answer within ${timeoutMs} ms`, { cause: err })
    }
  })
}

/**
 * Performs the checks of `connect` up to the other end, and opens no connection. Rejects as it does.
 *
 * A connection may still fail later: what is found holds for this moment.
 */
export async function preflight(destination: string, options: ConnectOptions = {}): Promise<void> {
  const { as = defaultSource(destination), signal, timeoutMs = TIMEOUT_MS, strategy = 'balanced' } = options
  const { explicitEnd = false } = options
  const client = options.client ?? sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env }))
  await within(timeoutMs, [signal], async limit => {
    const source = await sourcesOf(client).acquire(as, options, limit)
    try {
      await prepare(client, source, { destination, protocol: 'tcp', strategy, explicitEnd }, limit)
    } finally {
      source.release()
    }
  })
}

async function connectAs(
  client: AgentClient,
  destination: string,
  as: string,
  options: ConnectOptions | ConnectDatagramOptions,
  timeoutMs: number,
  signal: AbortSignal
): Promise<MeshSocket | MeshDatagramSocket> {
  const { protocol = 'tcp', strategy = 'balanced', explicitEnd = false, onStep = () => {} } = options
  const source = await sourcesOf(client).acquire(as, options, signal)
  try {
    onStep('registered')
    const request = { destination, protocol, strategy, explicitEnd, onChecked: () => onStep('checked') }
    const socket = await attempt(client, source, request, timeoutMs, signal)
    onStep('accepted')
    socket.once('close', source.release)
    followRefs(socket, source)
    return protocol === 'udp' ? new MeshDatagramSocket(socket, socket.peer) : socket
  } catch (err) {
    source.release()
    throw err
  }
}

// An `unref` of all connections of a source is one of its registration.
function followRefs(socket: Socket, source: Source): void {
  const own = { ref: socket.ref.bind(socket), unref: socket.unref.bind(socket) }
  socket.ref = () => {
    source.ref()
    return own.ref()
  }
  socket.unref = () => {
    source.unref()
    return own.unref()
  }
}

interface OpenRequest {
  readonly destination: string
  readonly protocol: 'tcp' | 'udp'
  readonly strategy: Strategy
  readonly explicitEnd: boolean
  readonly onChecked?: () => void
}

// Endpoints differ by protocol, strategy and the meaning of a close.
function keyOf({ destination, protocol, strategy, explicitEnd }: OpenRequest): string {
  return `${protocol}:${strategy}:${explicitEnd ? 'explicit' : 'close'}:${destination}`
}

async function attempt(
  client: AgentClient,
  source: Source,
  request: OpenRequest,
  timeoutMs: number,
  signal: AbortSignal
): Promise<MeshSocket> {
  for (let attempts = 1; ; attempts += 1) {
    const token = source.registration.token
    const known = source.endpoints.get(keyOf(request))
    try {
      const path = known ?? (await prepare(client, source, request, signal))
      return await open(path, client, request.explicitEnd, timeoutMs, signal)
    } catch (err) {
      source.forget(keyOf(request))
      if (signal.aborted || attempts === MAX_ATTEMPTS) throw err
      if (known !== undefined && isGone(err)) continue
      if (WarrenError.is(err, ErrorCode.InvalidSource) && (await isRenewed(source, token, signal))) continue
      if (!WarrenError.is(err, ErrorCode.StreamTruncated)) throw err
      throw new WarrenError(ErrorCode.CannotConnect, 'the agent closed the connection without a reason', {
        cause: err
      })
    }
  }
}

/** Asks the agent for an endpoint, which performs all checks up to the other end. */
async function prepare(
  client: AgentClient,
  source: Source,
  request: OpenRequest,
  signal: AbortSignal
): Promise<string> {
  const { destination, explicitEnd } = request
  const strategy = STRATEGIES[request.strategy]
  const protocol = request.protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
  const call = { token: source.registration.token, destination, protocol, strategy, hello: true, explicitEnd }
  const { path } = await client.workload.connect(call, { signal })
  source.remember(keyOf(request), path)
  request.onChecked?.()
  return path
}

async function open(
  path: string,
  client: AgentClient,
  explicitEnd: boolean,
  timeoutMs: number,
  signal: AbortSignal
): Promise<MeshSocket> {
  let socket: Socket
  try {
    socket = dialAgent(path, client.runtimeDir, { allowHalfOpen: true })
  } catch (err) {
    throw toEndpointError(err, path)
  }
  const connected = Promise.withResolvers<void>()
  socket.once('connect', connected.resolve)
  // The handler stays until the caller has the socket, so that a failure in between cannot be unhandled.
  socket.on('error', connected.reject)
  try {
    await raceAbort(connected.promise, signal)
    const peer = await readHello(socket, timeoutMs, signal)
    socket.off('error', connected.reject)
    return Object.assign(surfaceTruncation(socket, new Witness(client, peer.flowId), explicitEnd), { peer })
  } catch (err) {
    socket.on('error', () => {})
    socket.destroy()
    throw signal.aborted ? err : toEndpointError(err, path)
  }
}

function toEndpointError(err: unknown, path: string): WarrenError {
  if (err instanceof WarrenError) return err
  const code = systemCode(err)
  return code === 'EACCES'
    ? new WarrenError(ErrorCode.PermissionDenied, 'the endpoint belongs to another user', { cause: err })
    : new WarrenError(
        ErrorCode.CannotConnect,
        `the endpoint does not answer: ${code ?? String(err)}`,
        definedOnly({ cause: err, hint: code === 'ENOENT' ? endpointHint(path) : undefined })
      )
}

// The endpoint was removed, or its agent restarted or ended before the hello.
function isGone(err: unknown): boolean {
  const code = systemCode(err)
  return (
    code === 'ENOENT' ||
    code === 'ECONNREFUSED' ||
    code === 'ECONNRESET' ||
    WarrenError.is(err, ErrorCode.StreamTruncated) ||
    WarrenError.is(err, ErrorCode.InvalidSource)
  )
}

// After a restart of the agent the token is unknown until the registration has been made again.
async function isRenewed(source: Source, stale: string, signal: AbortSignal): Promise<boolean> {
  try {
    await within(RENEWAL_MS, [signal], limit => source.registration.renewed(stale, limit))
    return true
  } catch {
    return false
  }
}
