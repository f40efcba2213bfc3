import { decodeHuffman } from './huffman.ts'

/** The characters that Node's HTTP/2 takes in an authority. */
const IS_TAKEN = /^[A-Za-z0-9\-._~%!$&'()*+,;=:@[\]]*$/
const NOT_TAKEN = /[^A-Za-z0-9\-._~%!$&'()*+,;=:@[\]]/g
/** Index of `:authority` in the static table. */
const AUTHORITY = 1
const MAX_INTEGER = 2 ** 21

/**
 * Replaces the characters of a literal `:authority` that Node's HTTP/2 refuses; everything else stays as it is, and so does a block
 * that cannot be read. The value keeps its length, so that the tables of both ends stay the same.
 */
export function withTakenAuthority(block: Buffer): Buffer {
  const parts: Buffer[] = []
  let copied = 0
  for (let at = 0; at < block.length; ) {
    const field = readField(block, at)
    if (field === undefined) return block
    at = field.end
    const { value } = field
    if (field.name !== AUTHORITY || value === undefined) continue
    const text = value.text?.toString('latin1')
    if (text === undefined) return block
    if (IS_TAKEN.test(text)) continue
    const taken = Buffer.from(text.replace(NOT_TAKEN, '_'), 'latin1')
    parts.push(block.subarray(copied, value.at), encodeLength(taken.length), taken)
    copied = field.end
  }
  return copied === 0 ? block : Buffer.concat([...parts, block.subarray(copied)])
}

interface Text {
  readonly at: number
  /** Undefined if it is not well-formed. */
  readonly text: Buffer | undefined
  readonly end: number
}

interface Field {
  /** Index of its name in the tables; zero: the name is a literal. */
  readonly name: number
  /** Undefined for one that is in a table with its value, and for a change of the table's size. */
  readonly value: Text | undefined
  readonly end: number
}

/** RFC 7541, section 6. */
function readField(block: Buffer, at: number): Field | undefined {
  const first = block[at] ?? 0
  if (first >= 0x80) return withoutValue(readInteger(block, at, 7))
  if (first >= 0x20 && first < 0x40) return withoutValue(readInteger(block, at, 5))
  const name = readInteger(block, at, first >= 0x40 ? 6 : 4)
  if (name === undefined) return undefined
  const afterName = name.value === 0 ? readText(block, name.end)?.end : name.end
  const value = afterName === undefined ? undefined : readText(block, afterName)
  return value === undefined ? undefined : { name: name.value, value, end: value.end }
}

function withoutValue(integer: { readonly end: number } | undefined): Field | undefined {
  return integer === undefined ? undefined : { name: 0, value: undefined, end: integer.end }
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
