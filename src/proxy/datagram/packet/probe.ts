import { randomBytes } from 'node:crypto'
import { Feature, HEADER_BYTES, PACKET_OVERHEAD_BYTES } from './format.ts'

const TOKEN_BYTES = 8

/** What a ping or a pong says. */
export interface Probe {
  /** A copy: it outlives the packet that it came in. */
  readonly token: Buffer
  /** What its sender understands: bits of `Feature`. */
  readonly features: number
}

export function newToken(): Buffer {
  return randomBytes(TOKEN_BYTES)
}

/** A ping or pong of `size` bytes, not yet sealed. */
export function encodeProbe(kind: number, token: Buffer, size: number): Buffer {
  const packet = Buffer.alloc(Math.max(PACKET_OVERHEAD_BYTES + 1 + TOKEN_BYTES, size))
  packet[HEADER_BYTES] = kind
  packet.set(token, HEADER_BYTES + 1)
  // An answer must not be larger than what it answers.
  if (size >= PACKET_OVERHEAD_BYTES + 2 + TOKEN_BYTES) packet[HEADER_BYTES + 1 + TOKEN_BYTES] = Feature.Datagrams
  return packet
}

/** Undefined if `content` is too short to be one. */
export function decodeProbe(content: Buffer): Probe | undefined {
  if (content.length <= TOKEN_BYTES) return undefined
  return { token: Buffer.from(content.subarray(1, 1 + TOKEN_BYTES)), features: content[1 + TOKEN_BYTES] ?? 0 }
}
