import type { Place, Reopen } from '../flow/index.ts'

/** Pays for the memory of kept bytes. */
export interface KeptAccount {
  /** Returns false if there is no room for so many. */
  take(bytes: number): boolean
  give(bytes: number): void
}

/** A question and its answer. */
export const SMALL_BYTES = 4 * 1024
/** The largest piece of memory: the largest record of a fast-path connection has room in it. */
export const LARGE_BYTES = 260 * 1024

/** Pieces that are kept for the next flow, of one size. */
interface Spare {
  readonly most: number
  readonly pieces: Buffer[]
}

// New memory for each flow would be garbage a moment later, which V8 answers by marking the whole heap.
const SPARE: ReadonlyMap<number, Spare> = new Map([
  [SMALL_BYTES, { most: 256, pieces: [] }],
  [LARGE_BYTES, { most: 16, pieces: [] }]
])

/** Some bytes of the flow that lie one after the other: in the clear, or sealed. */
interface Piece {
  readonly at: number
  /** Of the memory. */
  until: number
  /** Of the flow. */
  size: number
  readonly reopen: Reopen | undefined
}

/** A piece of memory with the bytes of one flow, in their order. */
export class Slab {
  /** Bytes of the flow in it. */
  size = 0
  readonly #bytes: Buffer
  readonly #pieces: Piece[] = []
  #used = 0
  /** Of the last `place`. */
  #placedBytes = 0
  /** Writes from it that the system has not taken. */
  #writes = 0
  /** A part of it was given away, and may be held for longer than its bytes are kept. */
  #isLent = false
  #isDropped = false

  constructor(bytes: number) {
    this.#bytes = SPARE.get(bytes)?.pieces.pop() ?? Buffer.allocUnsafeSlow(bytes)
  }

  get memoryBytes(): number {
    return this.#bytes.length
  }

  get roomBytes(): number {
    return this.#bytes.length - this.#used
  }

  /** Copies the bytes from `at` on behind those that it has. Returns how many had room. */
  copy(from: Buffer, at: number): number {
    const size = from.copy(this.#bytes, this.#used, at)
    const last = this.#pieces.at(-1)
    if (last === undefined || last.reopen !== undefined) this.#add(size, size, undefined)
    else {
      last.size += size
      last.until += size
      this.size += size
      this.#used += size
    }
    return size
  }

  /** The next memory of it, of `size` bytes. */
  place(size: number): Place {
    this.#placedBytes = size
    return { memory: this.#bytes.subarray(this.#used, this.#used + size), left: this.#left }
  }

  /** The memory of the last `place` has `size` bytes of the flow, sealed, and is being written. */
  seal(size: number, reopen: Reopen): void {
    this.#writes += 1
    this.#add(size, this.#placedBytes, reopen)
  }

  /** The bytes of the flow from `offset` of it on. */
  since(offset: number): Buffer[] {
    const pieces: Buffer[] = []
    let begin = 0
    for (const { at, until, size, reopen } of this.#pieces) {
      const skipped = Math.max(0, offset - begin)
      begin += size
      if (skipped >= size) continue
      const memory = this.#bytes.subarray(at, until)
      if (reopen === undefined) this.#isLent = true
      pieces.push((reopen?.(memory) ?? memory).subarray(skipped))
    }
    return pieces
  }

  /** Nothing of it is needed any more. */
  drop(): void {
    this.#isDropped = true
    this.#recycle()
  }

  readonly #left = (): void => {
    this.#writes -= 1
    if (this.#isDropped) this.#recycle()
  }

  #add(size: number, memoryBytes: number, reopen: Reopen | undefined): void {
    const at = this.#used
    this.#used += memoryBytes
    this.size += size
    this.#pieces.push({ at, until: this.#used, size, reopen })
  }

  #recycle(): void {
    // Else the bytes of another flow would be written in the place of these.
    if (this.#writes > 0 || this.#isLent) return
    const spare = SPARE.get(this.#bytes.length)
    if (spare !== undefined && spare.pieces.length < spare.most) spare.pieces.push(this.#bytes)
  }
}
