import { type Exporter, KEY_BYTES, NONCE_BYTES, type Sender } from '../aead/index.ts'
import { SESSION_TAG_BYTES } from './format.ts'

const KEY_LABEL = 'EXPORTER-warren-fastpath-key'
const TAG_LABEL = 'EXPORTER-warren-fastpath-tag'
const SENDERS: Readonly<Record<Sender, number>> = { client: 0, server: 1 }

export interface ConnectionKeys {
  readonly key: Buffer
  readonly mask: Buffer
}

/** Selects the keys of a fast-path connection: those of one direction, of one attempt at one stream. */
export interface ConnectionName {
  readonly sender: Sender
  readonly streamId: number
  /** Fresh for each attempt, so that no two fast-path connections of a stream ever share a key. */
  readonly salt: Buffer
}

/** Derives the keys of one direction of a fast-path connection in `epoch`. Throws once the session has closed. */
export function connectionKeys(
  exporter: Exporter,
  { sender, streamId, salt }: ConnectionName,
  epoch: number
): ConnectionKeys {
  const context = Buffer.alloc(9 + salt.length)
  context[0] = SENDERS[sender]
  context.writeUInt32BE(streamId, 1)
  context.writeUInt32BE(epoch, 5)
  salt.copy(context, 9)
  const material = exporter(KEY_BYTES + NONCE_BYTES, KEY_LABEL, context)
  return { key: material.subarray(0, KEY_BYTES), mask: material.subarray(KEY_BYTES) }
}

/**
 * Identifies the session at the data port. Its two ends know it, and after the first fast-path connection any observer
 * of that.
 */
export function sessionTag(exporter: Exporter): Buffer {
  return exporter(SESSION_TAG_BYTES, TAG_LABEL, Buffer.alloc(0))
}
