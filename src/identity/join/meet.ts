import type { Duplex } from 'node:stream'
import { DIAL_STAGGER_MS, raceAbort, raceStaggered, within } from '../../core/index.ts'
import { decode, identityPb, toBinary } from '../../wire/index.ts'
import { exchange, type Received } from '../exchange.ts'
import type { TrustState } from '../trust-bundle.ts'
import { JOIN_BOUNDS, JOIN_TIMEOUT_MS, MAX_JOIN_MESSAGE_BYTES } from './protocol.ts'

/** A TLS connection to a host that may be the authority. */
export interface JoinConnection {
  readonly stream: Duplex
  /** DER of the leaf certificate whose key the other side proved in TLS. */
  readonly peerCertificate: Uint8Array
}

/** A connection to the authority, which has proved itself; nothing of the token has been sent. */
export interface Meeting {
  readonly address: string
  /** The trust bundle that verified the authority's certificates. */
  readonly trust: TrustState
  /** The first message of the authority. */
  readonly hello: identityPb.JoinHello
  /** Sends the request and resolves with the answer, once. Rejects with a LostAuthorityError if none comes. */
  readonly ask: (request: identityPb.JoinRequest) => Promise<identityPb.JoinResponse>
  readonly leave: () => void
}

/** The connection ended before the authority had answered. */
export class LostAuthorityError extends Error {}

interface MeetOptions {
  /** Opens TLS to the address, verifying nothing. */
  readonly connect: (address: string, signal: AbortSignal) => Promise<JoinConnection>
  /** Ends the whole join. */
  readonly signal: AbortSignal
  /** Ends the attempt; without effect once the authority has proved itself. */
  readonly limit: AbortSignal
}

/** Connects to an address and resolves once `check` accepts the host there; rejects if it does not. */
export async function meetAuthority(
  address: string,
  check: (hello: identityPb.JoinHello, peerCertificate: Uint8Array) => TrustState,
  { connect, signal, limit }: MeetOptions
): Promise<Meeting> {
  const { stream, peerCertificate } = await within(JOIN_TIMEOUT_MS, [limit], deadline => connect(address, deadline))
  const left = new AbortController()
  const leave = (): void => left.abort(limit.reason ?? signal.reason)
  const met = Promise.withResolvers<Pick<Meeting, 'trust' | 'hello'>>()
  const toSend = Promise.withResolvers<identityPb.JoinRequest>()
  async function* dialogue(received: Received): AsyncGenerator<Uint8Array, identityPb.JoinResponse> {
    const hello = decode(identityPb.JoinHelloSchema, (await received.next()).value, MAX_JOIN_MESSAGE_BYTES)
    met.resolve({ hello, trust: check(hello, peerCertificate) })
    yield toBinary(identityPb.JoinRequestSchema, await raceAbort(toSend.promise, left.signal))
    return decode(identityPb.JoinResponseSchema, (await received.next()).value, MAX_JOIN_MESSAGE_BYTES)
  }
  for (const end of [limit, signal]) end.addEventListener('abort', leave)
  if (limit.aborted || signal.aborted) leave()
  const answered = exchange(stream, { ...JOIN_BOUNDS, maxMessages: 2, signal: left.signal }, dialogue).finally(() => {
    signal.removeEventListener('abort', leave)
    stream.destroy()
  })
  answered.catch(met.reject)
  try {
    const { trust, hello } = await met.promise
    const ask = async (request: identityPb.JoinRequest): Promise<identityPb.JoinResponse> => {
      toSend.resolve(request)
      return await answered.catch((cause: unknown) => {
        throw new LostAuthorityError('the authority is lost', { cause })
      })
    }
    return { address, trust, hello, ask, leave }
  } finally {
    limit.removeEventListener('abort', leave)
  }
}

/**
 * The first address at which the authority answers. `failed` receives the error of each address that was found not to lead there;
 * undefined if that is so of all of them. Rejects with the signal's reason.
 */
export async function firstToMeet(
  addresses: readonly string[],
  meet: (address: string, limit: AbortSignal) => Promise<Meeting>,
  failed: (address: string, err: unknown) => void,
  signal: AbortSignal
): Promise<Meeting | undefined> {
  const attempts = addresses.map(address => async (limit: AbortSignal) => {
    try {
      return await meet(address, limit)
    } catch (err) {
      if (!limit.aborted) failed(address, err)
      throw err
    }
  })
  try {
    return await raceStaggered(attempts, DIAL_STAGGER_MS, signal, late => late.leave())
  } catch {
    signal.throwIfAborted()
    return undefined
  }
}
