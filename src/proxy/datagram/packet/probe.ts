import { randomBytes } from 'node:crypto'
import { Feature, HEADER_BYTES, PACKET_OVERHEAD_BYTES } from './format.ts'

const TOKEN_BYTES = 8
/** What each answer has: bits of `Feature`. A ping has `TwoPaths` only if it looks for a second path, or is on one. */
export const OWN_FEATURES: number = Feature.Datagrams | Feature.TwoPaths

/** Content of a ping or a pong. */
export interface Probe {
  /** A copy: it is used longer than the packet that it came in. */
  readonly token: Buffer
  /** Features that its sender supports: bits of `Feature`. */
  readonly features: number
}

export function newToken(): Buffer {
  return randomBytes(TOKEN_BYTES)
}

/** Makes a ping or pong of `size` bytes, not yet sealed. */
export function encodeProbe(kind: number, token: Buffer, size: number, features = OWN_FEATURES): Buffer {
  const packet = Buffer.alloc(Math.max(PACKET_OVERHEAD_BYTES + 1 + TOKEN_BYTES, size))
  packet[HEADER_BYTES] = kind
  packet.set(token, HEADER_BYTES + 1)
  // An answer must not be larger than its ping.
  if (size >= PACKET_OVERHEAD_BYTES + 2 + TOKEN_BYTES) packet[HEADER_BYTES + 1 + TOKEN_BYTES] = features
  return packet
}

/** Reads a ping or pong; undefined if `content` is too short. */
export function decodeProbe(content: Buffer): Probe | undefined {
  if (content.length <= TOKEN_BYTES) return undefined
  return { token: Buffer.from(content.subarray(1, 1 + TOKEN_BYTES)), features: content[1 + TOKEN_BYTES] ?? 0 }
}
