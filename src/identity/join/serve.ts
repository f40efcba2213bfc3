import type { Duplex } from 'node:stream'
import { ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import { create, decode, identityPb, toBinary } from '../../wire/index.ts'
import { exchange, type Received } from '../exchange.ts'
import { openBinding, verdictOf } from '../verify/index.ts'
import { JOIN_BOUNDS, MAX_JOIN_MESSAGE_BYTES } from './protocol.ts'

export interface JoinAuthority {
  readonly trustDomain: string
  /** DER: this agent's leaf, its node CA, its authority, the root. TLS showed the same leaf. */
  readonly agentChain: () => readonly Uint8Array[]
  /** The last trust bundles (bytes), oldest first. */
  readonly succession: () => readonly Uint8Array[]
  /** Verifies a request; throws a WarrenError, which reaches the joiner with its code and reason. */
  readonly admit: (request: identityPb.JoinRequest) => Promise<{
    readonly nodeChain: readonly Uint8Array[]
    /** Bytes of a SignedTrustBundle. */
    readonly trustBundle: Uint8Array
    readonly meshAddresses: readonly string[]
  }>
  readonly log: Logger
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
    authority.log.warn('join failed', { err })
  }
}

async function* answer(received: Received, authority: JoinAuthority): AsyncGenerator<Uint8Array, void> {
  const hello = create(identityPb.JoinHelloSchema, {
    certificateChain: [...authority.agentChain()],
    succession: [...authority.succession()]
  })
  yield toBinary(identityPb.JoinHelloSchema, hello)
  const { value } = await received.next()
  const request = decode(identityPb.JoinRequestSchema, value, MAX_JOIN_MESSAGE_BYTES)
  yield toBinary(identityPb.JoinResponseSchema, await respond(request, authority))
}

async function respond(request: identityPb.JoinRequest, authority: JoinAuthority): Promise<identityPb.JoinResponse> {
  const { log, admit } = authority
  try {
    const { nodeChain, trustBundle, meshAddresses } = await admit(request)
    log.info('host admitted', { ...describe(request, authority.trustDomain) })
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
    log.warn('join refused', { ...describe(request, authority.trustDomain), err })
    const known = err instanceof WarrenError ? err : undefined
    return create(identityPb.JoinResponseSchema, {
      result: {
        case: 'refused',
        value: { code: known?.code ?? ErrorCode.Internal, reason: known?.reason ?? 'the authority failed' }
      }
    })
  }
}

// For the log: the claims of the binding, if its signature is valid.
function describe({ binding }: identityPb.JoinRequest, trustDomain: string): { machine?: string; peer?: string } {
  if (binding === undefined) return {}
  const opened = verdictOf(() => openBinding(binding, trustDomain))
  return opened.ok ? { machine: opened.identity.machine, peer: opened.identity.peer } : {}
}
