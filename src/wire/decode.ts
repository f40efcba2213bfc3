import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { ErrorCode, WarrenError } from '../core/index.ts'

/**
 * Decodes a message that a peer sent, after checking its size.
 *
 * Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED, and nothing else for any bytes.
 */
export function decode<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  maxBytes: number
): MessageShape<Desc> {
  if (bytes.length > maxBytes) {
    throw new WarrenError(
      ErrorCode.MessageTooLarge,
      `${schema.typeName} of ${bytes.length} bytes exceeds the limit of ${maxBytes}`
    )
  }
  try {
    return fromBinary(schema, bytes)
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, `not a valid ${schema.typeName}`, { cause })
  }
}
