import { create, decode, proxyPb, toBinary } from '../../wire/index.ts'
import { MAX_MESSAGE_BYTES } from './format.ts'

/** A request for a flow. */
export interface PooledOpen {
  readonly registrationId: string
  /** As text, with its machine. */
  readonly destination: string
  /** In ASCII. */
  readonly flowId: string
}

/**
 * Encodes a FlowOpen for each flow of one connection. They ask for the same destination, one after another: only the name
 * of the flow is written anew, at the end, where the field with the greatest number is.
 */
export class OpenEncoder {
  #last: PooledOpen | undefined
  #bytes = Buffer.alloc(0)

  /** The result is valid until the next call. */
  encode(open: PooledOpen): Buffer {
    const last = this.#last
    const { flowId } = open
    if (
      last?.registrationId === open.registrationId &&
      last.destination === open.destination &&
      last.flowId.length === flowId.length
    ) {
      this.#bytes.write(flowId, this.#bytes.length - flowId.length, 'latin1')
      return this.#bytes
    }
    const { buffer, byteOffset, length } = toBinary(proxyPb.FlowOpenSchema, create(proxyPb.FlowOpenSchema, open))
    this.#bytes = Buffer.from(buffer, byteOffset, length)
    this.#last = open
    return this.#bytes
  }
}

/** Reads a FlowOpen. Throws MESSAGE_MALFORMED. */
export function readOpen(content: Buffer): PooledOpen {
  return decode(proxyPb.FlowOpenSchema, content, MAX_MESSAGE_BYTES)
}
