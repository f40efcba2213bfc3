import { detach, type Logger, sleep } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

const ATTEMPTS = 3
const RETRY_MS = 250

/**
 * Sends acknowledgements, one at a time to each owner; while one is under way only the newest of the others is kept,
 * since it covers them.
 */
export class AckQueue {
  readonly #send: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => Promise<void>
  readonly #signal: AbortSignal
  readonly #log: Logger
  readonly #waiting = new Map<PeerKey, Uint8Array | undefined>()

  constructor(
    send: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
    log: Logger
  ) {
    this.#send = send
    this.#signal = signal
    this.#log = log
  }

  push(peer: PeerKey, bytes: Uint8Array): void {
    const underWay = this.#waiting.has(peer)
    this.#waiting.set(peer, bytes)
    if (!underWay) detach(this.#log, 'acknowledgement', this.#drain(peer), this.#signal)
  }

  async #drain(peer: PeerKey): Promise<void> {
    try {
      for (let next = this.#waiting.get(peer); next !== undefined; next = this.#waiting.get(peer)) {
        this.#waiting.set(peer, undefined)
        await this.#deliver(peer, next)
      }
    } finally {
      this.#waiting.delete(peer)
    }
  }

  async #deliver(peer: PeerKey, bytes: Uint8Array): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#send(peer, bytes, this.#signal)
        return
      } catch (err) {
        // The owner reports us as missing, until a later acknowledgement covers this one.
        if (attempt === ATTEMPTS) {
          this.#log.debug('acknowledgement lost', { peer, err })
          return
        }
        await sleep(RETRY_MS, this.#signal)
      }
    }
  }
}
