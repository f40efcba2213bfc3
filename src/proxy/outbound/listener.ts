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
  bindUdp,
  bindUnix,
  type ClientLife,
  type DatagramFlow,
  DatagramForwarder,
  type Endpoint,
  type LocalDatagrams,
  listenAtBoth,
  MAX_CLIENTS
} from '../../listeners/index.ts'
import { ClientLeg } from '../datagram/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { Flow } from '../flow/index.ts'
import { abortSocket, resetOnClose } from '../legs/index.ts'
import { clientEnds, endsFrom } from '../relay/index.ts'
import type { Strategy } from './balance.ts'
import type { SourceHandle } from './endpoint.ts'
import { give } from './endpoint-socket.ts'
import type { FlowRequest, SourceFlow, SourceFlows } from './source-flows.ts'

/** A local listener for unmodified clients, and where its flows lead. */
export interface ListenRequest extends ClientLife {
  readonly endpoint: Endpoint
  readonly destination: Pattern
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** How long a TCP client may be silent until the system asks whether it is still there, in milliseconds. 0: never. */
  readonly keepAliveMs: number
  /** The user who may use a unix socket. */
  readonly uid: number
}

/** A listener that the agent owns. Each client of it is a flow. */
export interface LocalListener {
  /** As a person would type it. */
  readonly bound: string
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
  const listener = new Listener(request, deps)
  const bound = await listener.bind()
  return { bound, serve: source => listener.serve(source), close: reason => listener.close(reason) }
}

const CLOSED = 'its listener was closed'

class Listener {
  readonly #request: ListenRequest
  readonly #sourceFlows: SourceFlows
  readonly #log: Logger
  readonly #failures: RateLimitedLog
  readonly #source = Promise.withResolvers<SourceHandle>()
  readonly #servers: Server[] = []
  readonly #clients = new Set<Socket>()
  readonly #flows = new Set<Flow>()
  #release: () => void | Promise<void> = () => {}
  #isClosed = false

  constructor(request: ListenRequest, { deps, sourceFlows }: ListenerDeps) {
    this.#request = request
    this.#sourceFlows = sourceFlows
    this.#log = deps.log
    this.#failures = new RateLimitedLog(deps.log, deps.clock, UNAUTHENTICATED_LINES)
    this.#source.promise.catch(() => {})
  }

  async bind(): Promise<string> {
    const { protocol, endpoint, uid } = this.#request
    try {
      const bound = protocol === 'udp' ? await this.#bindDatagrams() : await this.#bindStream()
      // Until then its mode keeps everybody else out.
      if (endpoint.kind === 'unix' && uid !== process.getuid?.()) give(endpoint.path, uid)
      return bound
    } catch (err) {
      await this.close()
      throw WarrenError.from(err)
    }
  }

  serve(source: SourceHandle): void {
    this.#source.resolve(source)
  }

  async close(reason = CLOSED): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#source.reject(new Error(CLOSED))
    const released = this.#release()
    for (const server of this.#servers) server.close()
    // Their legs abort them; one that has no flow yet is reset here.
    for (const flow of this.#flows) flow.cut({ kind: 'shutdown', text: reason })
    for (const client of this.#clients) abortSocket(client)
    await released
  }

  async #bindStream(): Promise<string> {
    const { endpoint } = this.#request
    const listening = await listenAtBoth(() => this.#makeServer(), endpoint)
    this.#release = listening.remove
    return listening.bound
  }

  async #bindDatagrams(): Promise<string> {
    const { endpoint, idleMs, oneQuestion } = this.#request
    const onFailure = (err: unknown): void => this.#failures.warn(this.#name, 'datagrams of a listener', { err })
    const local: LocalDatagrams =
      endpoint.kind === 'unix' ? await bindUnix(endpoint.path, { onFailure }) : await bindUdp(endpoint, onFailure)
    const forwarder = new DatagramForwarder(local, {
      open: () => this.#openDatagrams(),
      idleMs,
      oneQuestion,
      // Refusals are logged as those of every flow.
      onFailure: () => {},
      onDrops: text => this.#log.warn('datagrams of a listener dropped', { reason: text, address: local.bound })
    })
    this.#release = () => forwarder.close()
    return local.bound
  }

  get #name(): string {
    return this.#request.destination.text
  }

  #makeServer(): Server {
    const { keepAliveMs } = this.#request
    const keepAlive = { keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs }
    // The second of two small pieces from a server must not wait for the client's acknowledgement of the first.
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...keepAlive }
    const server = createServer(options, client => this.#accept(client))
    server.maxConnections = MAX_CLIENTS
    // The listener survives failures to accept, as for lack of descriptors; `listenAtBoth` reports those of its start.
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
    const request = await this.#flowRequest().catch(() => undefined)
    if (request === undefined) {
      abortSocket(client)
      return
    }
    await this.#open(request, {
      ends: ({ end }) => endsFrom(client, end),
      refused: () => abortSocket(client)
    })
  }

  async #openDatagrams(): Promise<DatagramFlow> {
    const request = await this.#flowRequest()
    const opened = Promise.withResolvers<DatagramFlow>()
    const leg = new ClientLeg()
    const carried = this.#open(request, {
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

  async #flowRequest(): Promise<FlowRequest> {
    const { destination, protocol, strategy } = this.#request
    return { source: await this.#source.promise, destination, protocol, strategy }
  }

  async #open(request: FlowRequest, handlers: Pick<SourceFlow, 'ends' | 'refused'>): Promise<void> {
    let mine: Flow | undefined
    try {
      await this.#sourceFlows.carry(request, id => ({
        ...handlers,
        id,
        entered: flow => {
          mine = flow
          this.#flows.add(flow)
        }
      }))
    } finally {
      if (mine !== undefined) this.#flows.delete(mine)
    }
  }
}
