import type { PeerKey } from '../../src/identity/index.ts'
import type { Mark } from '../../src/registry/index.ts'
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
  #marks = new Map<PeerKey, Mark>()
  #forgotten: Mark[] = []
  #backup: Map<PeerKey, Mark> | undefined
  /** The next write is the last. */
  failsNext = false

  constructor(random: Random) {
    this.#random = random
  }

  load(): Mark[] {
    return [...this.#marks.values()]
  }

  get size(): number {
    return this.#marks.size
  }

  get(owner: PeerKey): Mark | undefined {
    return this.#marks.get(owner)
  }

  save(marks: readonly Mark[]): void {
    this.#forgotten = []
    for (const mark of marks) {
      if (this.failsNext && this.#random.chance(0.5)) continue
      this.#raise(mark)
    }
    if (this.failsNext) {
      this.failsNext = false
      throw new PowerLost()
    }
  }

  forget(owner: PeerKey): void {
    const mark = this.#marks.get(owner)
    if (mark !== undefined) this.#forgotten.push(mark)
    this.#marks.delete(owner)
  }

  losePower(): void {
    for (const mark of this.#forgotten) if (this.#random.chance(0.5)) this.#raise(mark)
    this.#forgotten = []
    this.failsNext = false
  }

  backUp(): void {
    this.#backup = new Map(this.#marks)
  }

  /** Whether there was a backup to restore. */
  restore(): boolean {
    if (this.#backup === undefined) return false
    this.#marks = new Map(this.#backup)
    return true
  }

  // A lower mark never replaces a greater one, as in the agent's store.
  #raise(mark: Mark): void {
    const held = this.#marks.get(mark.owner)
    const older = held !== undefined && (held.epoch > mark.epoch || (held.epoch === mark.epoch && held.seq > mark.seq))
    if (!older) this.#marks.set(mark.owner, mark)
  }
}
