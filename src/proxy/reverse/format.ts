import { createHash } from 'node:crypto'
import type { PeerKey } from '../../identity/index.ts'
import { MAX_TOKENS } from './limits.ts'

/** The first byte of a reverse connection. A TLS connection begins with 0x16, a fast-path connection with 0x57. */
export const REVERSE_FIRST_BYTE = 0x52
const VERSION = 1
const HEAD_BYTES = 2
const PROOF_BYTES = 32
export const PREAMBLE_BYTES: number = HEAD_BYTES + PROOF_BYTES
/** Random for each connection that is asked for. */
export const TOKEN_BYTES = 32

const LABEL = 'warren-reverse-v1'

/** The question that a reverse connection answers. */
export interface Question {
  readonly token: Uint8Array
  /** The agent that asks for the connection, and accepts it. */
  readonly requester: PeerKey
  /** The agent that dials. */
  readonly dialler: PeerKey
}

/**
 * Proves that the dialler was asked: only the two agents know the token. A hash, so that the requester does not choose the bytes
 * that another host sends.
 */
export function proofOf({ token, requester, dialler }: Question): Buffer {
  return createHash('sha256').update(`${LABEL}\0${requester}\0${dialler}\0`).update(token).digest()
}

export function encodePreamble(proof: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(REVERSE_FIRST_BYTE, VERSION), proof])
}

/** Returns the proof in a preamble; undefined if it is not one of this version. */
export function decodePreamble(bytes: Buffer): Buffer | undefined {
  if (bytes.length !== PREAMBLE_BYTES || bytes[0] !== REVERSE_FIRST_BYTE || bytes[1] !== VERSION) return undefined
  return bytes.subarray(HEAD_BYTES)
}

/** Splits a request into its tokens, 1 to 32; undefined if it is malformed. */
export function decodeTokens(request: Uint8Array): Uint8Array[] | undefined {
  const count = request.length / TOKEN_BYTES
  if (!Number.isInteger(count) || count < 1 || count > MAX_TOKENS) return undefined
  return Array.from({ length: count }, (_, at) => request.subarray(at * TOKEN_BYTES, (at + 1) * TOKEN_BYTES))
}
