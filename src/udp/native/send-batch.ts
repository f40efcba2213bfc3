import { constants } from 'node:os'
import { atEndOfTurn } from '../../core/index.ts'
import type { DropListener } from '../endpoint.ts'
import { type MessageCalls, SOL_UDP, UDP_SEGMENT } from './calls.ts'
import { Control, Header, NAME_BYTES } from './layout.ts'
import { Memory } from './memory.ts'
import { Messages } from './messages.ts'

const { EAGAIN, EWOULDBLOCK, ENOBUFS, ENOMEM, ECONNREFUSED, EINVAL, EIO, EMSGSIZE, EOPNOTSUPP } = constants.errno
const FULL: ReadonlySet<number> = new Set([-EAGAIN, -EWOULDBLOCK, -ENOBUFS, -ENOMEM])
/** The device or the path does not support segmentation; the datagrams themselves may be valid. */
const UNCUT: ReadonlySet<number> = new Set([-EINVAL, -EIO, -EMSGSIZE, -EOPNOTSUPP])

/** Maximum of datagrams that one call sends. */
export const SLOTS = 128
/** Maximum of their bytes together: two of the largest. */
export const ARENA_BYTES = 128 * 1024
/** The kernel does not segment larger datagrams: on Ethernet it would have to fragment each. */
const MAX_SEGMENT_BYTES = 1_452
/** UDP_MAX_SEGMENTS of kernels before 6.9, and the maximum bytes of one message. */
const MAX_SEGMENTS = 64
const MAX_SEGMENTED_BYTES = 65_000

/** The sender of datagrams: a socket. */
export interface Origin {
  /** Undefined once it is closed. */
  readonly fd: () => number | undefined
  /** Whether the kernel segments messages for it. */
  readonly segments: () => boolean
  /** Called when the kernel refused to segment. */
  readonly refusedSegments: () => void
}

/**
 * Collects the datagrams of one turn of the event loop and sends them with one system call. Neighbours of one size with
 * the same destination form one message, which the kernel segments as late as possible.
 *
 * Holds datagrams of one socket at a time. Datagrams that the system refuses are dropped and reported.
 */
export class SendBatch {
  readonly #calls: MessageCalls
  readonly #arena = new Memory(ARENA_BYTES)
  readonly #messages = new Messages(SLOTS)
  readonly #controls = new Memory(SLOTS * Control.bytes)
  readonly #onTurn = (): void => {
    this.#isAwaited = false
    this.flush()
  }
  readonly #offsets = new Uint32Array(SLOTS + 1)
  readonly #to: (Buffer | undefined)[] = new Array(SLOTS).fill(undefined)
  readonly #listeners: (DropListener | undefined)[] = new Array(SLOTS).fill(undefined)
  /** The first slot of each message, and the end of the last. */
  readonly #firsts = new Uint32Array(SLOTS + 1)
  #origin: Origin | undefined
  #count = 0
  #isAwaited = false

  constructor(calls: MessageCalls) {
    this.#calls = calls
    this.#controls.bytes.fill(0)
    for (let index = 0; index < SLOTS; index += 1) this.#prepare(index)
  }

  /**
   * Accepts a datagram; `to` is a name of the system, the same object for the same address. Throws RangeError above
   * ARENA_BYTES.
   */
  add(origin: Origin, payload: Uint8Array, to: Buffer | undefined, onDrop: DropListener | undefined): void {
    const size = payload.length
    if (size > ARENA_BYTES) throw new RangeError(`a datagram of ${size} bytes`)
    if (to !== undefined && to.length > NAME_BYTES) throw new RangeError(`a name of ${to.length} bytes`)
    if (this.#origin !== origin || this.#count === SLOTS || this.#end + size > ARENA_BYTES) this.flush()
    const slot = this.#count
    const at = this.#end
    this.#origin = origin
    this.#arena.bytes.set(payload, at)
    this.#offsets[slot + 1] = at + size
    this.#to[slot] = to
    this.#listeners[slot] = onDrop
    this.#count = slot + 1
    if (this.#isAwaited) return
    this.#isAwaited = true
    atEndOfTurn(this.#onTurn)
  }

  /** Whether a datagram of this socket waits here. */
  holds(origin: Origin): boolean {
    return this.#origin === origin
  }

  flush(): void {
    const origin = this.#origin
    const count = this.#count
    this.#origin = undefined
    this.#count = 0
    if (origin === undefined) return
    const fd = origin.fd()
    let slot = fd === undefined ? count : 0
    let cut = origin.segments()
    while (fd !== undefined && slot < count) {
      const messages = this.#describe(slot, count, cut)
      const sent = this.#calls.send(fd, this.#messages.address, messages)
      if (sent > 0) {
        slot = this.#firsts[Math.min(sent, messages)] ?? count
      } else if (sent === 0 || FULL.has(sent)) {
        this.#drop(slot, count)
        slot = count
      } else if (UNCUT.has(sent) && (this.#firsts[1] ?? 0) - slot > 1) {
        cut = false
        origin.refusedSegments()
      } else {
        // ECONNREFUSED belongs to an earlier datagram and drops this one; any other error belongs to this destination.
        if (sent === -ECONNREFUSED) this.#listeners[slot]?.refused?.()
        slot = sent === -ECONNREFUSED ? slot + 1 : (this.#firsts[1] ?? count)
      }
    }
    this.#to.fill(undefined, 0, count)
    this.#listeners.fill(undefined, 0, count)
  }

  get #end(): number {
    return this.#offsets[this.#count] ?? 0
  }

  #drop(from: number, to: number): void {
    for (let slot = from; slot < to; slot += 1) {
      this.#listeners[slot]?.dropped((this.#offsets[slot + 1] ?? 0) - (this.#offsets[slot] ?? 0))
    }
  }

  /** Writes headers for the slots from `from` on, and returns the number of messages. */
  #describe(from: number, count: number, cut: boolean): number {
    let messages = 0
    for (let slot = from; slot < count; messages += 1) {
      const next = cut ? this.#runFrom(slot, count) : slot + 1
      this.#write(messages, slot, next)
      this.#firsts[messages] = slot
      slot = next
    }
    this.#firsts[messages] = count
    return messages
  }

  /**
   * Returns the slot after those that form one message with `first`: they have its size, except for the last, which may
   * be shorter.
   */
  #runFrom(first: number, count: number): number {
    const start = this.#offsets[first] ?? 0
    const size = (this.#offsets[first + 1] ?? 0) - start
    let slot = first + 1
    if (size === 0 || size > MAX_SEGMENT_BYTES) return slot
    const end = Math.min(count, first + MAX_SEGMENTS)
    while (slot < end && this.#to[slot] === this.#to[first]) {
      const at = this.#offsets[slot] ?? 0
      const after = this.#offsets[slot + 1] ?? 0
      if (after === at || after - at > size || after - start > MAX_SEGMENTED_BYTES) break
      slot += 1
      if (after - at < size) break
    }
    return slot
  }

  #write(message: number, first: number, next: number): void {
    const header = message * Header.bytes
    const start = this.#offsets[first] ?? 0
    const to = this.#to[first]
    const headers = this.#messages.headers.bytes
    if (to === undefined) headers.fill(0, header + Header.name, header + Header.name + 8)
    else {
      this.#messages.names.bytes.set(to, message * NAME_BYTES)
      this.#messages.pointName(message)
    }
    headers.writeUInt32LE(to?.length ?? 0, header + Header.nameBytes)
    headers.writeUInt32LE(next - first > 1 ? Control.bytes : 0, header + Header.controlBytes)
    this.#messages.place(message, this.#arena, start, (this.#offsets[next] ?? 0) - start)
    const size = (this.#offsets[first + 1] ?? 0) - start
    this.#controls.bytes.writeUInt16LE(Math.min(size, 0xffff), message * Control.bytes + Control.data)
  }

  #prepare(index: number): void {
    this.#messages.headers.point(index * Header.bytes + Header.control, this.#controls, index * Control.bytes)
    const control = index * Control.bytes
    this.#controls.bytes.writeUInt32LE(Control.lengthValue, control + Control.length)
    this.#controls.bytes.writeUInt32LE(SOL_UDP, control + Control.level)
    this.#controls.bytes.writeUInt32LE(UDP_SEGMENT, control + Control.type)
  }
}
