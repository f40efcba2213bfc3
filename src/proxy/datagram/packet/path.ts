import type { Remote } from '../../../udp/index.ts'
import { ALWAYS_CARRIED_BYTES, DATAGRAM_OVERHEAD_BYTES, Feature, MAX_PATH_DATAGRAM_BYTES, SIZES } from './format.ts'

/**
 * Interval of pings on an unused path, so that a NAT keeps it open; a used path is pinged at every turn of its finder.
 */
const IDLE_PING_MS = 15_000
/** Without an answer for this time, datagrams are sent as capsules again. */
const DEAD_MS = 2_000
/** Attempts at a larger size. After that many, the size stays until the path is found again. */
const MAX_GROWTH = 3

/** A way that packets arrive by, and what is known of it. */
export class DatagramPath {
  /** The same object as long as the path lives. */
  readonly remote: Remote
  /** Whether the other end opens packets with several datagrams. */
  readonly packs: boolean
  /** Whether the other end keeps two paths. */
  readonly isOfTwo: boolean
  /** Whether datagrams used it since the last ping. */
  used = true
  #size: number
  #growth = 0
  #lastPingMs: number
  /** Time since which an answer is missing. */
  #waitingSinceMs: number | undefined

  constructor(remote: Remote, features: number, size: number, nowMs: number) {
    this.remote = remote
    this.packs = (features & Feature.Datagrams) !== 0
    this.isOfTwo = (features & Feature.TwoPaths) !== 0
    this.#size = size
    this.#lastPingMs = nowMs
  }

  /** Size of the largest packet that is known to arrive. */
  get size(): number {
    return this.#size
  }

  /** The largest datagram that is carried: what may yet turn out to fit is not known to be too large. */
  get largestDatagram(): number {
    const isSettled = this.#growth >= MAX_GROWTH
    return isSettled ? Math.max(this.#size - DATAGRAM_OVERHEAD_BYTES, ALWAYS_CARRIED_BYTES) : MAX_PATH_DATAGRAM_BYTES
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

  /** Records that a packet of `size` bytes arrived. */
  answered(size: number): void {
    this.#size = Math.max(this.#size, size)
    this.#waitingSinceMs = undefined
  }

  /** Returns a larger size to try, and counts the attempt; undefined if there is none, or after too many attempts. */
  nextSize(): number | undefined {
    const larger = SIZES.find(size => size > this.#size)
    if (larger === undefined || this.#growth >= MAX_GROWTH) return undefined
    this.#growth += 1
    return larger
  }
}
