import { LruMap } from '../../../core/index.ts'
import type { Remote } from '../../../udp/index.ts'

/** Pings whose answer is waited for. */
const MAX_PINGS = 16

export interface Ping {
  readonly remote: Remote
  readonly size: number
  readonly epoch: number
}

/** Pings that were sent, by their tokens. With one more than MAX_PINGS the oldest is given up. */
export class PendingPings {
  readonly #pings = new LruMap<string, Ping>(MAX_PINGS)

  add(token: Buffer, ping: Ping): void {
    this.#pings.set(token.toString('latin1'), ping)
  }

  /** The ping that an answer belongs to, once. */
  take(token: Buffer): Ping | undefined {
    const key = token.toString('latin1')
    const ping = this.#pings.get(key)
    this.#pings.delete(key)
    return ping
  }

  clear(): void {
    this.#pings.clear()
  }
}
