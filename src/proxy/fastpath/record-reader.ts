import { aes256Gcm, type Exporter, type Opener } from '../aead/index.ts'
import { Epochs } from './epochs.ts'
import { HEADER_BYTES, Kind, NOTHING, RECORD_OVERHEAD_BYTES, readHeader } from './format.ts'
import type { ConnectionName } from './keys.ts'
import { RECORDS_PER_EPOCH } from './nonces.ts'
import { bufferPool } from './pool.ts'

/**
 * Bytes on a fast-path connection that are not a record of its other end. The receiver of this error drops the
 * connection.
 */
export class RecordViolation extends Error {}

/** Splits the bytes of a fast-path connection into records and opens them, for one direction. */
export class RecordReader {
  readonly #epochs: Epochs<Opener>
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #isProven = false
  /** The front of a record whose remainder has not arrived yet; from the pool while there is one. */
  #partial: Buffer | undefined
  #held = 0

  constructor(exporter: Exporter, name: ConnectionName, aead = aes256Gcm(), recordsPerEpoch = RECORDS_PER_EPOCH) {
    this.#epochs = new Epochs(exporter, name, recordsPerEpoch, key => aead.opener(key))
  }

  /**
   * Opens the records that `bytes` completes. The content of data goes to `out`, one record after another, and its
   * whole size is returned; other records are given to `onControl` in their order, with the size of the data before
   * them. `out` must have room for a record and for `bytes`. Throws RecordViolation for bytes that are not authentic or
   * not a record.
   */
  read(bytes: Buffer, out: Buffer, onControl: (kind: Kind, content: Buffer, before: number) => void): number {
    let at = 0
    let size = 0
    while (at < bytes.length) {
      const taken = this.#next(from(bytes, at))
      at += taken.used
      if (taken.record === undefined) break
      size += this.#open(taken.record, from(out, size), (kind, content) => onControl(kind, content, size))
      if (taken.isHeld) this.#release()
    }
    return size
  }

  /** Bytes of memory that a record takes whose remainder has not arrived. */
  get heldBytes(): number {
    return this.#partial?.length ?? 0
  }

  /** Keeps that record in no more memory than it needs. */
  shrink(): void {
    if (this.#partial === undefined || this.#held < HEADER_BYTES) return
    const size = this.#wholeSize(this.#partial)
    if (this.#partial.length === size) return
    const smaller = Buffer.allocUnsafeSlow(size)
    this.#partial.copy(smaller, 0, 0, this.#held)
    this.#release()
    this.#partial = smaller
  }

  close(): void {
    this.#epochs.close()
    if (this.#partial !== undefined) this.#release()
  }

  /** Returns the next whole record, without a copy if it is all in `bytes`; else keeps the part that has arrived. */
  #next(bytes: Buffer): { used: number; record: Buffer | undefined; isHeld: boolean } {
    if (this.#partial === undefined) {
      const whole = bytes.length >= HEADER_BYTES ? this.#wholeSize(bytes) : Number.POSITIVE_INFINITY
      if (bytes.length >= whole) {
        return { used: whole, record: bytes.length === whole ? bytes : bytes.subarray(0, whole), isHeld: false }
      }
      this.#partial = bufferPool.take()
      this.#held = 0
    }
    const partial = this.#partial
    let used = 0
    if (this.#held < HEADER_BYTES) {
      used = this.#keep(partial, bytes, HEADER_BYTES)
      if (this.#held < HEADER_BYTES) return { used, record: undefined, isHeld: true }
    }
    const whole = this.#wholeSize(partial)
    used += this.#keep(partial, bytes.subarray(used), whole)
    return { used, record: this.#held === whole ? partial.subarray(0, whole) : undefined, isHeld: true }
  }

  #keep(partial: Buffer, bytes: Buffer, until: number): number {
    const used = Math.min(until - this.#held, bytes.length)
    bytes.copy(partial, this.#held, 0, used)
    this.#held += used
    return used
  }

  #open(record: Buffer, out: Buffer, onControl: (kind: Kind, content: Buffer) => void): number {
    const header = this.#header
    header.writeUInt32BE(record.readUInt32BE(0), 0)
    const { kind, size } = headerOf(header)
    // The content of a control record is small, and must not lie among the data.
    const to = kind === Kind.Data ? out : size === 0 ? NOTHING : Buffer.alloc(size)
    const opener = this.#epochs.current()
    if (!opener.open(this.#epochs.nextNonce(), header, record.subarray(HEADER_BYTES), to)) {
      throw new RecordViolation('a record is not authentic')
    }
    this.#isProven = true
    if (kind === Kind.Data) return size
    onControl(kind, to)
    return 0
  }

  // A peer that has not proved the keys yet gets no memory from us: the first record is an empty one.
  #wholeSize(bytes: Buffer): number {
    const { size } = headerOf(bytes)
    if (size > 0 && !this.#isProven) throw new RecordViolation('the first record is not empty')
    return size + RECORD_OVERHEAD_BYTES
  }

  #release(): void {
    if (this.#partial !== undefined) bufferPool.give(this.#partial)
    this.#partial = undefined
  }
}

// Most reads bring one record, and most records are alone: a view of all of it would be one more object for each.
function from(bytes: Buffer, at: number): Buffer {
  return at === 0 ? bytes : bytes.subarray(at)
}

function headerOf(bytes: Buffer): { readonly kind: Kind; readonly size: number } {
  const header = readHeader(bytes)
  if (header === undefined) throw new RecordViolation('not a record')
  return header
}
