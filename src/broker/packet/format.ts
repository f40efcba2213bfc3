/** The first byte of a packet, so that a later format can be told. */
const VERSION = 0x01
export const TAG_BYTES = 8
export const HEADER_BYTES = 18
export const SEAL_BYTES = 16

/** What a packet adds to the content that it seals. */
export const PACKET_OVERHEAD_BYTES = HEADER_BYTES + SEAL_BYTES
/** What a packet with a datagram adds to its payload: also the kind and the stream. */
export const DATAGRAM_OVERHEAD_BYTES = PACKET_OVERHEAD_BYTES + 5

export const Kind = { Ping: 0x01, Pong: 0x02, Datagram: 0x03 } as const

export interface PacketHeader {
  /** Names the receiver's session, as latin1 text, for a map. */
  readonly tag: string
  /** Its last eight bits. */
  readonly epoch: number
  readonly counter: number
}

/** Writes the header that is sealed along with the content. */
export function encodeHeader(tag: Buffer, epoch: number, counter: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES)
  header[0] = VERSION
  header[1] = epoch & 0xff
  tag.copy(header, 2)
  header.writeUInt32BE(Math.floor(counter / 2 ** 32), 10)
  header.writeUInt32BE(counter % 2 ** 32, 14)
  return header
}

/** What the front of a packet says; undefined if it is none. Nothing in it is authentic yet. */
export function decodeHeader(packet: Buffer): PacketHeader | undefined {
  if (packet.length < PACKET_OVERHEAD_BYTES + 1 || packet[0] !== VERSION) return undefined
  const counter = packet.readUInt32BE(10) * 2 ** 32 + packet.readUInt32BE(14)
  // No sender gets there, and beyond it a number is not exact.
  if (!Number.isSafeInteger(counter)) return undefined
  return { tag: packet.toString('latin1', 2, 2 + TAG_BYTES), epoch: packet[1] ?? 0, counter }
}
