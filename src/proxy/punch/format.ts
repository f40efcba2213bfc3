import { createHash } from 'node:crypto'
import { ErrorCode, formatHostPort, type HostPort, parseHostPort, WarrenError } from '../../core/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import { create, decode, punchPb, toBinary } from '../../wire/index.ts'

/** The first byte of a connection that shows where its host comes from; see also `REVERSE_FIRST_BYTE`. */
export const PUNCH_FIRST_BYTE = 0x50
const VERSION = 1
const HEAD_BYTES = 2
const PROOF_BYTES = 32
export const PREAMBLE_BYTES: number = HEAD_BYTES + PROOF_BYTES
export const TOKEN_BYTES = 32
export const ATTEMPT_BYTES = 16
/** Of TCP connections, and of datagrams: neither shows the address of the other. */
const LABELS = { tcp: 'warren-punch-v1', udp: 'warren-punch-datagrams-v1' } as const
/** Longest message of this protocol. */
export const MAX_MESSAGE_BYTES = 256

export interface Ask {
  /** The other host. */
  readonly peer: PeerKey
  readonly token: Uint8Array
  readonly localPort: number
  /** Undefined if the other host must be invited. */
  readonly attempt: string | undefined
}

export interface Answer {
  readonly own: HostPort
  readonly other: HostPort
  readonly otherLocalPort: number
}

export interface Invitation {
  readonly requester: PeerKey
  readonly attempt: string
}

/** Shows `member` that a connection, or a datagram, comes from `peer`: only the two know the token. */
export function proofOf(token: Uint8Array, peer: PeerKey, member: PeerKey, of: keyof typeof LABELS = 'tcp'): Buffer {
  return createHash('sha256').update(`${LABELS[of]}\0${peer}\0${member}\0`).update(token).digest()
}

export function encodePreamble(proof: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(PUNCH_FIRST_BYTE, VERSION), proof])
}

/** Returns the proof in a preamble; undefined if it is not one of this version. */
export function decodePreamble(bytes: Buffer): Buffer | undefined {
  if (bytes.length !== PREAMBLE_BYTES || bytes[0] !== PUNCH_FIRST_BYTE || bytes[1] !== VERSION) return undefined
  return bytes.subarray(HEAD_BYTES)
}

export function encodeAsk({ peer, token, localPort, attempt = '' }: Ask): Uint8Array {
  const message = { peer: rawKeyOf(peer), token, localPort, attempt: Buffer.from(attempt, 'hex') }
  return toBinary(punchPb.PunchAskSchema, create(punchPb.PunchAskSchema, message))
}

/** Throws MESSAGE_MALFORMED. */
export function decodeAsk(bytes: Uint8Array): Ask {
  const { peer, token, localPort, attempt } = decode(punchPb.PunchAskSchema, bytes, MAX_MESSAGE_BYTES)
  requireForm(token.length === TOKEN_BYTES && isPort(localPort))
  return { peer: keyOf(peer), token, localPort, attempt: attempt.length === 0 ? undefined : attemptOf(attempt) }
}

export function encodeAnswer({ own, other, otherLocalPort }: Answer): Uint8Array {
  const message = { own: formatHostPort(own), other: formatHostPort(other), otherLocalPort }
  return toBinary(punchPb.PunchAnswerSchema, create(punchPb.PunchAnswerSchema, message))
}

/** Throws MESSAGE_MALFORMED. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const { own, other, otherLocalPort } = decode(punchPb.PunchAnswerSchema, bytes, MAX_MESSAGE_BYTES)
  requireForm(isPort(otherLocalPort))
  return { own: endOf(own), other: endOf(other), otherLocalPort }
}

export function encodeInvitation({ requester, attempt }: Invitation): Uint8Array {
  const message = { requester: rawKeyOf(requester), attempt: Buffer.from(attempt, 'hex') }
  return toBinary(punchPb.PunchInviteSchema, create(punchPb.PunchInviteSchema, message))
}

/** Throws MESSAGE_MALFORMED. */
export function decodeInvitation(bytes: Uint8Array): Invitation {
  const { requester, attempt } = decode(punchPb.PunchInviteSchema, bytes, MAX_MESSAGE_BYTES)
  return { requester: keyOf(requester), attempt: attemptOf(attempt) }
}

export function encodeSeenAsk(token: Uint8Array): Uint8Array {
  return toBinary(punchPb.PunchSeenAskSchema, create(punchPb.PunchSeenAskSchema, { token }))
}

/** Returns the token. Throws MESSAGE_MALFORMED. */
export function decodeSeenAsk(bytes: Uint8Array): Uint8Array {
  const { token } = decode(punchPb.PunchSeenAskSchema, bytes, MAX_MESSAGE_BYTES)
  requireForm(token.length === TOKEN_BYTES)
  return token
}

export function encodeSeen(own: HostPort): Uint8Array {
  return toBinary(punchPb.PunchSeenSchema, create(punchPb.PunchSeenSchema, { own: formatHostPort(own) }))
}

/** Throws MESSAGE_MALFORMED. */
export function decodeSeen(bytes: Uint8Array): HostPort {
  return endOf(decode(punchPb.PunchSeenSchema, bytes, MAX_MESSAGE_BYTES).own)
}

function attemptOf(bytes: Uint8Array): string {
  requireForm(bytes.length === ATTEMPT_BYTES)
  return Buffer.from(bytes).toString('hex')
}

function keyOf(bytes: Uint8Array): PeerKey {
  try {
    return peerKeyOf(bytes)
  } catch (cause) {
    throw malformed(cause)
  }
}

function endOf(text: string): HostPort {
  try {
    const end = parseHostPort(text, { defaultHost: '' })
    requireForm(end.port !== 0)
    return end
  } catch (cause) {
    throw malformed(cause)
  }
}

function isPort(port: number): boolean {
  return port > 0 && port <= 65_535
}

function requireForm(isRight: boolean): void {
  if (!isRight) throw malformed(undefined)
}

function malformed(cause: unknown): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, 'not a message about a connection between two NATs', { cause })
}
