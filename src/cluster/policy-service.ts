import type { KeyObject } from 'node:crypto'
import { asOwn, type Clock, type Logger } from '../core/index.ts'
import { CONTEXT, type PeerKey, type Revocation, sign } from '../identity/index.ts'
import {
  addEntry,
  addRevocation,
  addRule,
  type Bundle,
  type Content,
  type Entry,
  type NewEntry,
  type NewRevocation,
  type NewRule,
  openBundle,
  type Rule,
  removeStatement,
  requireInvariants,
  type StatementList,
  sealBundle,
  strictContent,
  succession
} from '../policy/index.ts'
import type { AdminSets } from './admins/index.ts'
import { isBroken, PolicyExchange } from './policy-exchange.ts'
import {
  lostPolicy,
  orDamaged,
  type RestartDeps,
  requireRestartable,
  requireRootKey,
  restartedContent,
  warnOfForgotten
} from './policy-restart.ts'
import type { PolicyTransport } from './policy-transport.ts'
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
  /** What other admins say; it is folded with the bundle of the root. */
  readonly sets: AdminSets
  /** Called first with each bundle that comes into force, including the stored one, before anything is evaluated by it. */
  readonly onBundle: (bundle: Bundle) => void
  /** Called after every change of the permissions, also when a rule begins or ends by its dates. */
  readonly onChange: (reason: string, version: bigint) => void
  /** Called when a version that the admin signed is not taken. @default it is only logged */
  readonly onRefused?: (reason: string, version: bigint) => void
  readonly clock: Clock
  readonly log: Logger
}

const CONFLICT = 'two policies of one version are signed by the admin key'

/** Holds the policy in force, takes newer versions from anywhere, and signs new ones where the admin key is. */
export class PolicyService {
  readonly sets: AdminSets
  readonly #deps: PolicyServiceDeps
  readonly #exchange: PolicyExchange
  #bundle: Bundle | undefined
  readonly #dates = new RuleDates(() => this.followDates())

  constructor(deps: PolicyServiceDeps) {
    this.#deps = deps
    const { sets, transport, onHeard, log } = deps
    this.sets = sets
    this.#exchange = new PolicyExchange({
      bundle: () => this.#bundle,
      take: signed => this.#take(signed),
      sets,
      transport,
      onHeard,
      log
    })
  }

  /** The policy in force, of all admins; undefined before there is one: then nothing is allowed. */
  get bundle(): Bundle | undefined {
    return this.sets.inForce.bundle
  }

  /** What the admin of this host has stated, and changes; where there is none, what the root has. */
  get own(): Bundle | undefined {
    return this.isAdmin && this.#deps.adminKey === undefined ? this.sets.own : this.#bundle
  }

  /** What the root has stated. */
  get root(): Bundle | undefined {
    return this.#bundle
  }

  /** Of the bundle of the root. */
  get version(): bigint {
    return this.#bundle?.version ?? 0n
  }

  get ownVersion(): bigint {
    return this.own?.version ?? 0n
  }

  /** Whether this host may change the policy. */
  get isAdmin(): boolean {
    return this.sets.isAdmin
  }

  /** The sets of other admins have changed what is in force. */
  readonly setsChanged = (reason: string): void => {
    const { bundle } = this
    if (bundle === undefined) return
    this.#arm()
    this.#deps.onBundle(bundle)
    this.#deps.onChange(reason, this.version)
  }

  /** A rule has begun or ended by its dates, or the time was set. */
  followDates(): void {
    this.#arm()
    this.#deps.onChange('a rule began or ended by its dates', this.version)
  }

  /** Loads the stored policy. Throws STATE_UNUSABLE when it is damaged: without it everything would be refused. */
  start(): void {
    const stored = this.#deps.load()
    if (stored !== undefined) this.#bundle = orDamaged(() => this.#open(stored))
    this.sets.start(this.#bundle)
    if (this.bundle !== undefined) this.#deps.onBundle(this.bundle)
    this.#arm()
  }

  stop(): void {
    this.#exchange.stop()
    this.sets.stop()
    this.#dates.stop()
  }

  /** Adds a rule and spreads the new version. Throws NOT_ADMIN, INVALID_ARGUMENT or LIMIT_EXCEEDED; every change, NOT_READY. */
  async add(rule: NewRule): Promise<Rule> {
    const { rules, added } = addRule(this.own, rule, this.#deps.clock.wallMs())
    await this.#issue({ rules })
    return this.#shown(added)
  }

  /** Removes a rule and spreads the new version. Throws NOT_ADMIN or NOT_FOUND. */
  async remove(id: string): Promise<void> {
    await this.#remove('rules', id)
  }

  /** Adds a registration entry. Throws NOT_ADMIN, INVALID_ARGUMENT or LIMIT_EXCEEDED. */
  async addEntry(entry: NewEntry): Promise<Entry> {
    const { entries, added } = addEntry(this.own, entry, this.#deps.clock.wallMs())
    await this.#issue({ entries })
    return this.#shown(added)
  }

  /** Throws NOT_ADMIN or NOT_FOUND. */
  async removeEntry(id: string): Promise<void> {
    await this.#remove('entries', id)
  }

  /** Turns the built-in entry off or on. Throws NOT_ADMIN. */
  async setStrict(strict: boolean): Promise<void> {
    this.#requireChangeable()
    await this.#issue(strictContent(this.sets.inForce, this.sets.editor(), strict))
  }

  /** Withdraws trust; what is revoked already makes no new version. Throws NOT_ADMIN, INVALID_ARGUMENT or LIMIT_EXCEEDED. */
  async revoke(revocation: NewRevocation): Promise<Revocation> {
    this.#requireChangeable()
    const { revocations, added } = addRevocation(this.own, revocation, this.#deps.clock.wallMs())
    if (revocations !== this.own?.revocations) await this.#issue({ revocations })
    return this.#shown(added)
  }

  /** Removes a revocation. Throws NOT_ADMIN or NOT_FOUND. */
  async unrevoke(id: string): Promise<void> {
    await this.#remove('revocations', id)
  }

  /** Makes one version of all that changes. Throws NOT_ADMIN, INVARIANT_BROKEN or LIMIT_EXCEEDED. */
  readonly change = (content: Partial<Content>): Promise<void> => this.#issue(content)

  /** The version that `change` would make, unsigned: for questions. Throws INVARIANT_BROKEN or LIMIT_EXCEEDED. */
  draft(content: Partial<Content>, author?: PeerKey): Bundle {
    return this.sets.draft(content, author)
  }

  /** Whether the policy was lost on this host and no other one has said yet which is in force. */
  get isLost(): boolean {
    return this.#deps.isUnheard?.() === true
  }

  /** Begins a new, empty policy in place of one that was lost. Throws NOT_ADMIN, INVALID_ARGUMENT or NOT_READY. */
  async restart(): Promise<void> {
    const adminKey = requireRootKey(this.#deps.adminKey)
    const restart = requireRestartable(this.isLost, this.#deps.restart)
    await this.#sign(adminKey, restartedContent(this.#deps.clock.wallMs(), restart.highestVersion()))
    restart.onDone()
  }

  onGossip(bytes: Uint8Array, from: PeerKey): 'accept' | 'ignore' | 'reject' {
    return this.#exchange.onGossip(bytes, from)
  }

  answer(bytes: Uint8Array): Uint8Array {
    return this.#exchange.answer(bytes)
  }

  pull(peer: PeerKey): void {
    this.#exchange.pull(peer)
  }

  async fetch(peer: PeerKey): Promise<void> {
    await this.#exchange.fetch(peer)
  }

  async #issue(content: Partial<Content>): Promise<void> {
    this.#requireChangeable()
    const { adminKey } = this.#deps
    if (adminKey === undefined) return await this.sets.issue(content)
    this.sets.draft(content)
    await this.#sign(adminKey, content)
  }

  async #remove(list: StatementList, id: string): Promise<void> {
    this.#requireChangeable()
    await this.#issue(removeStatement(this.sets.inForce, this.sets.editor(), list, id))
  }

  #requireChangeable(): void {
    this.sets.editor()
    if (this.isLost) throw lostPolicy()
  }

  #shown<T extends { readonly id: string }>(added: T): T {
    return { ...added, id: this.sets.shownId(added.id) }
  }

  async #sign(adminKey: KeyObject, content: Partial<Content> & { readonly atLeast?: bigint }): Promise<void> {
    const { trustDomain, clock } = this.#deps
    const signed = sealBundle(this.#bundle, { ...content, trustDomain, nowMs: clock.wallMs() }, bytes =>
      sign(adminKey, CONTEXT.policyBundle, bytes)
    )
    // Evaluated like on the other hosts before it leaves this function: all of them would refuse it and keep the old one.
    this.#follow(asOwn(() => this.#open(signed)))
    await this.#exchange.announce()
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
        this.sets.setRoot(candidate)
        this.#arm()
        this.#deps.onBundle(this.bundle ?? candidate)
        this.#deps.onChange(`policy version ${candidate.version}`, candidate.version)
        return
      case 'conflict':
        log.error(CONFLICT, { policyVersion: String(candidate.version) })
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
    this.#dates.follow(this.bundle, this.#deps.clock.wallMs())
  }
}
