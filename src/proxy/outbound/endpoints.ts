import type { Socket } from 'node:net'
import { accountOf, type LocalUser, sameUser } from '../../attest/index.ts'
import {
  type Metrics,
  RateLimitedLog,
  silentMetrics,
  UNAUTHENTICATED_LINES,
  type WarrenError
} from '../../core/index.ts'
import { spiffeIdOf } from '../../identity/index.ts'
import type { ProxyDeps } from '../deps.ts'
import { errorFrame, helloFrame } from '../hello.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import { endsFrom } from '../relay/index.ts'
import { firstBytesOf } from './arrived-bytes.ts'
import { Endpoint, type EndpointRequest, endpointKey } from './endpoint.ts'
import type { EndpointDirectory } from './endpoint-socket.ts'
import type { SourceFlows } from './source-flows.ts'

const NONE: ReadonlyMap<string, Endpoint> = new Map()

/** The local sockets that sources connect to. Each connection is a flow of its own. */
export class Endpoints {
  /** By account and then by what they are for. */
  readonly #accounts = new Map<string, Map<string, Endpoint>>()
  readonly #deps: ProxyDeps
  readonly #limits: ProxyLimits
  readonly #sourceFlows: SourceFlows
  readonly #directory: EndpointDirectory
  readonly #unauthenticated: RateLimitedLog

  constructor(deps: ProxyDeps, limits: ProxyLimits, sourceFlows: SourceFlows, directory: EndpointDirectory) {
    this.#deps = deps
    this.#limits = limits
    this.#sourceFlows = sourceFlows
    this.#directory = directory
    this.#unauthenticated = new RateLimitedLog(deps.log, deps.clock, UNAUTHENTICATED_LINES)
  }

  get size(): number {
    return this.#accounts.values().reduce((sum, { size }) => sum + size, 0)
  }

  /** Throws LIMIT_EXCEEDED if there is no endpoint for this request, and its user has too many that are in use. */
  requireRoom(request: EndpointRequest): void {
    const endpoints = this.#of(request.source)
    if (endpoints.has(endpointKey(request)) || endpoints.size < this.#limits.endpointsPerUid) return
    if (idlest(endpoints) === undefined) throw this.#full(request.source)
  }

  /**
   * Returns the path of the endpoint for this request, and makes that if there is none; if its user has too many, the
   * idlest one makes room. `preferred` is the instance that answered the preflight: the next connection is sent there.
   *
   * Rejects with CANNOT_CONNECT, INVALID_SOURCE or LIMIT_EXCEEDED.
   */
  async pathFor(request: EndpointRequest, preferred: string): Promise<string> {
    const { source } = request
    for (;;) {
      const endpoint = this.#known(request) ?? this.#make(request)
      endpoint.expect(preferred)
      try {
        const { path } = await endpoint.listening
        // The registration may have ended while the socket was made.
        this.#sourceFlows.requireAlive(source)
        if (!endpoint.isClosed) return path
      } catch (err) {
        this.#remove(endpoint)
        throw err
      }
    }
  }

  /** Removes the endpoints of a registration that ended; without an argument, all. */
  remove(registrationId?: string): void {
    for (const endpoint of [...this.#accounts.values()].flatMap(endpoints => [...endpoints.values()])) {
      if (registrationId === undefined || endpoint.request.source.registrationId === registrationId)
        this.#remove(endpoint)
    }
  }

  #of(user: LocalUser): ReadonlyMap<string, Endpoint> {
    return this.#accounts.get(accountOf(user)) ?? NONE
  }

  #known(request: EndpointRequest): Endpoint | undefined {
    const endpoint = this.#of(request.source).get(endpointKey(request))
    if (endpoint?.isThere === false) this.#remove(endpoint)
    return endpoint?.isClosed === false ? endpoint : undefined
  }

  #make(request: EndpointRequest): Endpoint {
    const { source } = request
    const { endpointsPerUid } = this.#limits
    const known = this.#of(source)
    if (known.size >= endpointsPerUid) {
      const victim = idlest(known)
      if (victim === undefined) throw this.#full(source)
      this.#metrics.hit('proxy_endpoints_per_uid', { limit: endpointsPerUid, uid: source.uid })
      this.#remove(victim)
    }
    const opening = this.#directory.open(source.uid, connection => this.#accept(endpoint, connection))
    const endpoint: Endpoint = new Endpoint(request, opening, this.#deps.clock.monotonicMs, () =>
      this.#remove(endpoint)
    )
    const account = accountOf(source)
    const endpoints = this.#accounts.get(account) ?? new Map<string, Endpoint>()
    this.#accounts.set(account, endpoints.set(endpointKey(request), endpoint))
    return endpoint
  }

  #full({ uid }: LocalUser): WarrenError {
    const { endpointsPerUid } = this.#limits
    return limitExceeded(this.#metrics, 'proxy_endpoints_per_uid', 'endpoints of this user', endpointsPerUid, { uid })
  }

  #remove(endpoint: Endpoint): void {
    endpoint.close()
    const account = accountOf(endpoint.request.source)
    const endpoints = this.#accounts.get(account)
    const key = endpointKey(endpoint.request)
    if (endpoints?.get(key) !== endpoint) return
    endpoints.delete(key)
    if (endpoints.size === 0) this.#accounts.delete(account)
  }

  get #metrics(): Metrics {
    return this.#deps.metrics ?? silentMetrics
  }

  #accept(endpoint: Endpoint, socket: Socket): void {
    // The handler stays: no other code handles an error before or after the flow.
    socket.on('error', () => {})
    if (!this.#isOwner(endpoint.request, socket)) {
      socket.destroy()
      return
    }
    this.#serve(endpoint.request, endpoint.begin(), socket)
      .catch((err: unknown) => {
        this.#deps.log.error('flow failed by a defect', { err })
        socket.destroy()
      })
      .finally(() => endpoint.end())
  }

  #isOwner({ source }: EndpointRequest, socket: Socket): boolean {
    const { uid } = source
    try {
      const caller = this.#deps.credentials.peerUser(socket)
      if (sameUser(caller, source)) return true
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

  async #serve(request: EndpointRequest, preferred: string | undefined, socket: Socket): Promise<void> {
    const { hello, explicitEnd, protocol } = request
    // A client that gets a hello waits for it.
    const first = hello || protocol !== 'tcp' ? undefined : firstBytesOf(socket)
    await this.#sourceFlows.carry({ ...request, preferred, first }, id => ({
      id,
      ends: opened => {
        if (hello) socket.write(helloFrame(id, spiffeIdOf(this.#deps.trustDomain, opened.candidate.address)))
        return endsFrom(socket, opened.end, explicitEnd)
      },
      refused: error => refuse(socket, hello, id, error)
    }))
  }
}

/** The endpoint that is missed least: of those without a connection one that nobody awaits, and that was used first. */
function idlest(endpoints: ReadonlyMap<string, Endpoint>): Endpoint | undefined {
  let found: Endpoint | undefined
  for (const endpoint of endpoints.values()) {
    if (endpoint.isIdle && (found === undefined || isIdler(endpoint, found))) found = endpoint
  }
  return found
}

function isIdler(one: Endpoint, other: Endpoint): boolean {
  return one.isAwaited === other.isAwaited ? one.usedMs < other.usedMs : other.isAwaited
}

// Without hello there is no way to send the reason: the connection only closes.
function refuse(socket: Socket, hello: boolean, flowId: string, error: WarrenError): void {
  if (!hello || socket.destroyed) {
    socket.destroy()
    return
  }
  socket.end(errorFrame(flowId, error), () => socket.destroy())
}
