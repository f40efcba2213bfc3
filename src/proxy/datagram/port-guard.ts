import { type HostPort, WarrenError } from '../../core/index.ts'
import type { PortServer } from '../../workloads/index.ts'

/**
 * Validity of an answer of the kernel: a flow may reach another process for this long, if that takes the port of a
 * server that ended without a sign. Costs at most ten queries of some microseconds a second for each flow that carries
 * datagrams.
 */
export const RECHECK_MS = 100

/**
 * Checks, while a flow of datagrams is open, that its packets still go to, and come from, a server that may have the
 * port.
 */
export class PortGuard {
  readonly #server: PortServer
  readonly #from: HostPort
  readonly #nowMs: () => number
  #goodUntilMs = Number.NEGATIVE_INFINITY

  /** `from` is our own end of the flow: with it the kernel names the very socket that gets its packets. */
  constructor(server: PortServer, from: HostPort, nowMs: () => number) {
    this.#server = server
    this.#from = from
    this.#nowMs = nowMs
  }

  /** Whether a datagram may pass now: `nobody` has the port, or an error explains why its holder must not have it. */
  verdict(): 'right' | 'nobody' | WarrenError {
    const now = this.#nowMs()
    if (now < this.#goodUntilMs) return 'right'
    try {
      // The answer that nobody has the port is not cached: the next process to bind it may be anybody.
      if (this.#server.holder(this.#from) === undefined) return 'nobody'
    } catch (err) {
      return WarrenError.from(err)
    }
    this.#goodUntilMs = now + RECHECK_MS
    return 'right'
  }

  /** The server has ended, or may have: the next datagram waits for an answer of the kernel. */
  suspect(): void {
    this.#goodUntilMs = Number.NEGATIVE_INFINITY
  }
}
