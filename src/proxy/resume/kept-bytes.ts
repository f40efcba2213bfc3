/** Pays for the memory of kept bytes. */
export interface KeptAccount {
  /** Returns false if there is no room for so many. */
  take(bytes: number): boolean
  give(bytes: number): void
}

const SMALL_BYTES = 4 * 1024
const MEDIUM_BYTES = 64 * 1024
const LARGE_BYTES = 256 * 1024
/** Large pieces of memory that are kept for the next flow. */
const MAX_SPARE = 32

interface Slab {
  readonly bytes: Buffer
  used: number
  /** A part of it was lent to a stream, which may hold it longer than its bytes are kept here. */
  isLent: boolean
}

const spare: Buffer[] = []

/**
 * The last bytes of one direction, each at its offset: those that the other agent may not have received.
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
      const slab = this.#open(bytes.length - at)
      if (slab === undefined) {
        this.drop()
        this.#until += bytes.length - at
        this.#from = this.#until
        return
      }
      const size = bytes.copy(slab.bytes, slab.used, at)
      slab.used += size
      at += size
      this.#until += size
    }
    while (this.#until - this.#from > this.#limitBytes && this.#slabs.length > 1) this.#shift()
  }

  /** Forgets the bytes before `offset`. */
  release(offset: number): void {
    if (offset >= this.#until) {
      this.drop()
      return
    }
    while (offset >= this.#end(0)) this.#shift()
  }

  /**
   * Returns the bytes from `offset` on, in pieces that stay as they are. Throws RangeError unless all of them are kept.
   */
  since(offset: number): Buffer[] {
    if (offset < this.#from || offset > this.#until) throw new RangeError(`the bytes from ${offset} on are not kept`)
    const pieces: Buffer[] = []
    let begin = this.#from
    for (const slab of this.#slabs) {
      const end = begin + slab.used
      if (end > offset) {
        slab.isLent = true
        pieces.push(slab.bytes.subarray(Math.max(0, offset - begin), slab.used))
      }
      begin = end
    }
    return pieces
  }

  /** Forgets all of them. */
  drop(): void {
    while (this.#slabs.length > 0) this.#shift()
    this.#from = this.#until
  }

  #end(at: number): number {
    return this.#from + (this.#slabs[at]?.used ?? 0)
  }

  /** Returns memory with room for at least one byte. */
  #open(wanted: number): Slab | undefined {
    const last = this.#slabs.at(-1)
    if (last !== undefined && last.used < last.bytes.length) return last
    // A flow that carried little so far is likely to carry little.
    const size = sizeFor(Math.max(wanted, this.#memoryBytes))
    while (!this.#account.take(size)) {
      if (this.#slabs.length === 0) return undefined
      this.#shift()
    }
    const bytes = (size === LARGE_BYTES ? spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(size)
    const slab = { bytes, used: 0, isLent: false }
    this.#slabs.push(slab)
    this.#memoryBytes += size
    return slab
  }

  #shift(): void {
    const slab = this.#slabs.shift()
    if (slab === undefined) return
    const size = slab.bytes.length
    this.#from += slab.used
    this.#memoryBytes -= size
    this.#account.give(size)
    if (size === LARGE_BYTES && !slab.isLent && spare.length < MAX_SPARE) spare.push(slab.bytes)
  }
}

function sizeFor(bytes: number): number {
  if (bytes <= SMALL_BYTES) return SMALL_BYTES
  return bytes <= MEDIUM_BYTES ? MEDIUM_BYTES : LARGE_BYTES
}
