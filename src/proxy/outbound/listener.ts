import { createServer, type Server, type Socket } from 'node:net'
import {
  detach,
  ErrorCode,
  type Logger,
  type Protocol,
  RateLimitedLog,
  UNAUTHENTICATED_LINES,
  WarrenError
} from '../../core/index.ts'
import type { Pattern } from '../../identity/index.ts'
import {
  type ClientLife,
  type DatagramFlow,
  DatagramForwarder,
  type Endpoint,
  type ListenerSockets,
  MAX_CLIENTS,
  socketsAt
} from '../../listeners/index.ts'
import { ClientLeg } from '../datagram/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { Cut, FirstBytes, Flow } from '../flow/index.ts'
import { abortSocket, resetOnClose } from '../legs/index.ts'
import { clientEnds, endsFrom, type FlowEnd } from '../relay/index.ts'
import { firstBytesOf } from './arrived-bytes.ts'
import type { Strategy } from './balance.ts'
import type { SourceHandle } from './endpoint.ts'
import { give } from './endpoint-socket.ts'
import type { SourceFlow, SourceFlows } from './source-flows.ts'

/** Where the flows of a local listener lead, and how its clients are treated. */
export interface ListenerRoute extends ClientLife {
  readonly destination: Pattern
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** How long a TCP client may be silent until the system asks whether it is still there, in milliseconds. 0: never. */
  readonly keepAliveMs: number
}

/** A local listener for unmodified clients, and where its flows lead. */
export interface ListenRequest extends ListenerRoute {
  readonly endpoint: Endpoint
  /** The user who may use a unix socket. */
  readonly uid: number
}

/** The source of one flow of a listener, until `release`. */
export interface AcquiredSource {
  readonly source: SourceHandle
  readonly release: () => void
}

/** How a listener gets its clients and the source of their flows, and who learns what went wrong. */
export interface ListenerParts {
  readonly sockets: ListenerSockets
  /** Called for each client, which waits. Its client is disconnected if it rejects. */
  readonly acquire: () => Promise<AcquiredSource>
  /** Called for each client that gets no flow, and for each flow that is cut. @default refusals are only logged */
  readonly onFailure?: (err: WarrenError) => void
  /** Called with what is said of dropped datagrams, at most once a minute. @default it is only logged */
  readonly onDrops?: (text: string) => void
}

/** A listener that the agent owns. Each client of it is a flow. */
export interface OwnedListener {
  /** As a person would type it. */
  readonly bound: string
  /** Takes no more clients: they wait while another process has the sockets too. */
  readonly pause: () => void
  /** Frees the port or path, and cuts the flows. Idempotent. @default cut because the listener was closed */
  readonly close: (cut?: Cut) => Promise<void>
}

/** A listener that the agent has bound. */
export interface LocalListener extends Pick<OwnedListener, 'bound'> {
  /** The source of all flows. Clients wait until it is known. */
  readonly serve: (source: SourceHandle) => void
  /** Frees the port or path, and cuts the flows with this reason. Idempotent. */
  readonly close: (reason?: string) => Promise<void>
}

export interface ListenerDeps {
  readonly deps: ProxyDeps
  readonly sourceFlows: SourceFlows
}

/** Binds a listener. Rejects with PORT_IN_USE, PERMISSION_DENIED, INVALID_ARGUMENT, UNSUPPORTED or CANNOT_CONNECT. */
export async function openListener(request: ListenRequest, deps: ListenerDeps): Promise<LocalListener> {
  const known = Promise.withResolvers<AcquiredSource>()
  known.promise.catch(() => {})
  const { endpoint, uid } = request
  const parts = { sockets: socketsAt(endpoint), acquire: () => known.promise }
  const { bound, close } = await listenOn(request, parts, deps)
  const end = async (reason: string): Promise<void> => {
    known.reject(new Error(CLOSED))
    await close({ kind: 'shutdown', text: reason })
  }
  try {
    // Until then its mode keeps everybody else out.
    if (endpoint.kind === 'unix' && uid !== process.getuid?.()) give(endpoint.path, uid)
  } catch (err) {
    await end(CLOSED)
    throw WarrenError.from(err)
  }
  return {
    bound,
    serve: source => known.resolve({ source, release: () => {} }),
    close: async (reason = CLOSED) => await end(reason)
  }
}

/** Makes a listener of sockets. Rejects as these do. */
export async function listenOn(route: ListenerRoute, parts: ListenerParts, deps: ListenerDeps): Promise<OwnedListener> {
  const listener = new Listener(route, parts, deps)
  const bound = await listener.begin()
  return { bound, pause: () => listener.pause(), close: cut => listener.close(cut) }
}

const CLOSED = 'its listener was closed'

class Listener {
  readonly #route: ListenerRoute
  readonly #parts: ListenerParts
  readonly #sourceFlows: SourceFlows
  readonly #log: Logger
  readonly #failures: RateLimitedLog
  readonly #servers: Server[] = []
  readonly #clients = new Set<Socket>()
  readonly #flows = new Set<Flow>()
  #release: () => void | Promise<void> = () => {}
  #isClosed = false

  constructor(route: ListenerRoute, parts: ListenerParts, { deps, sourceFlows }: ListenerDeps) {
    this.#route = route
    this.#parts = parts
    this.#sourceFlows = sourceFlows
    this.#log = deps.log
    this.#failures = new RateLimitedLog(deps.log, deps.clock, UNAUTHENTICATED_LINES)
  }

  async begin(): Promise<string> {
    try {
      return this.#route.protocol === 'udp' ? await this.#receiveDatagrams() : await this.#listen()
    } catch (err) {
      await this.close()
      throw WarrenError.from(err)
    }
  }

  pause(): void {
    for (const server of this.#servers) server.close()
  }

  async close(cut: Cut = { kind: 'shutdown', text: CLOSED }): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const released = this.#release()
    for (const server of this.#servers) server.close()
    // Their legs abort them; one that has no flow yet is reset here.
    for (const flow of this.#flows) flow.cut(cut)
    for (const client of this.#clients) abortSocket(client)
    await released
  }

  async #listen(): Promise<string> {
    const listening = await this.#parts.sockets.streams(() => this.#makeServer())
    this.#release = listening.remove
    return listening.bound
  }

  async #receiveDatagrams(): Promise<string> {
    const { idleMs, oneQuestion } = this.#route
    const { onFailure = () => {}, onDrops = () => {} } = this.#parts
    const local = await this.#parts.sockets.datagrams(err =>
      this.#failures.warn(this.#name, 'datagrams of a listener', { err })
    )
    const forwarder = new DatagramForwarder(local, {
      open: () => this.#openDatagrams(),
      idleMs,
      oneQuestion,
      // Refusals are logged as those of every flow.
      onFailure: err => onFailure(WarrenError.from(err)),
      onDrops: text => {
        this.#log.warn('datagrams of a listener dropped', { reason: text, address: local.bound })
        onDrops(text)
      }
    })
    this.#release = () => forwarder.close()
    return local.bound
  }

  get #name(): string {
    return this.#route.destination.text
  }

  #makeServer(): Server {
    const { keepAliveMs } = this.#route
    const keepAlive = { keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs }
    // The second of two small pieces from a server must not wait for the client's acknowledgement of the first.
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...keepAlive }
    const server = createServer(options, client => this.#accept(client))
    server.maxConnections = MAX_CLIENTS
    // The listener survives failures to accept, as for lack of descriptors; `streams` reports those of its start.
    server.on('error', () => {})
    this.#servers.push(server)
    return server
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    // A killed agent must not look like an answer that is complete.
    resetOnClose(client, true)
    if (this.#isClosed || this.#clients.size >= MAX_CLIENTS) {
      abortSocket(client)
      return
    }
    this.#clients.add(client)
    this.#carry(client)
      .catch((err: unknown) => {
        this.#log.error('flow failed by a defect', { err })
        abortSocket(client)
      })
      .finally(() => this.#clients.delete(client))
  }

  async #carry(client: Socket): Promise<void> {
    const failed = this.#parts.onFailure ?? (() => {})
    let acquired: AcquiredSource
    try {
      acquired = await this.#parts.acquire()
    } catch (err) {
      abortSocket(client)
      failed(WarrenError.from(err))
      return
    }
    const handlers = {
      ends: ({ end }: { end: FlowEnd }) => endsFrom(client, end),
      refused: (error: WarrenError) => {
        abortSocket(client)
        failed(error)
      }
    }
    await this.#open(acquired, handlers, firstBytesOf(client))
  }

  async #openDatagrams(): Promise<DatagramFlow> {
    const acquired = await this.#parts.acquire()
    const opened = Promise.withResolvers<DatagramFlow>()
    const leg = new ClientLeg()
    const carried = this.#open(acquired, {
      ends: ({ end }) => {
        const ends = clientEnds(leg, end)
        if (ends === undefined) throw new WarrenError(ErrorCode.Internal, 'a flow of bytes was opened for datagrams')
        opened.resolve(leg.client)
        return ends
      },
      refused: error => opened.reject(error)
    })
    detach(this.#log, 'datagrams of a listener', carried)
    return await opened.promise
  }

  async #open(
    { source, release }: AcquiredSource,
    handlers: Pick<SourceFlow, 'ends' | 'refused'>,
    first?: FirstBytes
  ): Promise<void> {
    const { destination, protocol, strategy } = this.#route
    let mine: Flow | undefined
    try {
      await this.#sourceFlows.carry({ source, destination, protocol, strategy, first }, id => ({
        ...handlers,
        id,
        entered: flow => {
          mine = flow
          this.#flows.add(flow)
        },
        cut: ({ text }) => {
          if (!this.#isClosed) this.#parts.onFailure?.(truncated(text))
        }
      }))
    } finally {
      if (mine !== undefined) this.#flows.delete(mine)
      release()
    }
  }
}

function truncated(reason: string): WarrenError {
  return new WarrenError(ErrorCode.StreamTruncated, `the connection was cut before its end: ${reason}`)
}
