import {
  aes256Gcm,
  type Exporter,
  KEY_BYTES,
  NONCE_BYTES,
  type Opener,
  type Sealer,
  type Sender
} from '../../aead/index.ts'
import { encodeHeader, HEADER_BYTES, PACKET_OVERHEAD_BYTES, SEAL_BYTES, TAG_BYTES } from './format.ts'
import { PacketNonce } from './nonce.ts'

/** Key and nonce mask of one direction in one epoch. */
export interface PacketKeys {
  readonly key: Buffer
  readonly mask: Buffer
}

const KEY_LABEL = 'EXPORTER-warren-datagram-key'
const TAG_LABEL = 'EXPORTER-warren-datagram-tag'
const SENDERS: Readonly<Record<Sender, number>> = { client: 0, server: 1 }

/** Derives the keys for packets of `sender` in `epoch`. Throws once the session has closed. */
export function packetKeys(exporter: Exporter, sender: Sender, epoch: number): PacketKeys {
  const context = Buffer.alloc(5)
  context[0] = SENDERS[sender]
  context.writeUInt32BE(epoch, 1)
  return splitMaterial(exporter(KEY_BYTES + NONCE_BYTES, KEY_LABEL, context))
}

export function splitMaterial(material: Buffer): PacketKeys {
  return { key: material.subarray(0, KEY_BYTES), mask: material.subarray(KEY_BYTES, KEY_BYTES + NONCE_BYTES) }
}

/** The first bytes of all packets of `sender`, in all epochs of the session. Throws once it has closed. */
export function packetTag(exporter: Exporter, sender: Sender): Buffer {
  return exporter(TAG_BYTES, TAG_LABEL, Buffer.of(SENDERS[sender]))
}

/** Seals packets of one epoch in place. Throws when it is used after `close`. */
export class PacketSealer {
  readonly #nonce: PacketNonce
  readonly #aead: Sealer

  constructor({ key, mask }: PacketKeys) {
    this.#nonce = new PacketNonce(mask)
    this.#aead = aes256Gcm().sealer(key)
  }

  /**
   * Makes a packet of `packet`, which holds its content after HEADER_BYTES and has SEAL_BYTES of room after it.
   * `counter` must never be used twice.
   */
  seal(packet: Buffer, tag: Buffer, epoch: number, counter: number): void {
    if (packet.length < PACKET_OVERHEAD_BYTES) throw new RangeError(`a packet of ${packet.length} bytes`)
    encodeHeader(packet, tag, epoch, counter)
    const header = packet.subarray(0, HEADER_BYTES)
    const content = packet.subarray(HEADER_BYTES, packet.length - SEAL_BYTES)
    this.#aead.seal(this.#nonce.of(header), header, content, packet.subarray(HEADER_BYTES))
  }

  close(): void {
    this.#aead.close()
  }
}

/** Opens packets of one epoch. Throws when it is used after `close`. */
export class PacketOpener {
  readonly #nonce: PacketNonce
  readonly #aead: Opener

  constructor({ key, mask }: PacketKeys) {
    this.#nonce = new PacketNonce(mask)
    this.#aead = aes256Gcm().opener(key)
  }

  /** Returns the content of a packet, which it overwrites, or undefined unless it is authentic. */
  open(packet: Buffer): Buffer | undefined {
    if (packet.length < PACKET_OVERHEAD_BYTES) return undefined
    const header = packet.subarray(0, HEADER_BYTES)
    const sealed = packet.subarray(HEADER_BYTES)
    const isAuthentic = this.#aead.open(this.#nonce.of(header), header, sealed, sealed)
    return isAuthentic ? packet.subarray(HEADER_BYTES, packet.length - SEAL_BYTES) : undefined
  }

  close(): void {
    this.#aead.close()
  }
}
