import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, isErrorCode, parseHostPort, sleep, WarrenError } from '../../core/index.ts'
import { identityPb, toBinary } from '../../wire/index.ts'
import { parseCertificate } from '../certificate/parse.ts'
import { openSuccession, openTrustBundle, type TrustState } from '../trust-bundle.ts'
import { type NodeIdentity, type Verdict, verifyAgent, verifyNodeChain } from '../verify/index.ts'
import type { JoinOffer } from './admit.ts'
import { firstToMeet, type JoinConnection, LostAuthorityError, type Meeting, meetAuthority } from './meet.ts'
import { checkOffer, type JoinProof, requestFrom } from './request.ts'
import type { JoinToken } from './token.ts'

export interface JoinOptions {
  readonly token: JoinToken
  /** Required with an invitation, and without effect with a token. */
  readonly proof?: JoinProof
  /** Machine name that the operator has chosen. */
  readonly name?: string
  /** Machine name without one. @default that of the token */
  readonly machine?: string
  /** Called when the authority holds this host outside, with the reason, and with each failure to ask again. */
  readonly onWaiting?: (reason: string) => void
  /** Ed25519: the libp2p key of this host. */
  readonly peerKey: KeyObject
  /** P-256: the CA key of this host. */
  readonly nodeKey: KeyObject
  /** Opens TLS 1.3 with ALPN `warren-join/1` to one of the token's addresses, verifying nothing. */
  readonly connect: (address: string, signal: AbortSignal) => Promise<JoinConnection>
  readonly nowMs: () => number
  /** Called with each address that the authority does not answer at, and why. @default no notification */
  readonly onFailed?: ((address: string, reason: string) => void) | undefined
  readonly signal: AbortSignal
}

export interface Joined {
  readonly node: NodeIdentity
  readonly trust: TrustState
  /** Bytes of the SignedTrustBundle, to be kept. */
  readonly trustBundle: Uint8Array
  /** Hex SHA-256 of a root that opens the bundle: the root of the token, unless it was replaced more than once since. */
  readonly rootSha256: string
  /** The best first. */
  readonly meshAddresses: readonly string[]
}

const MAX_MESH_ADDRESSES = 64

/** An authority may hold a host for long, but not send it away for long, nor have it ask without a pause. */
const MIN_RETRY_MS = 250
const MAX_RETRY_MS = 60_000

/**
 * Joins the token's trust domain, and waits as long as the authority holds this host outside. Throws like `askOnce`.
 */
export async function join(options: JoinOptions): Promise<Joined> {
  let wanted: JoinOffer = {
    machine: options.name ?? options.machine ?? options.token.machine,
    scopes: options.token.scopes,
    ephemeral: options.token.ephemeral ?? false
  }
  let waitedMs: number | undefined
  let offers = 0
  for (;;) {
    try {
      const answer = await askOnce(options, wanted)
      if ('node' in answer) return answer
      if ('machine' in answer) {
        offers += 1
        if (offers > MAX_OFFERS) throw new WarrenError(ErrorCode.JoinFailed, 'the authority changes its offer again')
        wanted = answer
        continue
      }
      waitedMs = Math.min(Math.max(answer.retryAfterMs, MIN_RETRY_MS), MAX_RETRY_MS)
      options.onWaiting?.(answer.reason)
    } catch (err) {
      // An authority that restarts still has this host on its list.
      if (waitedMs === undefined || !WarrenError.is(err, ErrorCode.JoinFailed)) throw err
      options.onWaiting?.(err.reason)
    }
    await sleep(waitedMs, options.signal)
  }
}

const MAX_OFFERS = 2

/**
 * Asks the authority once: dials the authority's addresses, each a little after the one before, and returns this host's
 * certificates, or what the authority answers in place of them.
 *
 * The secret leaves this host only after the other side has proved to be the machine that the token names, under the
 * root that the token pins, and over one connection at a time. Throws the error that the true authority answered, with its code
 * (usually TOKEN_REFUSED); CERTIFICATE_REFUSED, SIGNATURE_INVALID or MESSAGE_MALFORMED when it admitted this host but its answer is
 * invalid; JOIN_FAILED, with the error of each address, when the authority answers at none of them; and the signal's reason.
 */
async function askOnce(options: JoinOptions, wanted: JoinOffer): Promise<Joined | JoinOffer | Waiting> {
  const { token, signal } = options
  const failures = new Map<string, string>()
  const failed = (address: string, err: unknown): void => {
    failures.set(address, textOf(err))
    options.onFailed?.(address, textOf(err))
  }
  const left = () => token.authorityAddresses.filter(address => !failures.has(address))
  const meet = (address: string, limit: AbortSignal): Promise<Meeting> =>
    meetAuthority(address, (hello, peerCertificate) => checkAuthority(hello, peerCertificate, token, options.nowMs()), {
      connect: options.connect,
      signal,
      limit
    })
  while (left().length > 0) {
    const authority = await firstToMeet(left(), meet, failed, signal)
    if (authority === undefined) continue
    try {
      const response = await authority.ask(await requestFrom(options, wanted, authority.hello))
      // The true authority has answered, and perhaps spent the token. A second address would replace its answer by
      // "already used".
      return conclude(response, authority, options, wanted)
    } catch (err) {
      if (!(err instanceof LostAuthorityError)) throw err
      // The connection was lost: the next address may work.
      signal.throwIfAborted()
      failed(authority.address, err.cause)
    }
  }
  const reasons = token.authorityAddresses.map(address => `${address}: ${failures.get(address) ?? ''}`)
  throw new WarrenError(ErrorCode.JoinFailed, `no authority could be joined (${reasons.join('; ')})`, {
    hint: hintFor(reasons, token)
  })
}

function hintFor(reasons: readonly string[], { authorityMachine }: JoinToken): string {
  if (reasons.some(reason => /CERTIFICATE_REFUSED.*valid from/.test(reason))) {
    return `The clock of this host is behind that of ${authorityMachine}: compare date -u on both, and set the one that is wrong by NTP.`
  }
  return reasons.some(reason => reason.includes(ErrorCode.CertificateRefused))
    ? 'Another mesh answers there: make a new token with `warren token create` on the authority of the mesh that is meant.'
    : `Check that the agent on ${authorityMachine} runs and that its data port is reachable from here.`
}

// A host that admits too many others at once, or that stops, closes without a word.
function textOf(err: unknown): string {
  if (WarrenError.is(err, ErrorCode.StreamTruncated)) {
    return 'it closed the connection before it had answered: it may have too much to do, and answer in a minute'
  }
  return err instanceof Error ? err.message : String(err)
}

interface Waiting {
  readonly reason: string
  readonly retryAfterMs: number
}

function conclude(
  { result }: identityPb.JoinResponse,
  authority: Meeting,
  options: JoinOptions,
  wanted: JoinOffer
): Joined | JoinOffer | Waiting {
  if (result.case === 'accepted') return accept(result.value, authority, options, wanted)
  if (result.case === 'waiting')
    return { reason: result.value.reason.slice(0, 256), retryAfterMs: result.value.retryAfterMs }
  if (result.case === 'offer') return checkOffer(result.value, options)
  const { code = '', reason = 'the authority gave no answer', hint = '' } = result.value ?? {}
  const known = isErrorCode(code) ? code : ErrorCode.JoinFailed
  throw new WarrenError(known, reason.slice(0, 256), hint === '' ? {} : { hint: hint.slice(0, 256) })
}

// Before the secret is sent, these checks exclude everything that a stranger at the authority's address could fake.
function checkAuthority(
  { certificateChain, succession }: identityPb.JoinHello,
  peerCertificate: Uint8Array,
  token: JoinToken,
  nowMs: number
): TrustState {
  const [leaf, ...nodeChain] = certificateChain
  const root = nodeChain.at(-1)
  if (leaf === undefined || root === undefined || !Buffer.from(leaf).equals(peerCertificate)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the host shows another certificate than TLS proved')
  }
  const trust = pinned(root, succession, token)
  const node = verifyNodeChain(nodeChain, trust, nowMs)
  const agent: Verdict<{ readonly machine: string }> = node.ok ? verifyAgent(leaf, node.identity, trust, nowMs) : node
  if (!agent.ok) {
    throw new WarrenError(ErrorCode.CertificateRefused, `the host is not the authority: ${agent.detail}`, {
      hint: 'If the token is fresh, check the clocks of both hosts.'
    })
  }
  if (agent.identity.machine !== token.authorityMachine) {
    throw new WarrenError(ErrorCode.CertificateRefused, `the host is not ${token.authorityMachine}`)
  }
  return trust
}

function pinned(root: Uint8Array, succession: readonly Uint8Array[], token: JoinToken): TrustState {
  let certificate: ReturnType<typeof parseCertificate>
  try {
    certificate = parseCertificate(root)
  } catch (cause) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the host shows no usable root', { cause })
  }
  if (certificate.sha256 !== token.rootSha256) return rotated(succession, token)
  return {
    trustDomain: token.trustDomain,
    version: 0n,
    roots: [certificate],
    adminPublicKey: new Uint8Array(),
    revocations: []
  }
}

// The root was rotated after the token was made: the root that the token pins must have signed the bundle that followed.
function rotated(succession: readonly Uint8Array[], token: JoinToken): TrustState {
  let trust: TrustState | undefined
  try {
    trust = openSuccession(succession, token.rootSha256)
  } catch (cause) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the host belongs to another trust domain than the token', {
      cause
    })
  }
  if (trust.trustDomain === token.trustDomain) return trust
  throw new WarrenError(ErrorCode.CertificateRefused, `the host belongs to ${trust.trustDomain}`)
}

function accept(
  accepted: identityPb.JoinAccepted,
  { address, trust: shown }: Meeting,
  options: JoinOptions,
  wanted: JoinOffer
): Joined {
  const { token, nodeKey, nowMs } = options
  const trustBundle =
    accepted.trustBundle === undefined
      ? new Uint8Array()
      : toBinary(identityPb.SignedTrustBundleSchema, accepted.trustBundle)
  const { trust, rootSha256 } = opened(trustBundle, [token.rootSha256, ...shown.roots.map(({ sha256 }) => sha256)])
  const verdict = verifyNodeChain(accepted.nodeChain, trust, nowMs())
  if (!verdict.ok) throw new WarrenError(ErrorCode.CertificateRefused, `the certificate received: ${verdict.detail}`)
  const node = verdict.identity
  if (
    node.machine !== wanted.machine ||
    trust.trustDomain !== token.trustDomain ||
    !node.nodeCertificate.publicKey.equals(createPublicKey(nodeKey))
  ) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate received is not for this host')
  }
  const { host } = parseHostPort(address)
  // Where its data port was reached, its mesh port most likely is as well.
  const likely = (multiaddr: string): number => Number(multiaddr.includes(`/${host}/`))
  const meshAddresses = accepted.meshAddresses.slice(0, MAX_MESH_ADDRESSES).sort((a, b) => likely(b) - likely(a))
  return { node, trust, trustBundle, rootSha256, meshAddresses }
}

function opened(bundle: Uint8Array, pins: readonly string[]): { trust: TrustState; rootSha256: string } {
  let refusal: unknown
  for (const rootSha256 of pins) {
    try {
      return { trust: openTrustBundle(bundle, rootSha256), rootSha256 }
    } catch (err) {
      refusal ??= err
    }
  }
  throw refusal
}
