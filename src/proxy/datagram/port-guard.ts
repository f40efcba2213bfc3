import { type HostPort, WarrenError } from '../../core/index.ts'
import type { PortServer } from '../../workloads/index.ts'

/**
 * How long an answer of the kernel counts: the time for which a flow may go on to whoever takes the port of a server that
 * ended without a sign. At most ten questions of some microseconds a second for each flow on which something moves.
 */
export const RECHECK_MS = 100

/** Asks, while a flow of datagrams goes on, whether its packets still reach, and come from, a server that may have the port. */
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

  /** Whether a datagram may pass now: `nobody` has the port, or an error says why its holder must not have it. */
  verdict(): 'right' | 'nobody' | WarrenError {
    const now = this.#nowMs()
    if (now < this.#goodUntilMs) return 'right'
    try {
      // That nobody has it is no answer to rely on: whoever is next to bind may be anybody.
      if (this.#server.holder(this.#from) === undefined) return 'nobody'
    } catch (err) {
      return WarrenError.from(err)
    }
    this.#goodUntilMs = now + RECHECK_MS
    return 'right'
  }

  /** The server is gone, or may be: the next datagram waits for an answer of the kernel. */
  suspect(): void {
    this.#goodUntilMs = Number.NEGATIVE_INFINITY
  }
}
