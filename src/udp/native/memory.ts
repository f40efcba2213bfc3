import koffi from 'koffi'

/** Memory outside the heap, which never moves and is never released. */
export class Memory {
  readonly bytes: Buffer
  /** A number is exact: no system uses addresses above 2^53. */
  readonly #address: number

  constructor(size: number) {
    const pointer: unknown = koffi.alloc('uint8_t', size)
    this.bytes = Buffer.from(koffi.view(pointer, size))
    this.#address = Number(koffi.address(pointer))
    if (!Number.isSafeInteger(this.#address)) throw new RangeError('an address above 2^53')
  }

  addressAt(offset: number): bigint {
    return BigInt(this.#at(offset))
  }

  /** Writes a pointer to byte `target` of `other` to `offset`. */
  point(offset: number, other: Memory, target: number): void {
    const address = other.#at(target)
    this.bytes.writeUInt32LE(address % 2 ** 32, offset)
    this.bytes.writeUInt32LE(Math.floor(address / 2 ** 32), offset + 4)
  }

  #at(offset: number): number {
    if (offset < 0 || offset > this.bytes.length) throw new RangeError(`${offset} is outside of the memory`)
    return this.#address + offset
  }
}
