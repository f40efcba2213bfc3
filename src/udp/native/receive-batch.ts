import type { DatagramListener, Remote } from '../endpoint.ts'
import type { MessageCalls } from './calls.ts'
import { Header, MSG_TRUNC, NAME_BYTES } from './layout.ts'
import { Memory } from './memory.ts'
import { Messages } from './messages.ts'
import { NameCache } from './name-cache.ts'

/** Maximum of datagrams that one call reads, if they are small. */
export const SLOTS = 64
/**
 * Bytes of a slot beyond the largest datagram, so that not all slots begin in the same cache lines of the processor.
 */
const SPACING_BYTES = 576
const ARENA_BYTES = 2 * 1024 * 1024

const NOWHERE: Remote = { address: '', port: 0 }

/** Reads many datagrams with one call, from one socket after another. */
export class ReceiveBatch {
  readonly #calls: MessageCalls
  readonly #arena = new Memory(ARENA_BYTES)
  readonly #messages = new Messages(SLOTS)
  readonly #cache = new NameCache()
  readonly #from = (): Remote => this.#cache.read(this.#messages.names.bytes, this.#slot * NAME_BYTES) ?? NOWHERE
  #slot = 0
  #maxBytes = 0
  #isBusy = false

  constructor(calls: MessageCalls) {
    this.#calls = calls
    for (let slot = 0; slot < SLOTS; slot += 1) this.#messages.pointName(slot)
  }

  /**
   * Hands one batch of the datagrams that wait at a socket to `listener`, as long as the socket has a descriptor.
   * Datagrams longer than `maxBytes` are dropped. Network errors of single datagrams are skipped.
   */
  drain(fd: () => number | undefined, maxBytes: number, listener: DatagramListener): void {
    const open = fd()
    if (open === undefined || this.#isBusy) return
    const count = this.#describe(maxBytes)
    const received = Math.min(this.#calls.receive(open, this.#messages.address, count), count)
    this.#isBusy = true
    try {
      for (let slot = 0; slot < received && fd() !== undefined; slot += 1) this.#deliver(slot, listener)
    } finally {
      this.#isBusy = false
    }
  }

  #deliver(slot: number, listener: DatagramListener): void {
    const header = slot * Header.bytes
    const headers = this.#messages.headers.bytes
    const length = headers.readUInt32LE(header + Header.received)
    if (length > this.#maxBytes || (headers.readUInt32LE(header + Header.flags) & MSG_TRUNC) !== 0) return
    const at = slot * this.#stride
    this.#slot = slot
    listener(this.#arena.bytes.subarray(at, at + length), this.#from)
  }

  get #stride(): number {
    return this.#maxBytes + SPACING_BYTES
  }

  /** Prepares the headers, and returns the number of datagrams. */
  #describe(maxBytes: number): number {
    const count = Math.min(SLOTS, Math.floor(ARENA_BYTES / (maxBytes + SPACING_BYTES)))
    if (maxBytes !== this.#maxBytes) {
      this.#maxBytes = maxBytes
      for (let slot = 0; slot < count; slot += 1) {
        this.#messages.place(slot, this.#arena, slot * this.#stride, maxBytes)
      }
    }
    // The kernel overwrites these fields with the lengths of the names.
    for (let slot = 0; slot < count; slot += 1) {
      this.#messages.headers.bytes.writeUInt32LE(NAME_BYTES, slot * Header.bytes + Header.nameBytes)
    }
    return count
  }
}
