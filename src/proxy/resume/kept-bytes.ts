import type { Place, Reopen } from '../flow/index.ts'
import { type KeptAccount, LARGE_BYTES, Slab, SMALL_BYTES } from './slab.ts'

const MEDIUM_BYTES = 64 * 1024

/**
 * The last bytes of one direction, each at its offset: those that the other agent may not have received. They are copied, or lie
 * here in the sealed form in which they leave.
 *
 * Where there is no room, those that were added first are dropped. Then the direction cannot continue from them.
 */
export class KeptBytes {
  readonly #limitBytes: number
  readonly #account: KeptAccount
  readonly #slabs: Slab[] = []
  #memoryBytes = 0
  #from = 0
  #until = 0

  /** `from`: the offset of the first byte that is added. */
  constructor(limitBytes: number, account: KeptAccount, from = 0) {
    this.#limitBytes = limitBytes
    this.#account = account
    this.#from = from
    this.#until = from
  }

  /** Offset of the first byte that is kept. */
  get from(): number {
    return this.#from
  }

  /** Offset after the last byte that was added. */
  get until(): number {
    return this.#until
  }

  /** Memory that they take. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** Copies bytes behind those that were added before. */
  add(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      const slab = this.#open(1, bytes.length - at)
      if (slab === undefined) {
        this.drop()
        this.#until += bytes.length - at
        this.#from = this.#until
        return
      }
      const size = slab.copy(bytes, at)
      at += size
      this.#until += size
    }
    this.#bound()
  }

  /** Memory for a sealed record of `size` bytes, valid until bytes are added; undefined if there is none. */
  place(size: number): Place | undefined {
    return size > LARGE_BYTES ? undefined : this.#open(size, size)?.place(size)
  }

  /** Adds `size` bytes that lie sealed in the memory of the last `place`. */
  addSealed(size: number, reopen: Reopen): void {
    this.#slabs.at(-1)?.seal(size, reopen)
    this.#until += size
    this.#bound()
  }

  /** Forgets the bytes before `offset`. */
  release(offset: number): void {
    if (offset >= this.#until) {
      this.drop()
      return
    }
    while (offset >= this.#from + (this.#slabs[0]?.size ?? 0)) this.#shift()
  }

  /**
   * Returns the bytes from `offset` on, in pieces that stay as they are. Throws RangeError unless all of them are kept.
   */
  since(offset: number): Buffer[] {
    if (offset < this.#from || offset > this.#until) throw new RangeError(`the bytes from ${offset} on are not kept`)
    const pieces: Buffer[] = []
    let begin = this.#from
    for (const slab of this.#slabs) {
      if (begin + slab.size > offset) pieces.push(...slab.since(Math.max(0, offset - begin)))
      begin += slab.size
    }
    return pieces
  }

  /** Forgets all of them. */
  drop(): void {
    while (this.#slabs.length > 0) this.#shift()
    this.#from = this.#until
  }

  #bound(): void {
    while (this.#until - this.#from > this.#limitBytes && this.#slabs.length > 1) this.#shift()
  }

  /** Returns memory with room for `size` bytes. */
  #open(size: number, wanted: number): Slab | undefined {
    const last = this.#slabs.at(-1)
    if (last !== undefined && last.roomBytes >= size) return last
    // A flow that carried little so far is likely to carry little.
    const memoryBytes = sizeFor(Math.max(wanted, this.#memoryBytes))
    while (!this.#account.take(memoryBytes)) {
      if (this.#slabs.length === 0) return undefined
      this.#shift()
    }
    const slab = new Slab(memoryBytes)
    this.#slabs.push(slab)
    this.#memoryBytes += memoryBytes
    return slab
  }

  #shift(): void {
    const slab = this.#slabs.shift()
    if (slab === undefined) return
    this.#from += slab.size
    this.#memoryBytes -= slab.memoryBytes
    this.#account.give(slab.memoryBytes)
    slab.drop()
  }
}

function sizeFor(bytes: number): number {
  if (bytes <= SMALL_BYTES) return SMALL_BYTES
  return bytes <= MEDIUM_BYTES ? MEDIUM_BYTES : LARGE_BYTES
}
