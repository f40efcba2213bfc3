import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import { create, decode, identityPb, toBinary } from '../../wire/index.ts'
import { exchange, type Received } from '../exchange.ts'
import { openBinding, verdictOf } from '../verify/index.ts'
import { type JoinOffer, methodOf } from './admit.ts'
import { JOIN_BOUNDS, MAX_JOIN_MESSAGE_BYTES } from './protocol.ts'

/** The facts of one connection that a proof of possession covers. */
export interface JoinChannel {
  readonly nonce: Uint8Array
  /** DER of the leaf that TLS and the hello have shown. */
  readonly leaf: Uint8Array
}

export type JoinAnswer =
  | {
      readonly kind: 'accepted'
      readonly nodeChain: readonly Uint8Array[]
      /** Bytes of a SignedTrustBundle. */
      readonly trustBundle: Uint8Array
      readonly meshAddresses: readonly string[]
    }
  | { readonly kind: 'waiting'; readonly reason: string; readonly retryAfterMs: number }
  | { readonly kind: 'offered'; readonly offer: JoinOffer }

const NONCE_BYTES = 32

export interface JoinAuthority {
  readonly trustDomain: string
  /** The network address of the other side, for the log. @default none */
  readonly remote?: string
  /** DER: this agent's leaf, its node CA, its authority, the root. TLS showed the same leaf. */
  readonly agentChain: () => readonly Uint8Array[]
  /** The last trust bundles (bytes), oldest first. */
  readonly succession: () => readonly Uint8Array[]
  /** Verifies a request; throws a WarrenError, which reaches the joiner with its code and reason. */
  readonly admit: (request: identityPb.JoinRequest, channel: JoinChannel) => Promise<JoinAnswer>
  /** Bounded: anybody can have a join fail. */
  readonly log: Pick<Logger, 'warn'>
}

/**
 * The authority's side of one join, over an established TLS connection; ends the connection.
 *
 * Never rejects: errors are logged here, and the joiner receives those that concern it.
 */
export async function serveJoin(stream: Duplex, authority: JoinAuthority, signal: AbortSignal): Promise<void> {
  try {
    await exchange(stream, { ...JOIN_BOUNDS, maxMessages: 1, signal }, received => answer(received, authority))
  } catch (err) {
    authority.log.warn('join failed', { ...remoteOf(authority), err })
  }
}

async function* answer(received: Received, authority: JoinAuthority): AsyncGenerator<Uint8Array, void> {
  const certificateChain = [...authority.agentChain()]
  const nonce = new Uint8Array(randomBytes(NONCE_BYTES))
  const channel = { nonce, leaf: certificateChain[0] ?? new Uint8Array() }
  const succession = [...authority.succession()]
  const hello = create(identityPb.JoinHelloSchema, { certificateChain, succession, nonce })
  yield toBinary(identityPb.JoinHelloSchema, hello)
  const { value } = await received.next()
  const request = decode(identityPb.JoinRequestSchema, value, MAX_JOIN_MESSAGE_BYTES)
  yield toBinary(identityPb.JoinResponseSchema, await respond(request, authority, channel))
}

async function respond(
  request: identityPb.JoinRequest,
  authority: JoinAuthority,
  channel: JoinChannel
): Promise<identityPb.JoinResponse> {
  const { log, admit } = authority
  try {
    const answer = await admit(request, channel)
    if (answer.kind === 'waiting') {
      const { reason, retryAfterMs } = answer
      return create(identityPb.JoinResponseSchema, { result: { case: 'waiting', value: { reason, retryAfterMs } } })
    }
    if (answer.kind === 'offered') {
      const { machine, scopes, ephemeral } = answer.offer
      const value = { machine, scopes: [...scopes], ephemeral }
      return create(identityPb.JoinResponseSchema, { result: { case: 'offer', value } })
    }
    const { nodeChain, trustBundle, meshAddresses } = answer
    return create(identityPb.JoinResponseSchema, {
      result: {
        case: 'accepted',
        value: {
          nodeChain: [...nodeChain],
          trustBundle: decode(identityPb.SignedTrustBundleSchema, trustBundle, MAX_JOIN_MESSAGE_BYTES),
          meshAddresses: [...meshAddresses]
        }
      }
    })
  } catch (err) {
    const fields = { ...describe(request, authority.trustDomain), ...remoteOf(authority), method: methodOf(request) }
    log.warn('join refused', { ...fields, err })
    const known = err instanceof WarrenError ? err : undefined
    return create(identityPb.JoinResponseSchema, {
      result: {
        case: 'refused',
        value: {
          code: known?.code ?? ErrorCode.Internal,
          reason: known?.reason ?? 'the authority failed',
          hint: known?.hint ?? ''
        }
      }
    })
  }
}

function remoteOf({ remote }: JoinAuthority): { remote?: string } {
  return remote === undefined ? {} : { remote }
}

// For the log: the claims of the binding, if its signature is valid.
function describe({ binding }: identityPb.JoinRequest, trustDomain: string): { machine?: string; peer?: string } {
  if (binding === undefined) return {}
  const opened = verdictOf(() => openBinding(binding, trustDomain))
  return opened.ok ? { machine: opened.identity.machine, peer: opened.identity.peer } : {}
}
