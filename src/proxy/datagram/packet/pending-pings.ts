import { LruMap } from '../../../core/index.ts'
import type { Remote } from '../../../udp/index.ts'

/** Maximum of pings that wait for an answer. */
const MAX_PINGS = 16

export interface Ping {
  readonly remote: Remote
  readonly size: number
  readonly epoch: number
  /** Its answer makes a second path, beside the first. */
  readonly isForSecond: boolean
}

/** Pings that were sent, by their tokens. Beyond MAX_PINGS the oldest is removed. */
export class PendingPings {
  readonly #pings = new LruMap<string, Ping>(MAX_PINGS)

  add(token: Buffer, ping: Ping): void {
    this.#pings.set(token.toString('latin1'), ping)
  }

  /** Removes and returns the ping that an answer belongs to. */
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
