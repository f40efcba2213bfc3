import type { Remote } from '../../../udp/index.ts'
import { Feature, SIZES } from './format.ts'

/** How often a path is asked while it is not used, so that a NAT keeps it open; else at every turn of its finder. */
const IDLE_PING_MS = 15_000
/** Without an answer for this long, datagrams go by capsules again. */
const DEAD_MS = 2_000
/** Attempts at a larger size, before it is given up until the path is found anew. */
const MAX_GROWTH = 3

/** A way that packets arrive by, and what is known of it. */
export class DatagramPath {
  /** The same object as long as the path lives. */
  readonly remote: Remote
  /** Whether the other end opens packets with several datagrams. */
  readonly packs: boolean
  /** Whether datagrams went by it since it was asked last. */
  used = true
  #size: number
  #growth = 0
  #lastPingMs: number
  /** Since when an answer is missing. */
  #waitingSinceMs: number | undefined

  constructor(remote: Remote, features: number, size: number, nowMs: number) {
    this.remote = remote
    this.packs = (features & Feature.Datagrams) !== 0
    this.#size = size
    this.#lastPingMs = nowMs
  }

  /** The largest packet that was seen to arrive. */
  get size(): number {
    return this.#size
  }

  isDead(nowMs: number): boolean {
    return this.#waitingSinceMs !== undefined && nowMs - this.#waitingSinceMs >= DEAD_MS
  }

  needsPing(nowMs: number): boolean {
    return this.used || this.#waitingSinceMs !== undefined || nowMs - this.#lastPingMs >= IDLE_PING_MS
  }

  pinged(nowMs: number): void {
    this.used = false
    this.#lastPingMs = nowMs
    this.#waitingSinceMs ??= nowMs
  }

  /** Notes that a packet of `size` bytes arrived. */
  answered(size: number): void {
    this.#size = Math.max(this.#size, size)
    this.#waitingSinceMs = undefined
  }

  /** A larger size to try, and counts the attempt; undefined if there is none, or was tried often enough. */
  nextSize(): number | undefined {
    const larger = SIZES.find(size => size > this.#size)
    if (larger === undefined || this.#growth >= MAX_GROWTH) return undefined
    this.#growth += 1
    return larger
  }
}
