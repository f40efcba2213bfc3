import type { Trust } from '../../cluster/index.ts'
import {
  type Clock,
  ErrorCode,
  type Logger,
  type Metrics,
  networkOf,
  TokenBuckets,
  WarrenError
} from '../../core/index.ts'
import {
  admitRenewal,
  BACKDATED_MS,
  keySha256Of,
  type NodeIdentity,
  type PeerKey,
  parseCertificate,
  rootOfAuthority
} from '../../identity/index.ts'
import type { renewalPb } from '../../wire/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import type { Credentials } from '../membership/index.ts'

export interface RenewalServiceDeps {
  readonly credentials: Credentials
  readonly trust: Trust
  readonly lifetimes: Lifetimes
  /** Whether a host was admitted here under a name after a time. */
  readonly hasJoinedSince: (machine: string, sinceMs: number) => boolean
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** The caller: a peer that the mesh proved, the network address of an expired host, or this host itself, which has no limits. */
export type Requester = { readonly peer: PeerKey } | { readonly remote: string } | 'self'

// A host asks once in half of its certificate's life, and a few times more when answers are lost.
export const RENEWAL_BURST = 6
const MAX_KEYS = 4_096
export const RENEWAL_REFUSALS = { burst: 10, perSecond: 1 / 10, maxKeys: MAX_KEYS }
/** Dates in certificates have whole seconds. */
const ROUNDING_MS = 1_000

/**
 * Renews the certificates of other hosts, and of this one, with the authority of this host. Any authority can renew any
 * host.
 */
export class RenewalService {
  readonly #deps: RenewalServiceDeps
  readonly #refusals = new TokenBuckets<string>(RENEWAL_REFUSALS)
  readonly #grants: TokenBuckets<PeerKey>

  constructor(deps: RenewalServiceDeps) {
    this.#deps = deps
    // Four in each life, once the burst is used up.
    const perSecond = 4_000 / deps.lifetimes.nodeMs
    this.#grants = new TokenBuckets({ burst: RENEWAL_BURST, perSecond, maxKeys: MAX_KEYS })
  }

  /** Whether this host can renew at all. */
  get isOpen(): boolean {
    const { credentials, trust } = this.#deps
    const { authority } = credentials
    return authority !== undefined && rootOfAuthority(authority.certificate, trust.state) !== undefined
  }

  /**
   * The renewed chain (DER). Throws NOT_AUTHORITY, LIMIT_EXCEEDED after too many recent refusals or renewals, and like
   * `admitRenewal` of identity.
   */
  async renew(request: renewalPb.RenewalRequest, requester: Requester): Promise<readonly Uint8Array[]> {
    const { credentials, trust, lifetimes, clock, log, metrics } = this.#deps
    const { authority } = credentials
    if (authority === undefined) throw new WarrenError(ErrorCode.NotAuthority, 'this host holds no authority')
    const root = rootOfAuthority(authority.certificate, trust.state)
    if (root === undefined) {
      throw new WarrenError(ErrorCode.NotAuthority, 'the authority of this host is below no trusted root')
    }
    const isSelf = requester === 'self'
    const key = isSelf ? '' : 'peer' in requester ? requester.peer : networkOf(requester.remote)
    if (!isSelf) this.#requireAllowance(key)
    const nowMs = clock.wallMs()
    const { nodeMs: lifetimeMs, graceMs } = lifetimes
    try {
      const renewed = await admitRenewal(
        this.#rerooted(request, [authority.certificate, root.der]),
        {
          trust: trust.state,
          authority,
          lifetimeMs,
          graceMs,
          nowMs,
          successor: current => {
            if (!isSelf) this.#requireGrant(current)
            return this.#successor(current)
          }
        },
        !isSelf && 'peer' in requester ? requester.peer : undefined
      )
      const { before, hadExpired, certificate } = renewed
      if (isSelf) return [certificate, authority.certificate, root.der]
      metrics.count('warren_renewals_served_total', { result: 'granted' })
      this.#grants.use(before.peer, 1, clock.monotonicMs())
      log.info('certificate of a host renewed', {
        machine: before.machine,
        peer: before.peer,
        notAfter: new Date(parseCertificate(certificate).notAfterMs).toISOString(),
        state: hadExpired ? 'expired' : 'current'
      })
      return [certificate, authority.certificate, root.der]
    } catch (err) {
      if (isSelf) throw err
      metrics.count('warren_renewals_served_total', { result: 'refused' })
      this.#refusals.use(key, 1, clock.monotonicMs())
      log.warn('renewal refused', { ...requester, err })
      throw err
    }
  }

  // An authority keeps its key when it gets a certificate of a new root. So its signatures can be verified below the new root,
  // even if the host was away and shows the old one: the old root need not be trusted, and the holder of its key gains nothing.
  #rerooted(request: renewalPb.RenewalRequest, own: readonly [Uint8Array, Uint8Array]): renewalPb.RenewalRequest {
    const [node, authority, root] = request.nodeChain
    if (node === undefined || authority === undefined || root === undefined) return request
    const { trust } = this.#deps
    if (trust.state.roots.some(({ der }) => Buffer.from(der).equals(root))) return request
    const key = keyOf(authority)
    const now = [own, ...trust.authorities()].find(([candidate]) => key !== undefined && keyOf(candidate) === key)
    return now === undefined ? request : { ...request, nodeChain: [node, ...now] }
  }

  // Checked before anything is verified: a refusal costs signature checks and a line of log.
  #requireAllowance(key: string): void {
    if (this.#refusals.left(key, this.#deps.clock.monotonicMs()) >= 1) return
    this.#deps.metrics.hit('renewal_refusals', { remote: key, limit: RENEWAL_REFUSALS.burst })
    throw new WarrenError(ErrorCode.LimitExceeded, 'too many refused renewals', { hint: 'Wait a minute.' })
  }

  #requireGrant({ peer, machine }: NodeIdentity): void {
    if (this.#grants.left(peer, this.#deps.clock.monotonicMs()) >= 1) return
    this.#deps.metrics.hit('renewals_per_host', { machine, limit: RENEWAL_BURST })
    throw new WarrenError(ErrorCode.LimitExceeded, `${machine} was renewed too often recently`)
  }

  // The host that joined last under a name has it: a host that returns after a long time must not be a second one of its name.
  #successor({ machine, peer, nodeCertificate }: NodeIdentity): string | undefined {
    const { trust, hasJoinedSince, clock } = this.#deps
    const holder = trust.known(machine)
    const isOther = holder !== undefined && holder.peer !== peer && trust.revokedPeer(holder.peer) === undefined
    if (isOther && holder.notAfterMs > clock.wallMs()) return `another host holds the name ${machine} now`
    const issuedAtMs = nodeCertificate.notBeforeMs + BACKDATED_MS + ROUNDING_MS
    return hasJoinedSince(machine, issuedAtMs) ? `another host has joined as ${machine} since` : undefined
  }
}

function keyOf(der: Uint8Array): string | undefined {
  try {
    return keySha256Of(parseCertificate(der))
  } catch {
    return undefined
  }
}
