import type { PeerKey } from '../../src/identity/index.ts'
import type { HighWaterMark } from '../../src/registry/index.ts'
import { PowerLost } from './failure.ts'
import type { Random } from './random.ts'

/**
 * The marks of one host. What `save` has returned from survives everything but a restored backup.
 *
 * Harsher than the database of the agent, which writes all marks of one call or none: power lost during `save` leaves any
 * part of them, and a `forget` may or may not have happened.
 */
export class Disk {
  readonly #random: Random
  #highWaterMarks = new Map<PeerKey, HighWaterMark>()
  #forgotten: HighWaterMark[] = []
  #backup: Map<PeerKey, HighWaterMark> | undefined
  /** The next write is the last. */
  failsNext = false

  constructor(random: Random) {
    this.#random = random
  }

  load(): HighWaterMark[] {
    return [...this.#highWaterMarks.values()]
  }

  get size(): number {
    return this.#highWaterMarks.size
  }

  get(owner: PeerKey): HighWaterMark | undefined {
    return this.#highWaterMarks.get(owner)
  }

  save(highWaterMarks: readonly HighWaterMark[]): void {
    this.#forgotten = []
    for (const highWaterMark of highWaterMarks) {
      if (this.failsNext && this.#random.chance(0.5)) continue
      this.#raise(highWaterMark)
    }
    if (this.failsNext) {
      this.failsNext = false
      throw new PowerLost()
    }
  }

  forget(owner: PeerKey): void {
    const highWaterMark = this.#highWaterMarks.get(owner)
    if (highWaterMark !== undefined) this.#forgotten.push(highWaterMark)
    this.#highWaterMarks.delete(owner)
  }

  losePower(): void {
    for (const highWaterMark of this.#forgotten) if (this.#random.chance(0.5)) this.#raise(highWaterMark)
    this.#forgotten = []
    this.failsNext = false
  }

  backUp(): void {
    this.#backup = new Map(this.#highWaterMarks)
  }

  /** Whether there was a backup to restore. */
  restore(): boolean {
    if (this.#backup === undefined) return false
    this.#highWaterMarks = new Map(this.#backup)
    return true
  }

  // A lower mark never replaces a greater one, as in the agent's store.
  #raise(highWaterMark: HighWaterMark): void {
    const held = this.#highWaterMarks.get(highWaterMark.owner)
    const older =
      held !== undefined &&
      (held.epoch > highWaterMark.epoch || (held.epoch === highWaterMark.epoch && held.seq > highWaterMark.seq))
    if (!older) this.#highWaterMarks.set(highWaterMark.owner, highWaterMark)
  }
}
