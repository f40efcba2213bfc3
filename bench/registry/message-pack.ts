/** As much of MessagePack as the RPC of Serf uses: https://github.com/msgpack/msgpack/blob/master/spec.md */
export type Packed = null | boolean | number | string | Packed[] | { readonly [key: string]: Packed }

/** `value` in MessagePack. Numbers are integers below 2^32 and not negative. */
export function pack(value: Packed): Buffer {
  if (value === null) return Buffer.of(0xc0)
  if (typeof value === 'boolean') return Buffer.of(value ? 0xc3 : 0xc2)
  if (typeof value === 'number') return Buffer.concat([Buffer.of(0xce), word(value)])
  if (typeof value === 'string')
    return Buffer.concat([Buffer.of(0xdb), word(Buffer.byteLength(value)), Buffer.from(value)])
  if (Array.isArray(value)) return Buffer.concat([Buffer.of(0xdd), word(value.length), ...value.map(pack)])
  const entries = Object.entries(value)
  return Buffer.concat([
    Buffer.of(0xdf),
    word(entries.length),
    ...entries.flatMap(([key, of]) => [pack(key), pack(of)])
  ])
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Thrown when the bytes end before the value does. */
export class Incomplete extends Error {}

/** Reads values one after another. */
export class Unpacker {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get at(): number {
    return this.#at
  }

  next(): Packed {
    const type = this.#take(1).readUInt8()
    if (type < 0x80) return type
    if (type < 0x90) return this.#map(type & 0x0f)
    if (type < 0xa0) return this.#array(type & 0x0f)
    if (type < 0xc0) return this.#text(type & 0x1f)
    if (type >= 0xe0) return type - 0x100
    switch (type) {
      case 0xc0:
        return null
      case 0xc2:
      case 0xc3:
        return type === 0xc3
      case 0xc4:
      case 0xd9:
        return this.#text(this.#unsigned(1))
      case 0xc5:
      case 0xda:
        return this.#text(this.#unsigned(2))
      case 0xc6:
      case 0xdb:
        return this.#text(this.#unsigned(4))
      case 0xca:
        return this.#take(4).readFloatBE()
      case 0xcb:
        return this.#take(8).readDoubleBE()
      case 0xcc:
        return this.#unsigned(1)
      case 0xcd:
        return this.#unsigned(2)
      case 0xce:
        return this.#unsigned(4)
      case 0xcf:
        return Number(this.#take(8).readBigUInt64BE())
      case 0xd0:
        return this.#take(1).readInt8()
      case 0xd1:
        return this.#take(2).readInt16BE()
      case 0xd2:
        return this.#take(4).readInt32BE()
      case 0xd3:
        return Number(this.#take(8).readBigInt64BE())
      case 0xdc:
        return this.#array(this.#unsigned(2))
      case 0xdd:
        return this.#array(this.#unsigned(4))
      case 0xde:
        return this.#map(this.#unsigned(2))
      case 0xdf:
        return this.#map(this.#unsigned(4))
      default:
        throw new Error(`byte ${type} is not read here`)
    }
  }

  #array(length: number): Packed[] {
    return Array.from({ length }, () => this.next())
  }

  #map(length: number): Packed {
    return Object.fromEntries(Array.from({ length }, () => [String(this.next()), this.next()]))
  }

  #text(length: number): string {
    return this.#take(length).toString('latin1')
  }

  #unsigned(length: number): number {
    return this.#take(length).readUIntBE(0, length)
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new Incomplete()
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}
