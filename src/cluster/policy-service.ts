import type { KeyObject } from 'node:crypto'
import { asOwn, type Clock, ErrorCode, type Logger, WarrenError, within } from '../core/index.ts'
import { CONTEXT, type PeerKey, type Revocation, sign } from '../identity/index.ts'
import {
  addEntry,
  addRevocation,
  addRule,
  type Bundle,
  type Content,
  draftBundle,
  type Entry,
  type NewEntry,
  type NewRevocation,
  type NewRule,
  openBundle,
  type Rule,
  removeEntry,
  removeRevocation,
  removeRule,
  requireInvariants,
  sealBundle,
  succession
} from '../policy/index.ts'
import { create, decode, policyPb, toBinary } from '../wire/index.ts'
import {
  lostPolicy,
  orDamaged,
  type RestartDeps,
  requireRestartable,
  restartedContent,
  warnOfForgotten
} from './policy-restart.ts'
import { announcementOf, fetchResponse, POLICY_LIMITS, type PolicyTransport } from './policy-transport.ts'
import { RuleDates } from './rule-dates.ts'

export interface PolicyServiceDeps {
  readonly trustDomain: string
  readonly adminPublicKey: Uint8Array
  /** Present on the host that may change the policy. */
  readonly adminKey: KeyObject | undefined
  readonly load: () => Uint8Array | undefined
  /** Must be durable when it returns: a restart may never roll back a policy that was in force. */
  readonly save: (signed: Uint8Array) => void
  /** Whether the policy was lost, so that this host does not know what it once signed. @default false */
  readonly isUnheard?: () => boolean
  /** Called when a peer has reported its policy, or that it has none. */
  readonly onHeard?: (peer: PeerKey) => void
  /** How a lost policy may be begun anew. */
  readonly restart?: RestartDeps
  readonly transport: PolicyTransport
  /** Called first with each bundle that comes into force, including the stored one, before anything is evaluated by it. */
  readonly onBundle: (bundle: Bundle) => void
  /** Called after every change of the permissions, also when a rule begins or ends by its dates. */
  readonly onChange: (reason: string, version: bigint) => void
  /** Called when a version that the admin signed is not taken. @default it is only logged */
  readonly onRefused?: (reason: string, version: bigint) => void
  readonly clock: Clock
  readonly log: Logger
}

const FETCH_TIMEOUT_MS = 5_000

/** Holds the policy in force, takes newer versions from anywhere, and signs new ones where the admin key is. */
export class PolicyService {
  readonly #deps: PolicyServiceDeps
  readonly #stopping = new AbortController()
  #bundle: Bundle | undefined
  readonly #dates = new RuleDates(() => this.followDates())

  constructor(deps: PolicyServiceDeps) {
    this.#deps = deps
  }

  /** The policy in force; undefined before there is one: then nothing is allowed. */
  get bundle(): Bundle | undefined {
    return this.#bundle
  }

  get version(): bigint {
    return this.#bundle?.version ?? 0n
  }

  /** Whether this host may change the policy. */
  get isAdmin(): boolean {
    return this.#deps.adminKey !== undefined
  }

  /** A rule has begun or ended by its dates, or the time was set. */
  followDates(): void {
    this.#arm()
    this.#deps.onChange('a rule began or ended by its dates', this.version)
  }

  /** Loads the stored policy. Throws STATE_UNUSABLE when it is damaged: without it everything would be refused. */
  start(): void {
    const stored = this.#deps.load()
    if (stored !== undefined) {
      this.#bundle = orDamaged(() => this.#open(stored))
      this.#deps.onBundle(this.#bundle)
    }
    this.#arm()
  }

  stop(): void {
    this.#stopping.abort()
    this.#dates.stop()
  }

  /** Adds a rule and spreads the new version. Throws NOT_ADMIN, INVALID_ARGUMENT or LIMIT_EXCEEDED; every change, NOT_READY. */
  async add(rule: NewRule): Promise<Rule> {
    const { rules, added } = addRule(this.#bundle, rule, this.#deps.clock.wallMs())
    await this.#issue({ rules })
    return added
  }

  /** Removes a rule and spreads the new version. Throws NOT_ADMIN or NOT_FOUND. */
  async remove(id: string): Promise<void> {
    await this.#issue({ rules: removeRule(this.#bundle, id) })
  }

  /** Adds a registration entry. Throws NOT_ADMIN, INVALID_ARGUMENT or LIMIT_EXCEEDED. */
  async addEntry(entry: NewEntry): Promise<Entry> {
    const { entries, added } = addEntry(this.#bundle, entry, this.#deps.clock.wallMs())
    await this.#issue({ entries })
    return added
  }

  /** Throws NOT_ADMIN or NOT_FOUND. */
  async removeEntry(id: string): Promise<void> {
    await this.#issue({ entries: removeEntry(this.#bundle, id) })
  }

  /** Turns the built-in entry off or on. Throws NOT_ADMIN. */
  async setStrict(strict: boolean): Promise<void> {
    await this.#issue({ strict })
  }

  /** Withdraws trust; what is revoked already makes no new version. Throws NOT_ADMIN, INVALID_ARGUMENT or LIMIT_EXCEEDED. */
  async revoke(revocation: NewRevocation): Promise<Revocation> {
    this.#requireChangeable()
    const { revocations, added } = addRevocation(this.#bundle, revocation, this.#deps.clock.wallMs())
    if (revocations !== this.#bundle?.revocations) await this.#issue({ revocations })
    return added
  }

  /** Removes a revocation. Throws NOT_ADMIN or NOT_FOUND. */
  async unrevoke(id: string): Promise<void> {
    await this.#issue({ revocations: removeRevocation(this.#bundle, id) })
  }

  /** Makes one version of all that changes. Throws NOT_ADMIN, INVARIANT_BROKEN or LIMIT_EXCEEDED. */
  readonly change = (content: Partial<Content>): Promise<void> => this.#issue(content)

  /** The version that `change` would make, unsigned: for questions. Throws INVARIANT_BROKEN or LIMIT_EXCEEDED. */
  draft(content: Partial<Content>): Bundle {
    const { trustDomain, clock } = this.#deps
    const bundle = asOwn(() => draftBundle(this.#bundle, { ...content, trustDomain, nowMs: clock.wallMs() }))
    requireInvariants(bundle, bundle.issuedAtMs)
    return bundle
  }

  /** Whether the policy was lost on this host and no other one has said yet which is in force. */
  get isLost(): boolean {
    return this.#deps.isUnheard?.() === true
  }

  /** Begins a new, empty policy in place of one that was lost. Throws NOT_ADMIN, INVALID_ARGUMENT or NOT_READY. */
  async restart(): Promise<void> {
    const adminKey = this.#requireAdmin()
    const restart = requireRestartable(this.isLost, this.#deps.restart)
    await this.#sign(adminKey, restartedContent(this.#deps.clock.wallMs(), restart.highestVersion()))
    restart.onDone()
  }

  /** Verifies a gossiped announcement, and takes over or fetches what is newer. */
  onGossip(bytes: Uint8Array, from: PeerKey): 'accept' | 'ignore' | 'reject' {
    try {
      const announcement = decode(policyPb.AnnouncementSchema, bytes, POLICY_LIMITS.maxAnnouncementBytes)
      const sameContent = Buffer.from(announcement.sha256).toString('hex') === this.#bundle?.sha256
      if (announcement.version < this.version || (announcement.version === this.version && sameContent)) return 'ignore'
      if (announcement.bundle === undefined) {
        // Our version with another content is fetched as well: if the admin key signed both, that must be reported.
        this.pull(from, announcement.version === this.version ? this.version - 1n : this.version)
        return 'accept'
      }
      this.#take(toBinary(policyPb.SignedBundleSchema, announcement.bundle))
      return 'accept'
    } catch (err) {
      this.#deps.log.warn('policy announcement refused', { peer: from, err })
      // A fault of our own disk, or of the admin, is not the fault of the neighbour that forwarded it.
      return WarrenError.is(err, ErrorCode.StateUnusable) || isBroken(err) ? 'ignore' : 'reject'
    }
  }

  /** Answers a peer that asks for a newer version. */
  answer(bytes: Uint8Array): Uint8Array {
    return fetchResponse(bytes, this.#bundle)
  }

  /** Asks `peer` for a newer version than this one, in the background. @default the one in force */
  pull(peer: PeerKey, haveVersion: bigint = this.version): void {
    this.fetch(peer, haveVersion).catch((err: unknown) => {
      if (!this.#stopping.signal.aborted) this.#deps.log.debug('policy fetch failed', { peer, err })
    })
  }

  /** Asks `peer` for a newer version and applies it. Rejects when the peer fails or sends something unusable. */
  async fetch(peer: PeerKey, haveVersion: bigint = this.version): Promise<void> {
    const request = toBinary(policyPb.FetchRequestSchema, create(policyPb.FetchRequestSchema, { haveVersion }))
    const bytes = await within(FETCH_TIMEOUT_MS, [this.#stopping.signal], signal =>
      this.#deps.transport.request(peer, request, signal)
    )
    const { bundle } = decode(policyPb.FetchResponseSchema, bytes, POLICY_LIMITS.maxResponseBytes)
    if (bundle !== undefined) this.#take(toBinary(policyPb.SignedBundleSchema, bundle))
    this.#deps.onHeard?.(peer)
  }

  async #issue(content: Partial<Content>): Promise<void> {
    await this.#sign(this.#requireChangeable(), content)
  }

  #requireChangeable(): KeyObject {
    const adminKey = this.#requireAdmin()
    if (this.isLost) throw lostPolicy()
    return adminKey
  }

  #requireAdmin(): KeyObject {
    const { adminKey } = this.#deps
    if (adminKey !== undefined) return adminKey
    throw new WarrenError(ErrorCode.NotAdmin, 'this host does not hold the admin key', {
      hint: 'Run the command on the host that founded the trust domain.'
    })
  }

  async #sign(adminKey: KeyObject, content: Partial<Content> & { readonly atLeast?: bigint }): Promise<void> {
    const { trustDomain, clock } = this.#deps
    const signed = sealBundle(this.#bundle, { ...content, trustDomain, nowMs: clock.wallMs() }, bytes =>
      sign(adminKey, CONTEXT.policyBundle, bytes)
    )
    // Evaluated like on the other hosts before it leaves this function: all of them would refuse it and keep the old one.
    this.#follow(asOwn(() => this.#open(signed)))
    await this.#announce()
  }

  async #announce(): Promise<void> {
    const bundle = this.#bundle
    if (bundle === undefined) return
    await this.#deps.transport.publish(announcementOf(bundle))
  }

  #take(signed: Uint8Array): void {
    const bundle = this.#open(signed)
    try {
      this.#follow(bundle)
    } catch (err) {
      if (isBroken(err)) this.#deps.onRefused?.(err.reason, bundle.version)
      throw err
    }
  }

  #follow(candidate: Bundle): void {
    const { log } = this.#deps
    switch (succession(this.#bundle, candidate)) {
      case 'newer':
        // By the time of its signature, so that every host decides the same.
        requireInvariants(candidate, candidate.issuedAtMs)
        this.#deps.save(candidate.signed)
        if (this.#bundle !== undefined) warnOfForgotten(this.#bundle, candidate, log)
        this.#bundle = candidate
        log.info('policy changed', { policyVersion: String(candidate.version), count: candidate.rules.length })
        this.#arm()
        this.#deps.onBundle(candidate)
        this.#deps.onChange(`policy version ${candidate.version}`, candidate.version)
        return
      case 'conflict':
        log.error('two policies of one version are signed by the admin key', {
          policyVersion: String(candidate.version)
        })
        return
      case 'same':
      case 'older':
        return
    }
  }

  #open(signed: Uint8Array): Bundle {
    return openBundle(signed, this.#deps.adminPublicKey, this.#deps.trustDomain)
  }

  #arm(): void {
    this.#dates.follow(this.#bundle, this.#deps.clock.wallMs())
  }
}

function isBroken(err: unknown): err is WarrenError {
  return WarrenError.is(err, ErrorCode.InvariantBroken)
}
