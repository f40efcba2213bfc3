/** The first byte of a packet, to distinguish later formats. */
const VERSION = 0x01
export const TAG_BYTES = 8
export const HEADER_BYTES = 18
/** Offset of the counter in the header; it has 8 bytes. */
export const COUNTER_AT = 10
export const SEAL_BYTES = 16

/** Bytes that a packet adds to the content that it seals. */
export const PACKET_OVERHEAD_BYTES = HEADER_BYTES + SEAL_BYTES
/** Bytes that a packet with one datagram adds to its payload: also the kind and the stream. */
export const DATAGRAM_OVERHEAD_BYTES = PACKET_OVERHEAD_BYTES + 5
/** Bytes before each payload in a packet with several: its length. */
export const LENGTH_BYTES = 2

export const Kind = { Ping: 0x01, Pong: 0x02, Datagram: 0x03, Datagrams: 0x04 } as const

/** Follows the token of pings and pongs: the features that their sender supports. */
export const Feature = { Datagrams: 0x01, TwoPaths: 0x02 } as const

/**
 * Sizes of packets that are tried, in bytes of UDP payload: the size that IPv6 must carry everywhere (1,280 less its
 * headers), and the size that fits in Ethernet with IPv6.
 */
export const SIZES = [1_232, 1_452] as const
/** The largest datagram that any packet has room for. */
export const MAX_PATH_DATAGRAM_BYTES = Math.max(...SIZES) - DATAGRAM_OVERHEAD_BYTES
/**
 * A datagram of this size passes on every path, if need be as a capsule: RFC 9000 section 14 requires that of a path for
 * QUIC, and the smallest packet has 7 bytes less room.
 */
export const ALWAYS_CARRIED_BYTES = 1_200
/** Longer packets are ignored: no agent sends them. */
export const MAX_PACKET_BYTES = 2_048

export interface PacketHeader {
  /** Identifies the receiver's session, as latin1 text, for a map. */
  readonly tag: string
  /** The last eight bits of the epoch. */
  readonly epoch: number
  readonly counter: number
}

/** Writes the header, which is sealed along with the content, to the front of `packet`. */
export function encodeHeader(packet: Buffer, tag: Buffer, epoch: number, counter: number): void {
  packet[0] = VERSION
  packet[1] = epoch & 0xff
  packet.set(tag, 2)
  packet.writeUInt32BE(Math.floor(counter / 2 ** 32), COUNTER_AT)
  packet.writeUInt32BE(counter % 2 ** 32, COUNTER_AT + 4)
}

/** Reads the front of a packet; undefined if it is not one. Nothing in it is authentic yet. */
export function decodeHeader(packet: Buffer): PacketHeader | undefined {
  if (packet.length < PACKET_OVERHEAD_BYTES + 1 || packet[0] !== VERSION) return undefined
  const counter = packet.readUInt32BE(COUNTER_AT) * 2 ** 32 + packet.readUInt32BE(COUNTER_AT + 4)
  // No sender reaches such a counter, and a number beyond it is not exact.
  if (!Number.isSafeInteger(counter)) return undefined
  return { tag: packet.toString('latin1', 2, 2 + TAG_BYTES), epoch: packet[1] ?? 0, counter }
}

/** Hands the payloads of a content of kind Datagram or Datagrams to `each`; stops at a truncated one. */
export function eachDatagram(content: Buffer, each: ((payload: Buffer) => void) | undefined): void {
  if (each === undefined) return
  if (content[0] === Kind.Datagram) {
    each(content.subarray(5))
    return
  }
  for (let at = 5; at + LENGTH_BYTES <= content.length; ) {
    const start = at + LENGTH_BYTES
    at = start + content.readUInt16BE(at)
    if (at > content.length) return
    each(content.subarray(start, at))
  }
}
