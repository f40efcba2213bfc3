import type { Socket } from 'node:net'
import { accountOf, type LocalUser, sameUser } from '../../attest/index.ts'
import { ErrorCode, type Protocol, RateLimitedLog, silentMetrics, WarrenError, within } from '../../core/index.ts'
import { type Address, formatAddress, type Pattern } from '../../identity/index.ts'
import { EXPECTED_CARRIER } from '../carriers/index.ts'
import type { ProxyDeps } from '../deps.ts'
import { type Flow, type FlowTable, newFlowId } from '../flow/index.ts'
import { errorFrame, helloFrame } from '../hello.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import { endsFrom, joinFlow } from '../relay/index.ts'
import { ENDPOINT_IDLE_MS, HELLO_TIMEOUT_MS, OPEN_TIMEOUT_MS, UDP_IDLE_MS } from '../timing.ts'
import { UNAUTHENTICATED_LINES } from '../unauthenticated-lines.ts'
import type { Strategy } from './balance.ts'
import type { EndpointDirectory, EndpointSocket } from './endpoint-socket.ts'
import type { Outbound } from './outbound.ts'

/** A registration of this host that opens connections. */
export interface SourceHandle extends LocalUser {
  readonly registrationId: string
  readonly address: Address
}

export interface EndpointOptions {
  readonly source: SourceHandle
  readonly destination: Pattern
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** Begin each connection with a FlowHello. */
  readonly hello: boolean
  /** A connection that is closed before a shutdown for writing is a reset, and no clean end. */
  readonly explicitEnd: boolean
  /** The instance that answered the preflight; the first connection is sent there. */
  readonly preferred: string
}

interface Endpoint {
  readonly options: EndpointOptions
  socket: EndpointSocket | undefined
  connections: number
  preferred: string | undefined
  reaper: NodeJS.Timeout | undefined
}

/** The local sockets that sources connect to. Each connection is a flow of its own. */
export class Endpoints {
  readonly #endpoints = new Set<Endpoint>()
  readonly #perUser = new Map<string, number>()
  readonly #deps: ProxyDeps
  readonly #limits: ProxyLimits
  readonly #flows: FlowTable
  readonly #outbound: Outbound
  readonly #directory: EndpointDirectory
  readonly #stopping: AbortSignal
  readonly #unauthenticated: RateLimitedLog

  constructor(
    deps: ProxyDeps,
    limits: ProxyLimits,
    flows: FlowTable,
    outbound: Outbound,
    directory: EndpointDirectory,
    stopping: AbortSignal
  ) {
    this.#deps = deps
    this.#limits = limits
    this.#flows = flows
    this.#outbound = outbound
    this.#directory = directory
    this.#stopping = stopping
    this.#unauthenticated = new RateLimitedLog(deps.log, deps.clock, UNAUTHENTICATED_LINES)
  }

  get size(): number {
    return this.#endpoints.size
  }

  /** Throws LIMIT_EXCEEDED if this user has too many endpoints. */
  requireRoom(user: LocalUser): void {
    const { uid } = user
    const { endpointsPerUid } = this.#limits
    if ((this.#perUser.get(accountOf(user)) ?? 0) < endpointsPerUid) return
    const metrics = this.#deps.metrics ?? silentMetrics
    throw limitExceeded(metrics, 'proxy_endpoints_per_uid', 'endpoints of this user', endpointsPerUid, { uid })
  }

  /** Makes an endpoint and returns its path. Rejects with CANNOT_CONNECT or LIMIT_EXCEEDED. */
  async create(options: EndpointOptions): Promise<string> {
    const { uid, registrationId } = options.source
    const account = accountOf(options.source)
    this.requireRoom(options.source)
    const endpoint: Endpoint = {
      options,
      socket: undefined,
      connections: 0,
      preferred: options.preferred,
      reaper: undefined
    }
    this.#endpoints.add(endpoint)
    this.#perUser.set(account, (this.#perUser.get(account) ?? 0) + 1)
    try {
      const socket = await this.#directory.open(uid, connection => this.#accept(endpoint, connection))
      endpoint.socket = socket
      // The registration may have ended while the socket was made.
      if (!this.#endpoints.has(endpoint) || this.#stopping.aborted || !this.#deps.local.isAlive(registrationId)) {
        socket.close()
        throw new WarrenError(ErrorCode.InvalidSource, `${formatAddress(options.source.address)} is not registered`)
      }
      this.#reapAfter(endpoint, HELLO_TIMEOUT_MS)
      return socket.path
    } catch (err) {
      this.#remove(endpoint)
      throw err
    }
  }

  /** Removes the endpoints of a registration that ended; without an argument, all. */
  remove(registrationId?: string): void {
    for (const endpoint of [...this.#endpoints]) {
      if (registrationId === undefined || endpoint.options.source.registrationId === registrationId)
        this.#remove(endpoint)
    }
  }

  #remove(endpoint: Endpoint): void {
    if (!this.#endpoints.delete(endpoint)) return
    const account = accountOf(endpoint.options.source)
    const left = (this.#perUser.get(account) ?? 1) - 1
    if (left > 0) this.#perUser.set(account, left)
    else this.#perUser.delete(account)
    clearTimeout(endpoint.reaper)
    endpoint.socket?.close()
  }

  #reapAfter(endpoint: Endpoint, ms: number): void {
    clearTimeout(endpoint.reaper)
    endpoint.reaper = setTimeout(() => this.#remove(endpoint), ms)
  }

  #accept(endpoint: Endpoint, socket: Socket): void {
    // The handler stays: no other code handles an error before or after the flow.
    socket.on('error', () => {})
    if (!this.#isOwner(endpoint, socket)) {
      socket.destroy()
      return
    }
    clearTimeout(endpoint.reaper)
    endpoint.connections += 1
    this.#serve(endpoint, socket)
      .catch((err: unknown) => {
        this.#deps.log.error('flow failed by a defect', { err })
        socket.destroy()
      })
      .finally(() => {
        endpoint.connections -= 1
        if (endpoint.connections === 0 && this.#endpoints.has(endpoint)) this.#reapAfter(endpoint, ENDPOINT_IDLE_MS)
      })
  }

  #isOwner({ options }: Endpoint, socket: Socket): boolean {
    const { uid } = options.source
    try {
      const caller = this.#deps.credentials.peerUser(socket)
      if (sameUser(caller, options.source)) return true
      const reason = caller.uid === uid ? `the process ${caller.view.whyNot || 'is of the host'}` : ''
      this.#unauthenticated.warn(String(caller.uid), 'another user connected to an endpoint', {
        uid: caller.uid,
        reason
      })
    } catch (err) {
      this.#unauthenticated.warn(String(uid), 'caller of an endpoint cannot be identified', { uid, err })
    }
    return false
  }

  async #serve(endpoint: Endpoint, socket: Socket): Promise<void> {
    const { source, destination, protocol, strategy, hello, explicitEnd } = endpoint.options
    const id = newFlowId()
    const { preferred } = endpoint
    endpoint.preferred = undefined
    let flow: Flow
    try {
      flow = this.#enter(source, protocol, id)
    } catch (err) {
      refuse(socket, hello, id, WarrenError.from(err))
      return
    }
    const { signal } = flow
    try {
      this.#requireAlive(source)
      const opened = await within(OPEN_TIMEOUT_MS, [signal, this.#stopping], limit =>
        this.#outbound.open(flow, { destination, protocol, strategy, preferred }, limit)
      )
      if (hello) socket.write(helloFrame(id, opened.spiffeId))
      const { udpIdleMs: idleMs = UDP_IDLE_MS, metrics = silentMetrics } = this.#deps
      this.#flows.opened(flow)
      const cut = await joinFlow(flow, endsFrom(socket, opened.end, explicitEnd), { idleMs, metrics })
      this.#flows.finish(flow, cut)
    } catch (err) {
      const error = openError(err, destination)
      this.#flows.end(flow, error.reason, error.code)
      refuse(socket, hello, id, error)
    }
  }

  #requireAlive({ registrationId, address }: SourceHandle): void {
    if (!this.#deps.local.isAlive(registrationId)) {
      throw new WarrenError(ErrorCode.InvalidSource, `${formatAddress(address)} is not registered`)
    }
  }

  #enter(source: SourceHandle, protocol: Protocol, id: string): Flow {
    return this.#flows.enter({
      id,
      direction: 'outbound',
      source: source.address,
      sourceId: source.registrationId,
      sourceMachine: this.#deps.machine,
      protocol,
      carrier: EXPECTED_CARRIER
    })
  }
}

/** Converts the failure to open a flow to an error of Connect. */
export function openError(err: unknown, destination: Pattern): WarrenError {
  if (err instanceof DOMException && err.name === 'TimeoutError') {
    return new WarrenError(ErrorCode.DestinationUnreachable, `${destination.text} did not answer in time`, {
      cause: err
    })
  }
  return WarrenError.from(err)
}

// Without hello there is no way to send the reason: the connection only closes.
function refuse(socket: Socket, hello: boolean, flowId: string, error: WarrenError): void {
  if (!hello || socket.destroyed) {
    socket.destroy()
    return
  }
  socket.end(errorFrame(flowId, error), () => socket.destroy())
}
