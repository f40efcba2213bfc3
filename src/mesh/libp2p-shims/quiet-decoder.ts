import type { MessageStream } from '@libp2p/interface'

/** libp2p takes any RangeError for "the rest has not come yet". */
const NOT_YET = new RangeError('the length of the next message has not come yet')

const LENGTH_BYTES = 2

/**
 * Has an encrypted connection find out that nothing is left to read without a new error.
 *
 * libp2p's decoder ends each run over what arrived with a RangeError, for which V8 walks the stack: one for each packet,
 * as dear as to decrypt it.
 */
export function quietDecoder<Connection extends MessageStream>(connection: Connection): Connection {
  // noise declares it private; if it is gone one day, all works as before.
  const decoder: unknown = Reflect.get(connection, 'decoder')
  if (typeof decoder !== 'object' || decoder === null) return connection
  const decode: unknown = Reflect.get(decoder, 'lengthDecoder')
  if (typeof decode !== 'function') return connection
  const lengthDecoder = (bytes: { readonly byteLength: number }): unknown => {
    if (bytes.byteLength < LENGTH_BYTES) throw NOT_YET
    return decode(bytes)
  }
  Object.assign(decoder, { lengthDecoder })
  return connection
}
