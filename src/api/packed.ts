import { create, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'

const PACKED = new WeakMap<object, Message>()

/**
 * The message that `value` describes, in a form that is written to the wire without being encoded again.
 *
 * A state that many watchers receive is one object for all of them, so it is encoded once. Its bytes are kept as a single unknown
 * field of an empty message. Not for JSON, which needs the fields.
 */
export function packed(schema: DescMessage, value: object): Message {
  return PACKED.get(value) ?? pack(schema, value, toBinary(schema, create(schema, { ...value })))
}

/** Encodes a message once for `packed`, and returns its bytes. */
export function packedBytes(schema: DescMessage, value: Message): Uint8Array {
  const bytes = toBinary(schema, value)
  pack(schema, value, bytes)
  return bytes
}

function pack(schema: DescMessage, value: object, bytes: Uint8Array): Message {
  const message = create(schema)
  if (bytes.length > 0) {
    const reader = new BinaryReader(bytes)
    const [no, wireType] = reader.tag()
    message.$unknown = [{ no, wireType, data: bytes.subarray(reader.pos) }]
  }
  PACKED.set(value, message)
  return message
}
