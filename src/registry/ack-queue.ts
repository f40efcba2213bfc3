import type { PeerKey } from '../identity/index.ts'
import type { Cancel, DriverPorts } from './driver-ports.ts'

const ATTEMPTS = 3
const RETRY_MS = 250

interface Delivery {
  /** The newest acknowledgement queued meanwhile; it covers all before it. */
  next: Uint8Array | undefined
  cancel: Cancel
}

/**
 * Sends acknowledgements, one at a time to each owner; while one is in progress, only the newest of the others is kept.
 *
 * After three failures an acknowledgement is dropped: the owner reports this host as missing until a later one covers it.
 */
export class AckQueue {
  readonly #ports: Pick<DriverPorts, 'ack' | 'after'>
  readonly #underWay = new Map<PeerKey, Delivery>()

  constructor(ports: Pick<DriverPorts, 'ack' | 'after'>) {
    this.#ports = ports
  }

  /** Owners with an acknowledgement in progress. At most as many as are held, or were held within a few seconds. */
  get size(): number {
    return this.#underWay.size
  }

  push(peer: PeerKey, bytes: Uint8Array): void {
    const running = this.#underWay.get(peer)
    if (running !== undefined) {
      running.next = bytes
      return
    }
    const delivery: Delivery = { next: undefined, cancel: () => {} }
    this.#underWay.set(peer, delivery)
    this.#attempt(peer, delivery, bytes, 1)
  }

  stop(): void {
    for (const { cancel } of this.#underWay.values()) cancel()
    this.#underWay.clear()
  }

  #attempt(peer: PeerKey, delivery: Delivery, bytes: Uint8Array, attempt: number): void {
    const onFailure = (): void => {
      if (attempt === ATTEMPTS) {
        this.#finish(peer, delivery)
        return
      }
      delivery.cancel = this.#ports.after(RETRY_MS, () => {
        // If a newer one is queued, it replaces the one that failed.
        const newest = delivery.next ?? bytes
        delivery.next = undefined
        this.#attempt(peer, delivery, newest, attempt + 1)
      })
    }
    delivery.cancel = this.#ports.ack(peer, bytes, () => this.#finish(peer, delivery), onFailure)
  }

  #finish(peer: PeerKey, delivery: Delivery): void {
    const { next } = delivery
    if (next === undefined) {
      this.#underWay.delete(peer)
      return
    }
    delivery.next = undefined
    this.#attempt(peer, delivery, next, 1)
  }
}
