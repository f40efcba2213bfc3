import { createHash } from 'node:crypto'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../../identity/index.ts'

/** The first byte of a connection that a relay is to join with another one. */
export const RELAYED_FIRST_BYTE = 0x53
const VERSION = 1
const HEAD_BYTES = 2
const PROOF_BYTES = 32
export const PREAMBLE_BYTES: number = HEAD_BYTES + PROOF_BYTES
const KEY_BYTES = 32

const LABEL = 'warren-relayed-v1'

/** One half of a pair of connections. */
export interface Half {
  /** Random for each pair; the three agents know it. */
  readonly token: Uint8Array
  readonly relay: PeerKey
  /** The agent that dials the relay. */
  readonly dialler: PeerKey
}

/** Proves which half of which pair a connection is. A hash, so that whoever chose the token does not choose the bytes. */
export function proofOf({ token, relay, dialler }: Half): Buffer {
  return createHash('sha256').update(`${LABEL}\0${relay}\0${dialler}\0`).update(token).digest()
}

export function encodePreamble(proof: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(RELAYED_FIRST_BYTE, VERSION), proof])
}

/** Returns the proof in a preamble; undefined if it is not one of this version. */
export function decodePreamble(bytes: Buffer): Buffer | undefined {
  if (bytes.length !== PREAMBLE_BYTES || bytes[0] !== RELAYED_FIRST_BYTE || bytes[1] !== VERSION) return undefined
  return bytes.subarray(HEAD_BYTES)
}

/** A request: the other agent, from the relay's point of view, and tokens. */
export function encodeRequest(other: PeerKey, tokens: Uint8Array): Buffer {
  return Buffer.concat([rawKeyOf(other), tokens])
}

/** Splits a request into the key of the other agent and the tokens, which are not split; undefined if it has no such key. */
export function decodeRequest(
  request: Uint8Array
): { readonly other: PeerKey; readonly tokens: Uint8Array } | undefined {
  try {
    return { other: peerKeyOf(Uint8Array.from(request.subarray(0, KEY_BYTES))), tokens: request.subarray(KEY_BYTES) }
  } catch {
    return undefined
  }
}
