import type { LocalUser } from '../../attest/index.ts'
import type { Protocol } from '../../core/index.ts'
import type { Address, Pattern } from '../../identity/index.ts'
import { ENDPOINT_IDLE_MS, HELLO_TIMEOUT_MS } from '../timing.ts'
import type { Strategy } from './balance.ts'
import type { EndpointSocket } from './endpoint-socket.ts'

/** A registration of this host that opens connections. */
export interface SourceHandle extends LocalUser {
  readonly registrationId: string
  readonly address: Address
}

/** What an endpoint is for. The same request gets the same endpoint. */
export interface EndpointRequest {
  readonly source: SourceHandle
  readonly destination: Pattern
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** Begin each connection with a FlowHello. */
  readonly hello: boolean
  /** A connection that is closed before a shutdown for writing is a reset, and no clean end. */
  readonly explicitEnd: boolean
}

/** A connection that was announced by Connect and has not arrived. */
interface Expected {
  /** The instance that answered the preflight. */
  readonly registrationId: string
  readonly untilMs: number
}

/** Connections that one endpoint expects at most; of more the oldest are forgotten, and choose their instance anew. */
const MAX_EXPECTED = 64

export function endpointKey(request: EndpointRequest): string {
  const { source, destination, protocol, strategy, hello, explicitEnd } = request
  return `${source.registrationId} ${protocol} ${strategy} ${hello} ${explicitEnd} ${destination.text}`
}

/** One local socket of a source. It lives while it has connections, and for some time after Connect or the last one. */
export class Endpoint {
  readonly request: EndpointRequest
  /** Settled once it listens. */
  readonly listening: Promise<EndpointSocket>
  #socket: EndpointSocket | undefined
  #connections = 0
  #expected: Expected[] = []
  #usedMs: number
  #expiresMs: number
  #reaper: NodeJS.Timeout | undefined
  #isClosed = false
  readonly #nowMs: () => number
  readonly #onExpired: () => void

  /** `onExpired` is called when it should be closed, since nobody uses it. */
  constructor(
    request: EndpointRequest,
    listening: Promise<EndpointSocket>,
    nowMs: () => number,
    onExpired: () => void
  ) {
    this.request = request
    this.#nowMs = nowMs
    this.#onExpired = onExpired
    this.#usedMs = nowMs()
    this.#expiresMs = this.#usedMs
    this.listening = listening.then(socket => {
      if (this.#isClosed) socket.close()
      this.#socket = socket
      return socket
    })
    this.listening.catch(() => {})
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether its path is still there for its user. True while it is being made. */
  get isThere(): boolean {
    return this.#socket === undefined || this.#socket.exists()
  }

  get isIdle(): boolean {
    return this.#connections === 0
  }

  /** Whether its path was given out a moment ago, for a connection that has not arrived. */
  get isAwaited(): boolean {
    const now = this.#nowMs()
    return this.#expected.some(({ untilMs }) => untilMs > now)
  }

  /** Time of its last connection or Connect, by the monotonic clock. */
  get usedMs(): number {
    return this.#usedMs
  }

  /** Its path is given out for a connection, which is best sent to the instance that answered the preflight. */
  expect(registrationId: string): void {
    const now = this.#nowMs()
    this.#usedMs = now
    this.#expected = this.#expected.filter(({ untilMs }) => untilMs > now).slice(1 - MAX_EXPECTED)
    this.#expected.push({ registrationId, untilMs: now + HELLO_TIMEOUT_MS })
    this.#expireAfter(HELLO_TIMEOUT_MS)
  }

  /** A connection begins. Returns the instance to try first, if there is one. */
  begin(): string | undefined {
    const now = this.#nowMs()
    this.#usedMs = now
    this.#connections += 1
    clearTimeout(this.#reaper)
    this.#expected = this.#expected.filter(({ untilMs }) => untilMs > now)
    return this.#expected.shift()?.registrationId
  }

  /** A connection has ended. */
  end(): void {
    this.#usedMs = this.#nowMs()
    this.#connections -= 1
    this.#expireAfter(ENDPOINT_IDLE_MS)
  }

  /** Stops listening and removes the path. Connections continue. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#reaper)
    this.#socket?.close()
  }

  #expireAfter(ms: number): void {
    const now = this.#nowMs()
    this.#expiresMs = Math.max(this.#expiresMs, now + ms)
    clearTimeout(this.#reaper)
    if (this.#isClosed || !this.isIdle) return
    this.#reaper = setTimeout(this.#onExpired, this.#expiresMs - now)
  }
}
