import { decodeHuffman } from './huffman.ts'

/** The characters that Node's HTTP/2 takes in an authority. */
const IS_TAKEN = /^[A-Za-z0-9\-._~%!$&'()*+,;=:@[\]]*$/
const NOT_TAKEN = /[^A-Za-z0-9\-._~%!$&'()*+,;=:@[\]]/g
/** Index of `:authority` in the static table. */
const AUTHORITY = 1
const AUTHORITY_NAME = ':authority'
/** The first of its two indices: GET, and POST behind it. */
const METHOD = 2
const MAX_INTEGER = 2 ** 21

/** What stands for an authority that a call does not name: a literal that goes into no table, as RFC 7541, section 6.2.2 has it. */
const ADDED = Buffer.concat([Buffer.of(AUTHORITY, 'localhost'.length), Buffer.from('localhost')])

/** The blocks of headers of one connection, in their order, with each authority such as Node's HTTP/2 takes it. */
export class Authorities {
  /** Whether an index of the dynamic table may stand for an authority. */
  #isInTable = false

  /**
   * Replaces the characters of a literal `:authority` that Node refuses, and adds one to a call that has none, which is legal. Everything else
   * stays as it is, and so does a block that cannot be read. A value keeps its length, so that the tables of both ends stay the same.
   */
  taken(block: Buffer): Buffer {
    const parts: Buffer[] = []
    let copied = 0
    let start = 0
    let [hasMethod, hasAuthority] = [false, false]
    for (let at = 0; at < block.length; ) {
      const field = readField(block, at)
      if (field === undefined) return block
      // Changes of the table's size come before all fields.
      if (field.kind === 'size' && at === start) start = field.end
      at = field.end
      hasMethod ||= field.name === METHOD || (field.kind === 'indexed' && field.name === METHOD + 1)
      if (field.name !== AUTHORITY) continue
      hasAuthority = true
      const { value } = field
      this.#isInTable ||= field.kind === 'added'
      if (value === undefined) continue
      const text = value.text?.toString('latin1')
      if (text === undefined) return block
      if (IS_TAKEN.test(text)) continue
      const taken = Buffer.from(text.replace(NOT_TAKEN, '_'), 'latin1')
      parts.push(block.subarray(copied, value.at), encodeLength(taken.length), taken)
      copied = field.end
    }
    // Two authorities, and one in the trailers of a call, are malformed.
    if (hasMethod && !hasAuthority && !this.#isInTable) {
      return Buffer.concat([block.subarray(0, start), ADDED, block.subarray(start)])
    }
    return copied === 0 ? block : Buffer.concat([...parts, block.subarray(copied)])
  }
}

interface Text {
  readonly at: number
  /** Undefined if it is not well-formed. */
  readonly text: Buffer | undefined
  readonly end: number
}

interface Field {
  /** `indexed`: it is in a table with its value; `added`: it goes into the dynamic table; `size`: a change of the size of that. */
  readonly kind: 'indexed' | 'added' | 'literal' | 'size'
  /** Index of its name in the tables; zero: the name is another literal. */
  readonly name: number
  readonly value: Text | undefined
  readonly end: number
}

/** RFC 7541, section 6. */
function readField(block: Buffer, at: number): Field | undefined {
  const first = block[at] ?? 0
  if (first >= 0x80) return withoutValue('indexed', readInteger(block, at, 7))
  if (first >= 0x20 && first < 0x40) {
    const size = readInteger(block, at, 5)
    return withoutValue('size', size && { ...size, value: 0 })
  }
  const kind = first >= 0x40 ? 'added' : 'literal'
  const name = readInteger(block, at, kind === 'added' ? 6 : 4)
  if (name === undefined) return undefined
  const literal = name.value === 0 ? readText(block, name.end) : undefined
  const afterName = name.value === 0 ? literal?.end : name.end
  const value = afterName === undefined ? undefined : readText(block, afterName)
  if (value === undefined) return undefined
  const isAuthority = literal?.text?.toString('latin1') === AUTHORITY_NAME
  return { kind, name: isAuthority ? AUTHORITY : name.value, value, end: value.end }
}

function withoutValue(
  kind: Field['kind'],
  integer: { readonly value: number; readonly end: number } | undefined
): Field | undefined {
  return integer === undefined ? undefined : { kind, name: integer.value, value: undefined, end: integer.end }
}

function readText(block: Buffer, at: number): Text | undefined {
  const length = readInteger(block, at, 7)
  if (length === undefined) return undefined
  const end = length.end + length.value
  if (end > block.length) return undefined
  const bytes = block.subarray(length.end, end)
  const isHuffman = ((block[at] ?? 0) & 0x80) !== 0
  return { at, text: isHuffman ? decodeHuffman(bytes) : bytes, end }
}

/** RFC 7541, section 5.1. Undefined beyond `MAX_INTEGER`, or if it is cut off. */
function readInteger(block: Buffer, at: number, prefixBits: number): { value: number; end: number } | undefined {
  const first = block[at]
  const most = 2 ** prefixBits - 1
  if (first === undefined) return undefined
  let value = first & most
  let end = at + 1
  if (value < most) return { value, end }
  for (let factor = 1; ; factor *= 128) {
    const byte = block[end]
    if (byte === undefined || value > MAX_INTEGER || factor > MAX_INTEGER) return undefined
    end += 1
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return { value, end }
  }
}

function encodeLength(length: number): Buffer {
  if (length < 127) return Buffer.of(length)
  const bytes = [127]
  let rest = length - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}
