import { createPublicKey, type KeyObject } from 'node:crypto'
import { type Clock, ErrorCode, type Logger, type Metrics, WarrenError } from '../../core/index.ts'
import {
  BACKDATED_MS,
  generateSigningKeyPair,
  type Issuer,
  issueAuthority,
  type ParsedCertificate,
  type PeerKey,
  parseCertificate,
  renewalRequest,
  requireAuthority,
  requireRenewed,
  rootOfAuthority,
  type TrustState
} from '../../identity/index.ts'
import type { renewalPb } from '../../wire/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import type { Credentials } from '../membership/index.ts'
import type { InUse } from './alarms.ts'
import { askAuthorities } from './ask-authorities.ts'
import type { RenewalService } from './renewal-service.ts'
import { type Life, renewAtMs, retryAfterMs, shareLeft, spreadOf } from './schedule.ts'

export interface RenewalDeps {
  readonly trustDomain: string
  readonly credentials: Credentials
  readonly peerKey: KeyObject
  readonly lifetimes: Lifetimes
  readonly trust: () => TrustState
  /** When the trust bundle in force was received, wall milliseconds; zero: before this agent started. */
  readonly trustSinceMs: () => number
  /** The authority of this host, if it holds one. */
  readonly renewals: RenewalService
  /** Hosts that claim an authority, in the order to ask. */
  readonly authorities: () => readonly PeerKey[]
  /** Asks over the mesh. Resolves with the chain (DER), not verified. */
  readonly ask: (
    peer: PeerKey,
    request: renewalPb.RenewalRequest,
    signal: AbortSignal
  ) => Promise<readonly Uint8Array[]>
  /** host:port where authorities answered, for a host that the mesh does not admit. */
  readonly ports: () => readonly string[]
  readonly askAtPort: (
    address: string,
    request: renewalPb.RenewalRequest,
    signal: AbortSignal
  ) => Promise<readonly Uint8Array[]>
  /** Asks a member that may hold the root key for a new certificate (DER) of the authority of this host, not verified. */
  readonly askForAuthority: (peer: PeerKey, authority: Issuer, signal: AbortSignal) => Promise<Uint8Array>
  /** Whether the trust domain was founded here, so that the root key belongs here. */
  readonly isFounder: boolean
  readonly stateDir: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** Hosts renew within this time after they receive a new root, or a twentieth of a certificate's life if that is less. */
const ROOT_SPREAD_MS = 60_000
/** Every host must have received a root before certificates below it are shown. */
const NODE_AFTER_ROOT_MS = 1_500

/** Dates in certificates have whole seconds, and a renewed one must end later. */
const ROUNDING_MS = 2_000

interface Attempts {
  failures: number
  notBeforeMonotonicMs: number
  problem: string
}

/** Renews the certificate of this host, and that of its authority, before they expire; or after, within the grace period. */
export class Renewal {
  readonly #deps: RenewalDeps
  readonly #node: Attempts = { failures: 0, notBeforeMonotonicMs: 0, problem: '' }
  readonly #authority: Attempts = { failures: 0, notBeforeMonotonicMs: 0, problem: '' }

  // Read in each round, and the whole parser takes a millisecond.
  readonly #known = new WeakMap<Uint8Array, ParsedCertificate>()

  constructor(deps: RenewalDeps) {
    this.#deps = deps
  }

  /** Renews what is due. Call it often: usually it only checks dates. Rejects only with the reason of `signal`. */
  async round(signal: AbortSignal): Promise<void> {
    // Renewed first, so that a certificate signed in this same round is signed by the renewed authority.
    await this.#attempt('authority', this.#authority, this.#authorityLife(), () => this.#renewAuthority(signal), signal)
    await this.#attempt('node', this.#node, this.#nodeLife(), () => this.#renewNode(signal), signal)
  }

  /** The reason why this host has no valid certificate, if it has none. */
  get expiry(): string | undefined {
    const { credentials, clock } = this.#deps
    if (!this.isShutOut) return undefined
    const ended = credentials.hasExpired(clock.wallMs())
      ? `the certificate of this host ended at ${new Date(credentials.node.notAfterMs).toISOString()}`
      : 'the certificate of this host is below a root that is no longer trusted'
    return this.#node.problem === '' ? ended : `${ended}: ${this.#node.problem}`
  }

  /** Whether no mesh admits this host, because its certificate has expired or is below a root that is gone. */
  get isShutOut(): boolean {
    const { credentials, clock, trust } = this.#deps
    const { node } = credentials
    return credentials.hasExpired(clock.wallMs()) || !trust().roots.some(({ der }) => isSame(der, node.chainDer[2]))
  }

  /** The certificates of this host that are in use, except those of its workloads. */
  inUse(): InUse[] {
    const { credentials, trustDomain } = this.#deps
    const { node, authority } = credentials
    const all: InUse[] = []
    const nodeLife = this.#nodeLife()
    const { problem } = this.#node
    all.push({ ...nodeLife, kind: 'node', subject: node.machine, problem, hint: this.#nodeHint() })
    const authorityLife = this.#authorityLife()
    // The authority of another host reports its own state; here only its signature is seen.
    if (authority !== undefined && authorityLife !== undefined) {
      const hint = this.#authority.problem === '' ? '' : this.#authorityHint()
      all.push({ ...authorityLife, kind: 'authority', subject: trustDomain, problem: this.#authority.problem, hint })
    }
    const root = node.chainDer[2]
    if (root !== undefined) {
      const life = lifeOf(this.#parsed(root))
      const isLate = shareLeft(life, this.#deps.clock.wallMs()) <= 0.25
      const hint = isLate ? 'replace it: `warren root rotate` on the founding host' : ''
      all.push({ ...life, renewAtMs: 0, kind: 'root', subject: trustDomain, problem: '', hint })
    }
    return all
  }

  async #attempt(
    certificate: 'node' | 'authority',
    attempts: Attempts,
    life: (Life & { readonly renewAtMs: number }) | undefined,
    renew: () => Promise<void>,
    signal: AbortSignal
  ): Promise<void> {
    const { clock, log, metrics } = this.#deps
    const now = clock.monotonicMs()
    if (life === undefined || clock.wallMs() < life.renewAtMs || now < attempts.notBeforeMonotonicMs) return
    try {
      await renew()
      metrics.count('warren_renewals_total', { certificate, result: 'ok' })
      attempts.failures = 0
      attempts.problem = ''
      attempts.notBeforeMonotonicMs = 0
    } catch (err) {
      if (signal.aborted) throw err
      metrics.count('warren_renewals_total', { certificate, result: 'failed' })
      const { code, reason } = WarrenError.from(err)
      // The earlier reason for a refusal says more than that we asked too often.
      const isNews = reason !== attempts.problem && (code !== ErrorCode.LimitExceeded || attempts.problem === '')
      if (isNews) log.warn('a certificate was not renewed', { err })
      if (isNews) attempts.problem = reason
      attempts.failures += 1
      const pause = retryAfterMs(life, attempts.failures) * (0.8 + 0.4 * Math.random())
      attempts.notBeforeMonotonicMs = clock.monotonicMs() + pause
    }
  }

  async #renewAuthority(signal: AbortSignal): Promise<void> {
    const { credentials, trustDomain, trust, clock, log } = this.#deps
    const { authority } = credentials
    if (authority === undefined) return
    const certificate = await this.#authorityCertificate(authority, signal)
    const { notAfterMs } = requireAuthority(certificate, authority.key, trust(), clock.wallMs())
    const isSameRoot = isSame(this.#rootOf(certificate), this.#rootOf(authority.certificate))
    if (isSameRoot && notAfterMs <= parseCertificate(authority.certificate).notAfterMs) {
      throw new WarrenError(ErrorCode.CertificateRefused, 'the root itself is about to expire')
    }
    credentials.replaceAuthority(certificate)
    log.info('authority certificate renewed', { trustDomain, notAfter: new Date(notAfterMs).toISOString() })
  }

  async #authorityCertificate(authority: Issuer, signal: AbortSignal): Promise<Uint8Array> {
    const { credentials, trustDomain, trust, lifetimes, clock, authorities, askForAuthority } = this.#deps
    const root = credentials.rootIssuer(trust())
    if (root !== undefined) {
      const publicKey = createPublicKey(authority.key)
      const { authorityMs: lifetimeMs } = lifetimes
      return await issueAuthority({ trustDomain, root, publicKey, lifetimeMs, nowMs: clock.wallMs() })
    }
    let refusal: WarrenError | undefined
    for (const peer of authorities()) {
      try {
        return await askForAuthority(peer, authority, signal)
      } catch (err) {
        signal.throwIfAborted()
        const error = WarrenError.from(err)
        // If that host does not hold the key either, its answer says nothing; the answer of the holder counts.
        if (error.code !== ErrorCode.NotAuthority) refusal ??= error
      }
    }
    throw (
      refusal ?? new WarrenError(ErrorCode.NotAuthority, 'the root key is not on this host, nor on another authority')
    )
  }

  async #renewNode(signal: AbortSignal): Promise<void> {
    const { credentials, trustDomain, peerKey, trust, clock, log } = this.#deps
    const { node, nodeKey } = credentials
    const isForRoot = !this.#isNewest(node.chainDer[2]) && clock.wallMs() < this.#nodeDates().renewAtMs
    const nextKey = generateSigningKeyPair()
    const request = await renewalRequest(node, trustDomain, { peerKey, nodeKey, nextKey })
    const chain = await askAuthorities(this.#deps, this.isShutOut, request, signal)
    const renewed = requireRenewed(chain, node, nextKey, trust(), clock.wallMs())
    if (isForRoot && !this.#isNewest(renewed.chainDer[2])) {
      throw new WarrenError(ErrorCode.NotReady, 'the authority that answered is not below the new root yet')
    }
    credentials.replaceNode({ node: renewed, nodeKey: nextKey })
    const notAfter = new Date(renewed.notAfterMs).toISOString()
    log.info('certificate of this host renewed', { machine: renewed.machine, notAfter })
  }

  #nodeLife(): Life & { readonly renewAtMs: number } {
    const { node } = this.#deps.credentials
    const dates = this.#nodeDates()
    // An authority depends on no other one, so that each of them can be evicted or lost.
    if (!this.#isBelowOwn()) return { ...dates, renewAtMs: Math.min(dates.renewAtMs, dates.issuedAtMs + ROUNDING_MS) }
    if (this.#isNewest(node.chainDer[2])) return dates
    // All hosts receive a new root at about the same time.
    const spreadMs = Math.min(ROOT_SPREAD_MS, (dates.notAfterMs - dates.issuedAtMs) / 20)
    const atMs = this.#deps.trustSinceMs() + NODE_AFTER_ROOT_MS + spreadMs * spreadOf(node.certificateSha256)
    return { ...dates, renewAtMs: Math.min(dates.renewAtMs, atMs) }
  }

  #isBelowOwn(): boolean {
    const { credentials, renewals } = this.#deps
    const { authority, node } = credentials
    const above = node.chainDer[1]
    if (authority === undefined || above === undefined || !renewals.isOpen) return true
    return this.#parsed(above).publicKey.equals(createPublicKey(authority.key))
  }

  #nodeDates(): Life & { readonly renewAtMs: number } {
    const { node } = this.#deps.credentials
    const life = { issuedAtMs: lifeOf(node.nodeCertificate).issuedAtMs, notAfterMs: node.notAfterMs }
    return { ...life, renewAtMs: renewAtMs(life, spreadOf(node.certificateSha256)) }
  }

  #authorityLife(): (Life & { readonly renewAtMs: number }) | undefined {
    const { authority } = this.#deps.credentials
    if (authority === undefined) return undefined
    const certificate = this.#parsed(authority.certificate)
    const life = lifeOf(certificate)
    const atMs = renewAtMs(life, spreadOf(certificate.sha256))
    const isNewest = this.#isNewest(this.#rootOf(authority.certificate))
    return { ...life, renewAtMs: isNewest ? atMs : Math.min(atMs, this.#deps.trustSinceMs()) }
  }

  #rootOf(authority: Uint8Array): Uint8Array | undefined {
    return rootOfAuthority(authority, this.#deps.trust())?.der
  }

  // With two roots, the last one issues.
  #isNewest(root: Uint8Array | undefined): boolean {
    return isSame(this.#deps.trust().roots.at(-1)?.der, root)
  }

  #parsed(der: Uint8Array): ParsedCertificate {
    const known = this.#known.get(der)
    if (known !== undefined) return known
    const certificate = parseCertificate(der)
    this.#known.set(der, certificate)
    return certificate
  }

  #nodeHint(): string {
    return this.#node.problem === '' ? '' : 'see that an authority runs and is reachable; `warren members` lists them'
  }

  #authorityHint(): string {
    const { isFounder, stateDir } = this.#deps
    if (!isFounder) {
      return 'put root.key back on the founding host, and see that its agent is reachable; it is then renewed within minutes, without a restart'
    }
    return `put root.key back into ${stateDir} (owner and mode as the files beside it); it is then renewed within seconds, without a restart`
  }
}

function lifeOf({ notBeforeMs, notAfterMs }: ParsedCertificate): Life {
  return { issuedAtMs: Math.min(notBeforeMs + BACKDATED_MS, notAfterMs), notAfterMs }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && Buffer.from(a).equals(b)
}
