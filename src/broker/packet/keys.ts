import { createCipheriv, createDecipheriv } from 'node:crypto'
import { encodeHeader, HEADER_BYTES, SEAL_BYTES, TAG_BYTES } from './format.ts'

/** `exportKeyingMaterial` of the session's TLS connection: RFC 5705, RFC 8446 section 7.5. Throws once it is gone. */
export type Exporter = (bytes: number, label: string, context: Buffer) => Buffer

/** Who sends: each direction has keys of its own. */
export type Sender = 'client' | 'server'

/** Key and nonce mask of one direction in one epoch. */
export interface PacketKeys {
  readonly key: Buffer
  readonly mask: Buffer
}

const KEY_LABEL = 'EXPORTER-warren-datagram-key'
const TAG_LABEL = 'EXPORTER-warren-datagram-tag'
const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const SENDERS: Readonly<Record<Sender, number>> = { client: 0, server: 1 }

/** The keys of what `sender` sends in `epoch`. Throws once the session is gone. */
export function packetKeys(exporter: Exporter, sender: Sender, epoch: number): PacketKeys {
  const context = Buffer.alloc(5)
  context[0] = SENDERS[sender]
  context.writeUInt32BE(epoch, 1)
  return splitMaterial(exporter(KEY_BYTES + NONCE_BYTES, KEY_LABEL, context))
}

export function splitMaterial(material: Buffer): PacketKeys {
  return { key: material.subarray(0, KEY_BYTES), mask: material.subarray(KEY_BYTES, KEY_BYTES + NONCE_BYTES) }
}

/** What packets of `sender` begin with, in all epochs of the session. Throws once it is gone. */
export function packetTag(exporter: Exporter, sender: Sender): Buffer {
  return exporter(TAG_BYTES, TAG_LABEL, Buffer.of(SENDERS[sender]))
}

/** A whole packet. `counter` must never be used twice with the same keys. */
export function sealPacket(
  { key, mask }: PacketKeys,
  tag: Buffer,
  epoch: number,
  counter: number,
  content: readonly Buffer[]
): Buffer {
  const header = encodeHeader(tag, epoch, counter)
  const cipher = createCipheriv(CIPHER, key, nonceOf(mask, header))
  cipher.setAAD(header)
  const sealed = content.map(part => cipher.update(part))
  cipher.final()
  return Buffer.concat([header, ...sealed, cipher.getAuthTag()])
}

/** The content of a packet, or undefined unless it is authentic. */
export function openPacket({ key, mask }: PacketKeys, packet: Buffer): Buffer | undefined {
  const header = packet.subarray(0, HEADER_BYTES)
  const decipher = createDecipheriv(CIPHER, key, nonceOf(mask, header), { authTagLength: SEAL_BYTES })
  decipher.setAAD(header)
  decipher.setAuthTag(packet.subarray(packet.length - SEAL_BYTES))
  const content = decipher.update(packet.subarray(HEADER_BYTES, packet.length - SEAL_BYTES))
  try {
    decipher.final()
    return content
  } catch {
    return undefined
  }
}

// As in TLS 1.3: the counter, to the right, over a mask that only the two ends know.
function nonceOf(mask: Buffer, header: Buffer): Buffer {
  const nonce = Buffer.from(mask)
  for (let index = 0; index < 8; index += 1) {
    const at = NONCE_BYTES - 8 + index
    nonce[at] = (nonce[at] ?? 0) ^ (header[10 + index] ?? 0)
  }
  return nonce
}
