import { createPublicKey } from 'node:crypto'
import {
  type Clock,
  ErrorCode,
  type Logger,
  type Metrics,
  networkOf,
  RateLimitedLog,
  TokenBuckets,
  UNAUTHENTICATED_LINES,
  WarrenError
} from '../core/index.ts'
import type { EventSink } from '../events/index.ts'
import {
  type Admission,
  admitJoin,
  claimToken,
  type Grant,
  generateSigningKeyPair,
  issueAgent,
  isTokenKnown,
  type JoinAnswer,
  type JoinAuthority,
  type JoinChannel,
  type JoinOffer,
  LIFETIME_MS,
  methodOf,
  type NodeIdentity,
  openRequest,
  type PeerKey,
  type Revocation,
  rootOfAuthority,
  toPem
} from '../identity/index.ts'
import type { Store } from '../state/index.ts'
import type { identityPb } from '../wire/index.ts'
import { JoinNames, type JoinNamesDeps, JoinTokens, JoinTrusts, notAuthority, WaitingHosts } from './joins/index.ts'
import type { Membership } from './membership/index.ts'
import type { Svid } from './svids.ts'

export interface JoinServiceDeps extends Pick<JoinNamesDeps, 'knownAs'> {
  readonly membership: Membership
  readonly store: Store
  /** host:port of the data listener, as others reach it. */
  readonly dataAddresses: () => readonly string[]
  /** Multiaddrs of the mesh here, once it listens. */
  readonly meshAddresses: () => Promise<readonly string[]>
  /** The member of this name, if there is one now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  /** The revocations in force. */
  readonly revocations: () => readonly Revocation[]
  /** Lifetime of the certificates of admitted hosts, in milliseconds. */
  readonly lifetimeMs: number
  readonly clock: Clock
  readonly log: Logger
  /** @default no notification */
  readonly metrics?: Metrics
  /** @default no notification */
  readonly events?: EventSink
}

// A person makes a few typing errors; a program that repeats them costs a signature check and a line of log each time.
export const REFUSALS = { burst: 10, perSecond: 1 / 10, maxKeys: 4_096 }
/** How often a host that waits asks again. With many of them, the authority still answers about twenty in a second. */
const RETRY_MS = 1_000
const RETRY_PER_HOST_MS = 50

/** The certificate of the agent, and that of the host which signed it. */
interface AgentCertificate {
  readonly svid: Svid
  readonly leaf: Uint8Array
  readonly node: NodeIdentity
}

/** Admits hosts: serves joins, by whatever way, and holds the certificate that this agent shows to joiners. */
export class JoinService {
  readonly tokens: JoinTokens
  readonly names: JoinNames
  readonly waiting: WaitingHosts
  readonly trusts: JoinTrusts
  readonly #deps: JoinServiceDeps
  readonly #refusals = new TokenBuckets<string>(REFUSALS)
  readonly #failures: RateLimitedLog
  #agent: AgentCertificate | undefined

  constructor(deps: JoinServiceDeps) {
    const { membership, store, clock, log } = deps
    this.#deps = deps
    this.#failures = new RateLimitedLog(log, clock, UNAUTHENTICATED_LINES)
    this.tokens = new JoinTokens({ ...deps, ledger: store.joins })
    this.names = new JoinNames({ ...deps, machine: membership.machine, ledger: store.joins })
    this.waiting = new WaitingHosts(store.joins, clock, log)
    this.trusts = new JoinTrusts({ membership, ledger: store.joins, clock, log })
  }

  /** Makes the certificate of the agent: a new one after half of its life, and when the CA of the host was renewed. */
  async renew(): Promise<void> {
    const { membership, clock } = this.#deps
    const { trustDomain, machine, credentials } = membership
    const now = clock.wallMs()
    const { signer, chainDer: issuers } = credentials.issuers
    const current = this.#agent
    const life = current?.svid
    // One of a later time was made while the clock was ahead.
    const isYoung = life !== undefined && now >= life.notBeforeMs && now < (life.notBeforeMs + life.notAfterMs) / 2
    const { node } = credentials
    if (isYoung && current?.node === node) return
    const key = generateSigningKeyPair()
    const leaf = await issueAgent({ node: signer, trustDomain, machine, publicKey: createPublicKey(key), nowMs: now })
    const chainDer = [leaf, ...issuers]
    const certPem = chainDer.map(toPem).join('')
    const notAfterMs = Math.min(now + LIFETIME_MS.agent, node.notAfterMs)
    this.#agent = { leaf, node, svid: { chainDer, certPem, key, notBeforeMs: now, notAfterMs } }
  }

  /** The certificate chain that is shown to joiners. */
  credentials(): Svid {
    return this.#current().svid
  }

  /** DER: the chain that TLS shows to joiners and to expired hosts. */
  agentChain(): readonly Uint8Array[] {
    const { leaf, node } = this.#current()
    return [leaf, ...node.chainDer]
  }

  /** How joins from one remote address are served here. `requireRoom` throws if too many are served already. */
  asAuthority(remote: string, requireRoom: () => void): JoinAuthority {
    const { trustDomain, trust } = this.#deps.membership
    return {
      trustDomain,
      remote,
      log: this.#failures.of(networkOf(remote)),
      agentChain: () => this.agentChain(),
      succession: () => trust.succession,
      admit: async (request, channel) => {
        requireRoom()
        return await this.#limited(remote, request, () => this.#answer(request, remote, channel))
      }
    }
  }

  async #answer(request: identityPb.JoinRequest, remote: string, channel: JoinChannel): Promise<JoinAnswer> {
    const { membership, store, meshAddresses, peerOf, revocations, lifetimeMs, clock, log, events } = this.#deps
    const { trustDomain, trust, credentials } = membership
    const { authority } = credentials
    const root = authority === undefined ? undefined : rootOfAuthority(authority.certificate, trust.state)
    if (authority === undefined || root === undefined) throw notAuthority()
    // Before anything is recorded: a host that is admitted must be told where the mesh is.
    const addresses = await meshAddresses()
    const grant = await this.#grantOf(request, channel)
    const offer = grant.method === 'token' ? undefined : offerOf(request, grant, trustDomain)
    if (offer !== undefined) return { kind: 'offered', offer }
    const admission: Admission = await admitJoin(request, grant, {
      trustDomain,
      ledger: store.joins,
      authority,
      peerOf,
      taken: (machine, peer) => (isByName(grant) ? undefined : this.names.taken(machine, peer)),
      revocations,
      nowMs: () => clock.wallMs(),
      remote,
      lifetimeMs
    })
    const { method, via } = grant
    if (admission.kind === 'waiting') {
      const { machine, isNew } = admission
      if (isNew) {
        log.warn('a host waits until it is admitted', { machine, peer: admission.peer, remote, method, via })
        events?.emit('host-waits', { machine, remote, method, via })
      }
      const reason = `this host waits until an admin admits it; on ${membership.machine}: warren admit ${machine}`
      const retryAfterMs = Math.max(RETRY_MS, this.waiting.count * RETRY_PER_HOST_MS)
      return { kind: 'waiting', reason, retryAfterMs }
    }
    const { machine, peer } = admission.use
    log.info('host admitted', { machine, peer, remote, method, via })
    events?.emit('host-admitted', { machine, remote, method, via })
    return {
      kind: 'accepted',
      nodeChain: [admission.certificate, authority.certificate, root.der],
      trustBundle: trust.signed,
      meshAddresses: addresses
    }
  }

  async #grantOf(request: identityPb.JoinRequest, channel: JoinChannel): Promise<Grant> {
    const method = methodOf(request)
    if (method === 'token') return claimToken(request, this.#deps.store.joins)
    const { keys } = openRequest(request, this.#deps.membership.trustDomain)
    return method === 'certificate'
      ? this.trusts.byCertificate(request, channel)
      : await this.trusts.byOidc(request.oidcToken, keys)
  }

  // Only refusals count: however many hosts are set up behind one address, and whoever else is behind it, valid tokens are never
  // slowed down.
  async #limited(
    remote: string,
    request: identityPb.JoinRequest,
    admit: () => Promise<JoinAnswer>
  ): Promise<JoinAnswer> {
    const now = this.#deps.clock.monotonicMs()
    const network = networkOf(remote)
    if (this.#refusals.left(network, now) < 1 && !isTokenKnown(request, this.#deps.store.joins)) {
      this.#count('refused')
      this.#deps.metrics?.hit('join_refusals', { remote, limit: REFUSALS.burst })
      throw new WarrenError(ErrorCode.LimitExceeded, `too many refused attempts to join from ${remote}`, {
        hint: 'Wait a minute, and check the token.'
      })
    }
    try {
      const answer = await admit()
      if (answer.kind === 'accepted') this.#count('admitted')
      return answer
    } catch (err) {
      this.#count('refused')
      this.#refusals.use(network, 1, now)
      const reason = WarrenError.from(err).code
      this.#deps.events?.emit('join-refused', { remote, reason, method: methodOf(request) })
      throw err
    }
  }

  #count(result: 'admitted' | 'refused'): void {
    this.#deps.metrics?.count('warren_joins_total', { result })
  }

  #current(): AgentCertificate {
    if (this.#agent === undefined) throw new WarrenError(ErrorCode.NotReady, 'the agent has no certificate yet')
    return this.#agent
  }
}

// A token for one name sets a host of this name up anew, if its admin wants that.
function isByName({ method, names, ephemeral }: Grant): boolean {
  return method === 'token' && !names.includes('*') && !ephemeral
}

// The proof says what the host is called; the host cannot know the scopes before.
function offerOf(request: identityPb.JoinRequest, grant: Grant, trustDomain: string): JoinOffer | undefined {
  const { machine, scopes, ephemeral } = openRequest(request, trustDomain)
  const isSame = machine === grant.names && ephemeral === grant.ephemeral && scopes.join() === grant.scopes.join()
  return isSame ? undefined : { machine: grant.names, scopes: grant.scopes, ephemeral: grant.ephemeral }
}
