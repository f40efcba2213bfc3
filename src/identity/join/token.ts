import { createHash } from 'node:crypto'
import { toString as encode, fromString } from 'uint8arrays'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { create, decode, identityPb, toBinary } from '../../wire/index.ts'
import { isComponent, parseTrustDomain, RESERVED_SCOPE } from '../address.ts'
import { MAX_SCOPES } from '../verify/index.ts'
import { isOpen, parseMachinePattern } from './name-pattern.ts'

/**
 * The contents of a join token. `secret` must stay secret; the rest may be shown. An invitation has no id and no secret: it only
 * leads to an authority, and the host proves its right in another way.
 */
export interface JoinToken {
  readonly trustDomain: string
  /** Hex SHA-256 of the root certificate. */
  readonly rootSha256: string
  /** host:port, best first. */
  readonly authorityAddresses: readonly string[]
  readonly authorityMachine: string
  /** A name, or a pattern of names; empty in an invitation. */
  readonly machine: string
  /** Hex, 16 bytes; empty in an invitation. */
  readonly id: string
  readonly secret: Uint8Array
  readonly expiresAtMs: number
  readonly scopes: readonly string[]
  /** The host leaves the mesh when it ends. @default false */
  readonly ephemeral?: boolean
}

const PREFIX = 'warren1.'
const CHECK_BYTES = 4
// Large enough for the largest token, of 16 addresses with 255-character hosts and 64 scopes of 63 characters.
const MAX_TEXT = 16_384
const MAX_ADDRESSES = 16
const ID_BYTES = 16
const SECRET_BYTES = 32
// The last millisecond that a Date can hold; printing a later expiry throws.
const MAX_TIME_MS = 8.64e15

/** The token as one word that a person can copy. */
export function encodeJoinToken(token: JoinToken): string {
  const bytes = toBinary(
    identityPb.JoinTokenSchema,
    create(identityPb.JoinTokenSchema, {
      trustDomain: token.trustDomain,
      rootSha256: fromString(token.rootSha256, 'hex'),
      authorityAddresses: [...token.authorityAddresses],
      authorityMachine: token.authorityMachine,
      machine: token.machine,
      tokenId: fromString(token.id, 'hex'),
      secret: token.secret,
      expiresAtMs: BigInt(token.expiresAtMs),
      scopes: [...token.scopes],
      ephemeral: token.ephemeral ?? false
    })
  )
  return PREFIX + encode(Buffer.concat([bytes, checksum(bytes)]), 'base64url')
}

/** Whether it has no secret: see `JoinToken`. */
export function isInvitation({ id }: Pick<JoinToken, 'id'>): boolean {
  return id === ''
}

/** The machine that a token names, if it names only one. */
export function machineOfToken({ machine }: JoinToken): string | undefined {
  return machine === '' || isOpen(machine) ? undefined : machine
}

/**
 * Reads a token. Throws TOKEN_REFUSED, which states whether the text is not a token, is a damaged copy, or expired by `nowMs`.
 */
export function parseJoinToken(text: string, nowMs: number): JoinToken {
  const word = text.trim()
  if (!word.startsWith(PREFIX) || word.length > MAX_TEXT) {
    throw refused('this is not a join token', `A token begins with "${PREFIX}"; \`warren token create\` prints one.`)
  }
  const message = open(word.slice(PREFIX.length))
  const expiresAtMs = Number(message.expiresAtMs)
  const invites = message.tokenId.length === 0
  if (!invites && nowMs >= expiresAtMs) {
    throw refused(
      `the join token expired at ${new Date(expiresAtMs).toISOString()}`,
      'Make a new one with `warren token create`, and check the clocks of both hosts if it is fresh.'
    )
  }
  return {
    trustDomain: message.trustDomain,
    rootSha256: encode(message.rootSha256, 'hex'),
    authorityAddresses: message.authorityAddresses,
    authorityMachine: message.authorityMachine,
    machine: message.machine,
    id: encode(message.tokenId, 'hex'),
    secret: message.secret,
    expiresAtMs,
    scopes: message.scopes,
    ...(message.ephemeral ? { ephemeral: true } : {})
  }
}

function open(encoded: string): identityPb.JoinToken {
  try {
    const bytes = fromString(encoded, 'base64url')
    const body = bytes.subarray(0, -CHECK_BYTES)
    if (!checksum(body).equals(bytes.subarray(-CHECK_BYTES))) throw new RangeError('checksum')
    const message = decode(identityPb.JoinTokenSchema, body, MAX_TEXT)
    const isProof = message.tokenId.length === ID_BYTES && message.secret.length === SECRET_BYTES
    const isEmpty = message.tokenId.length === 0 && message.secret.length === 0 && message.machine === ''
    if (!isEmpty) parseMachinePattern(message.machine, 'the machine')
    const usable =
      message.rootSha256.length === 32 &&
      (isProof || isEmpty) &&
      message.authorityAddresses.length > 0 &&
      message.authorityAddresses.length <= MAX_ADDRESSES &&
      (isEmpty || isOpen(message.machine) || isComponent(message.machine)) &&
      isComponent(message.authorityMachine) &&
      message.expiresAtMs >= 0n &&
      message.expiresAtMs <= MAX_TIME_MS &&
      message.scopes.length <= MAX_SCOPES &&
      message.scopes.every(scope => isComponent(scope) && scope !== RESERVED_SCOPE)
    if (!usable) throw new RangeError('content')
    parseTrustDomain(message.trustDomain)
    return message
  } catch (cause) {
    // The message does not quote the cause: the cause could contain the secret.
    throw refused('the join token is damaged', 'Copy the whole line that `warren token create` printed.', cause)
  }
}

function checksum(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, CHECK_BYTES)
}

function refused(reason: string, hint: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.TokenRefused, reason, { hint, cause })
}
