import { ErrorCode, WarrenError } from '../core/index.ts'

/** The fields of a message that hold messages to scan, by field number. */
export interface Shape {
  readonly [field: number]: Shape
}

/**
 * Refuses a message of more than `maxFields` fields, in all the levels that `shape` names, before it is decoded.
 *
 * A field of two bytes becomes an object of a hundred, so the size of a message alone does not limit the memory that
 * decoding takes. Throws MESSAGE_TOO_LARGE, or MESSAGE_MALFORMED where the encoding ends early.
 */
export function boundFields(bytes: Uint8Array, shape: Shape, maxFields: number): void {
  count(bytes, shape, { left: maxFields, max: maxFields })
}

function count(bytes: Uint8Array, shape: Shape, budget: { left: number; readonly max: number }): void {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at]
      if (byte === undefined) throw malformed()
      at += 1
      // Above 2^53 the value is inexact, but then it is not a length that fits, and not a field of ours.
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw malformed()
  }
  while (at < bytes.length) {
    budget.left -= 1
    if (budget.left < 0) {
      throw new WarrenError(ErrorCode.MessageTooLarge, `a message of more than ${budget.max} fields`, {
        limit: 'registry_message_fields'
      })
    }
    const tag = varint()
    const type = tag % 8
    if (type === 0) {
      varint()
    } else if (type === 1) {
      at += 8
    } else if (type === 5) {
      at += 4
    } else if (type === 2) {
      const end = varint() + at
      if (end > bytes.length) throw malformed()
      const inner = shape[Math.floor(tag / 8)]
      if (inner !== undefined) count(bytes.subarray(at, end), inner, budget)
      at = end
    } else {
      // Groups: our messages have none, and a decoder recurses on their nesting.
      throw malformed()
    }
    if (at > bytes.length) throw malformed()
  }
}

function malformed(): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, 'not a valid message')
}
