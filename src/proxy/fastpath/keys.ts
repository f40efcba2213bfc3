import { type Exporter, KEY_BYTES, NONCE_BYTES, type Sender } from '../aead/index.ts'
import { SESSION_TAG_BYTES } from './format.ts'

const KEY_LABEL = 'EXPORTER-warren-lane-key'
const TAG_LABEL = 'EXPORTER-warren-lane-tag'
const SENDERS: Readonly<Record<Sender, number>> = { client: 0, server: 1 }

export interface LaneKeys {
  readonly key: Buffer
  readonly mask: Buffer
}

/** Which of its keys a lane uses: those of one direction, of one attempt at one stream. */
export interface LaneName {
  readonly sender: Sender
  readonly streamId: number
  /** Fresh for each attempt, so that no two lanes of a stream ever share a key. */
  readonly salt: Buffer
}

/** The keys of one direction of a lane in `epoch`. Throws once the session is gone. */
export function laneKeys(exporter: Exporter, { sender, streamId, salt }: LaneName, epoch: number): LaneKeys {
  const context = Buffer.alloc(9 + salt.length)
  context[0] = SENDERS[sender]
  context.writeUInt32BE(streamId, 1)
  context.writeUInt32BE(epoch, 5)
  salt.copy(context, 9)
  const material = exporter(KEY_BYTES + NONCE_BYTES, KEY_LABEL, context)
  return { key: material.subarray(0, KEY_BYTES), mask: material.subarray(KEY_BYTES) }
}

/** Names the session at the data port. Known to its two ends, and after the first lane to who sees that. */
export function sessionTag(exporter: Exporter): Buffer {
  return exporter(SESSION_TAG_BYTES, TAG_LABEL, Buffer.alloc(0))
}
