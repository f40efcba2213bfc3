import { type Clock, ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import type { WaitingHost } from '../../identity/index.ts'
import { type JoinStore, WAITING_MS } from '../../state/index.ts'

/** The hosts that an authority holds outside until an admin admits them. */
export class WaitingHosts {
  readonly #ledger: JoinStore
  readonly #clock: Clock
  readonly #log: Logger

  constructor(ledger: JoinStore, clock: Clock, log: Logger) {
    this.#ledger = ledger
    this.#clock = clock
    this.#log = log
  }

  /** Those that wait, longest first; `expiresAtMs` is the end of the wait. */
  list(): Array<WaitingHost & { readonly expiresAtMs: number }> {
    this.#ledger.forgetWaiting(this.#clock.wallMs())
    const waiting = this.#ledger.waiting().filter(({ state }) => state === 'waiting')
    return waiting.map(host => ({ ...host, expiresAtMs: host.askedAtMs + WAITING_MS }))
  }

  get count(): number {
    return this.#ledger.waitingCount()
  }

  /** Admits or refuses the host that waits under this name. Throws NOT_FOUND. */
  decide(machine: string, state: 'admitted' | 'refused'): WaitingHost & { readonly expiresAtMs: number } {
    const host = this.list().find(waiting => waiting.machine === machine)
    if (host === undefined) {
      throw new WarrenError(ErrorCode.NotFound, `no host named ${machine.slice(0, 63)} waits to be admitted here`, {
        hint: '`warren admit --list` lists the hosts that wait at this authority.'
      })
    }
    this.#ledger.decideWaiting(host, state)
    this.#log.info(`an admin has ${state} a host that waits`, { machine, peer: host.peer, remote: host.remote })
    return host
  }
}
