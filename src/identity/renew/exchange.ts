import type { Duplex } from 'node:stream'
import { ErrorCode, isErrorCode, type Logger, WarrenError, within } from '../../core/index.ts'
import { create, decode, readFrame, renewalPb, toBinary } from '../../wire/index.ts'
import { exchange, type Received } from '../exchange.ts'
import type { JoinConnection } from '../join/index.ts'
import type { TrustState } from '../trust-bundle.ts'
import { verifyAgent, verifyNodeChain } from '../verify/index.ts'
import { MAX_RENEWAL_BYTES, RENEWAL_TIMEOUT_MS } from './protocol.ts'

const MAX_REASON = 512
const BOUNDS = { maxBytes: MAX_RENEWAL_BYTES, timeoutMs: RENEWAL_TIMEOUT_MS } as const

/** The parts that serve an expired host on the data port. */
export interface RenewalAuthority {
  /** DER: this agent's leaf, its node CA, its authority, the root. TLS showed the same leaf. */
  readonly agentChain: () => readonly Uint8Array[]
  /** The last trust bundles (bytes), oldest first. */
  readonly succession: () => readonly Uint8Array[]
  /** Returns the new chain (DER). Throws a WarrenError, which reaches the host with its code and reason. */
  readonly renew: (request: renewalPb.RenewalRequest) => Promise<readonly Uint8Array[]>
  /** The network address of the other side, for the log. @default none */
  readonly remote?: string
  /** Bounded: anybody can have a renewal fail. */
  readonly log: Pick<Logger, 'warn' | 'debug'>
}

/**
 * The authority's side of the renewal of an expired host, over an established TLS connection; ends the connection.
 *
 * Never rejects: errors are logged here, and the host receives those that concern it.
 */
export async function serveRenewal(stream: Duplex, authority: RenewalAuthority, signal: AbortSignal): Promise<void> {
  try {
    await exchange(stream, { ...BOUNDS, maxMessages: 1, signal }, received => serve(received, authority))
  } catch (err) {
    // A host that only looked for newer roots, or for an authority, goes when it has the hello.
    if (WarrenError.is(err, ErrorCode.StreamTruncated)) authority.log.debug('no renewal was requested', { err })
    else authority.log.warn('renewal at the data port failed', { ...remoteOf(authority), err })
  }
}

function remoteOf({ remote }: RenewalAuthority): { remote?: string } {
  return remote === undefined ? {} : { remote }
}

async function* serve(received: Received, authority: RenewalAuthority): AsyncGenerator<Uint8Array, void> {
  const hello = create(renewalPb.RenewalHelloSchema, {
    certificateChain: [...authority.agentChain()],
    succession: [...authority.succession()]
  })
  yield toBinary(renewalPb.RenewalHelloSchema, hello)
  const { value } = await received.next()
  yield await answerTo(decode(renewalPb.RenewalRequestSchema, value, MAX_RENEWAL_BYTES), authority)
}

/**
 * The side of an expired host: sends its request once the other side has proved to be the agent of a member.
 *
 * `follow` receives the trust bundles that the other side shows, which prove themselves, and returns the trust that follows.
 * The caller must verify the chain in the answer: only that chain shows whether the other side is an authority. Throws the
 * error that it answered, with its code, CERTIFICATE_REFUSED when it proves no membership, or the signal's reason.
 */
export async function askForRenewal(
  { stream, peerCertificate }: JoinConnection,
  request: renewalPb.RenewalRequest,
  follow: (succession: readonly Uint8Array[]) => TrustState,
  nowMs: number,
  signal: AbortSignal
): Promise<readonly Uint8Array[]> {
  async function* ask(received: Received): AsyncGenerator<Uint8Array, readonly Uint8Array[]> {
    const hello = (await received.next()).value
    const { certificateChain, succession } = decode(renewalPb.RenewalHelloSchema, hello, MAX_RENEWAL_BYTES)
    requireAgent(certificateChain, peerCertificate, follow(succession), nowMs)
    yield toBinary(renewalPb.RenewalRequestSchema, request)
    return openRenewalAnswer((await received.next()).value)
  }
  try {
    return await exchange(stream, { ...BOUNDS, maxMessages: 2, signal }, ask)
  } finally {
    stream.destroy()
  }
}

/** Asks the other side only for its last trust bundles (bytes), oldest first. They prove themselves. */
export async function askForSuccession(
  { stream }: JoinConnection,
  signal: AbortSignal
): Promise<readonly Uint8Array[]> {
  stream.on('error', () => {})
  try {
    const bytes = await within(RENEWAL_TIMEOUT_MS, [signal], limit => readFrame(stream, MAX_RENEWAL_BYTES, limit))
    return decode(renewalPb.RenewalHelloSchema, bytes, MAX_RENEWAL_BYTES).succession
  } finally {
    stream.destroy()
  }
}

/** The answer that grants a chain. */
export function renewalAnswer(nodeChain: readonly Uint8Array[]): Uint8Array {
  const result = { case: 'granted', value: { nodeChain: nodeChain.map(der => Uint8Array.from(der)) } } as const
  return toBinary(renewalPb.RenewalAnswerSchema, create(renewalPb.RenewalAnswerSchema, { result }))
}

/** The chain in an answer, not verified. Throws the refusal in it, MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. */
export function openRenewalAnswer(bytes: Uint8Array): readonly Uint8Array[] {
  const { result } = decode(renewalPb.RenewalAnswerSchema, bytes, MAX_RENEWAL_BYTES)
  if (result.case === 'granted') return result.value.nodeChain
  const { code = '', reason = 'the authority gave no answer' } = result.value ?? {}
  throw new WarrenError(isErrorCode(code) ? code : ErrorCode.RenewalRefused, reason.slice(0, MAX_REASON))
}

async function answerTo(request: renewalPb.RenewalRequest, { renew }: RenewalAuthority): Promise<Uint8Array> {
  try {
    return renewalAnswer(await renew(request))
  } catch (err) {
    const known = err instanceof WarrenError ? err : undefined
    const value = { code: known?.code ?? ErrorCode.Internal, reason: known?.reason ?? 'the authority failed' }
    const answer = create(renewalPb.RenewalAnswerSchema, { result: { case: 'refused', value } })
    return toBinary(renewalPb.RenewalAnswerSchema, answer)
  }
}

// The request is not secret, but only a member has a use for it.
function requireAgent(
  chain: readonly Uint8Array[],
  peerCertificate: Uint8Array,
  trust: TrustState,
  nowMs: number
): void {
  const [leaf, ...nodeChain] = chain
  if (leaf === undefined || !Buffer.from(leaf).equals(peerCertificate)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the host shows another certificate than TLS proved')
  }
  const node = verifyNodeChain(nodeChain, trust, nowMs)
  const agent = node.ok ? verifyAgent(leaf, node.identity, trust, nowMs) : node
  if (!agent.ok) throw new WarrenError(ErrorCode.CertificateRefused, `the host is not a member: ${agent.detail}`)
}
