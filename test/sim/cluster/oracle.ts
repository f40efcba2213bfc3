import { type PeerKey, rawPublicKey } from '../../../src/identity/index.ts'
import { type Bundle, openBundle } from '../../../src/policy/index.ts'
import type { TrustFile } from '../../../src/state/trust-file.ts'
import { InvariantBroken } from '../failure.ts'
import type { ClusterSimulation } from './cluster-simulation.ts'
import { TRUST_DOMAIN } from './domain.ts'
import { fingerprint, LEASE_MS, type Member } from './member.ts'
import type { SimMesh } from './sim-mesh.ts'

/** A connection of an evicted host may stay so long, to hear the reason. */
const FAREWELL_MS = 1_500
/** A host that can be reached is shown again within this time. */
const SHOWN_MS = 15_000
/**
 * A host that has crashed is hidden within this time: its turn among the members comes twice. A liar that is asked to ping it can have it shown
 * again, for as long as its lease lasts.
 */
const HIDDEN_MS = 30_000
/** The lease, the skew that is accepted, and a round. */
const GONE_MS = LEASE_MS + 30_000 + 5_000
/** A suspicion begins with a ping of one's own that was not answered, at most so long ago: the longest wait for others. */
const OWN_PING_MS = 30_000

/** What must be true of each honest host, by what the simulation itself knows. */
export class Oracle {
  readonly #sim: ClusterSimulation
  /** Versions of the policy by the fingerprint of what the admin signed, with who is evicted in them. */
  readonly #policies = new Map<string, { readonly version: bigint; readonly evicted: ReadonlySet<PeerKey> }>()
  readonly #trusts = new Set<string>()
  /** The newest policy that each host has had in force, over all its runs, and since when. */
  readonly #inForce = new Map<Member, { sha256: string; version: bigint; sinceMs: number }>()
  readonly #trusted = new Map<Member, bigint>()
  readonly #missedAtMs = new Map<string, number>()
  /** When each host was last hidden at each, and since when it is. */
  readonly #hiddenAtMs = new Map<string, number>()
  readonly #hiddenSinceMs = new Map<string, number>()
  readonly #reachableSinceMs = new Map<string, number>()
  readonly #healthySinceMs = new Map<Member, number>()
  newestPolicy = ''
  newestTrust = 1n
  /** Suspicions of hosts that had crashed. */
  found = 0
  failure: InvariantBroken | undefined

  constructor(sim: ClusterSimulation) {
    this.#sim = sim
    this.onTrustSigned(sim.domain.trustBundle(1n), 1n)
  }

  /** Who is evicted by the newest policy. */
  get evicted(): ReadonlySet<PeerKey> {
    return this.#policies.get(this.newestPolicy)?.evicted ?? new Set()
  }

  /** The number of the newest policy. */
  get policies(): bigint {
    return this.#policies.get(this.newestPolicy)?.version ?? 0n
  }

  /** The host of the admin has something to save: it is in force nowhere yet. */
  onSigned(signed: Uint8Array): void {
    if (!this.#sim.isSigning) {
      this.#break('only what an admin signed', 'the admin saves what it never signed')
      return
    }
    const bundle = openBundle(signed, rawPublicKey(this.#sim.domain.adminKey), TRUST_DOMAIN)
    const evicted = new Set(bundle.revocations.flatMap(({ peers }) => [...peers]))
    this.#policies.set(bundle.sha256, { version: bundle.version, evicted })
    this.newestPolicy = bundle.sha256
  }

  onTrustSigned(signed: Uint8Array, version: bigint): void {
    this.#trusts.add(fingerprint(signed))
    this.newestTrust = version
  }

  /** A policy comes into force at a host. */
  onPolicy(member: Member, { sha256, version }: Bundle): void {
    if (!member.isHonest) return
    const { machine } = member
    this.#sim.trace.add(this.#nowMs, 'policy', machine, '', String(version))
    if (!this.#policies.has(sha256)) {
      this.#break('only what an admin signed', `${machine} acts on a policy that the admin never signed`, machine)
      return
    }
    const before = this.#inForce.get(member)
    if (before !== undefined && version < before.version) {
      const detail = `${machine} acts on policy ${version} after ${before.version}`
      this.#break('the policy never goes back', detail, machine)
      return
    }
    const onDisk = member.policyOnDisk
    if (onDisk === undefined || openedSha(onDisk, this.#sim) !== sha256) {
      this.#break('saved before it is in force', `policy ${version} of ${machine} is not on disk`, machine)
      return
    }
    if (before?.sha256 !== sha256) this.#inForce.set(member, { sha256, version, sinceMs: this.#nowMs })
  }

  onTrust(member: Member, file: TrustFile): void {
    if (!member.isHonest) return
    const { machine } = member
    const { version } = file.state
    this.#sim.trace.add(this.#nowMs, 'trust', machine, '', String(version))
    if (!this.#trusts.has(fingerprint(file.signed))) {
      this.#break('only what a root signed', `${machine} trusts a bundle that no root of the domain signed`, machine)
      return
    }
    if (version < (this.#trusted.get(member) ?? 0n)) {
      this.#break('the trust never goes back', `${machine} goes back to trust bundle ${version}`, machine)
      return
    }
    this.#trusted.set(member, version)
  }

  /** A host has admitted another, whose true key is that of `other`. */
  onAdmitted(member: Member, other: SimMesh, claimed: string, beganMs: number): void {
    if (!member.isHonest) return
    const { machine } = member
    if (claimed !== other.machine) {
      const detail = `${machine} admits ${other.machine} under the name ${claimed}`
      this.#break('nobody is admitted as another', detail, machine)
      return
    }
    if (this.#evictedFor(member, other.peer) > beganMs) return
    this.#break('who is evicted is not admitted', `${machine} admits ${other.machine}, which is evicted there`, machine)
  }

  onPinged(member: Member, to: PeerKey, answered: boolean): void {
    if (!answered) this.#missedAtMs.set(`${member.machine} ${this.#sim.machineOf(to)}`, this.#nowMs)
  }

  onSuspected(member: Member, about: PeerKey): void {
    if (!member.isHonest) return
    const of = this.#sim.memberOf(about)
    if (of?.now === undefined) this.found += 1
    const missedAtMs = this.#missedAtMs.get(`${member.machine} ${of?.machine}`) ?? Number.NEGATIVE_INFINITY
    if (this.#nowMs - missedAtMs <= OWN_PING_MS) return
    const detail = `${member.machine} hides ${of?.machine} without a ping of its own that was not answered`
    this.#break('nobody is hidden by a word', detail, member.machine)
  }

  /** Everything that must be true at any time. Called every half second. */
  sweep(): void {
    this.#followPaths()
    for (const member of this.#sim.members) {
      if (!member.isHonest || member.now === undefined || member.now.run.isPaused) continue
      this.#checkConnections(member)
      this.#checkMembers(member)
    }
  }

  /** What a host lacks when everything has been quiet; undefined for one that has all. */
  lacks(member: Member): string | undefined {
    const { now } = member
    if (now === undefined) return `${member.machine} does not run`
    if (this.#inForce.get(member)?.sha256 !== this.newestPolicy || now.policy.root?.sha256 !== this.newestPolicy) {
      return `${member.machine} has policy ${now.policy.version}, not the newest`
    }
    if (now.trustService.version !== this.newestTrust) {
      return `${member.machine} has trust bundle ${now.trustService.version} of ${this.newestTrust}`
    }
    for (const other of this.#sim.members) {
      if (other === member) continue
      const entry = now.state.entries.get(other.peer)
      if (this.evicted.has(other.peer)) {
        if (entry !== undefined || now.mesh.isConnected(other.peer)) {
          return `${member.machine} still has ${other.machine}, which is evicted`
        }
      } else if (other.now !== undefined && other.isHonest) {
        if (entry === undefined) return `${member.machine} does not know ${other.machine}`
        if (entry.suspect) return `${member.machine} hides ${other.machine}`
      } else if (other.now === undefined && entry?.suspect === false) {
        return `${member.machine} shows ${other.machine}, which is dead`
      }
    }
    return undefined
  }

  get #nowMs(): number {
    return this.#sim.queue.nowMs
  }

  /** Since when `peer` is evicted by the policy of a host. */
  #evictedFor(member: Member, peer: PeerKey): number {
    const inForce = this.#inForce.get(member)
    const isEvicted = inForce !== undefined && this.#policies.get(inForce.sha256)?.evicted.has(peer) === true
    // A host that has just started has its policy in force before it admits anybody.
    return isEvicted ? this.#evictedSince(member, peer, inForce.sinceMs) : Number.POSITIVE_INFINITY
  }

  readonly #firstEvicted = new Map<string, number>()

  #evictedSince({ machine }: Member, peer: PeerKey, sinceMs: number): number {
    const key = `${machine} ${peer}`
    const first = this.#firstEvicted.get(key) ?? sinceMs
    this.#firstEvicted.set(key, first)
    return first
  }

  #checkConnections(member: Member): void {
    const { machine, now } = member
    for (const peer of now?.mesh.connected() ?? []) {
      const sinceMs = Math.max(this.#evictedFor(member, peer), member.startedAtMs, this.#resumedMs(member))
      if (this.#nowMs - sinceMs <= FAREWELL_MS) continue
      const other = this.#sim.machineOf(peer)
      this.#break('who is evicted is not admitted', `${machine} keeps its connection to ${other}`, machine)
    }
  }

  #checkMembers(member: Member): void {
    const { machine, now } = member
    for (const [peer, entry] of now?.state.entries ?? []) {
      const of = this.#sim.memberOf(peer)
      if (of === undefined || of === member) continue
      if (this.#evictedFor(member, peer) < this.#nowMs - FAREWELL_MS) {
        this.#break('who is evicted is not admitted', `${machine} keeps what ${of.machine} offers`, machine)
        return
      }
      const path = `${machine} ${of.machine}`
      if (entry.suspect) {
        this.#checkHidden(member, of, path)
        continue
      }
      this.#hiddenSinceMs.delete(path)
      if (of.crashedAtMs === undefined) continue
      const sinceMs = Math.max(of.crashedAtMs, member.startedAtMs, this.#healthySinceMs.get(member) ?? this.#nowMs)
      const wasHidden = (this.#hiddenAtMs.get(path) ?? 0) >= of.crashedAtMs
      if (this.#nowMs - sinceMs <= (wasHidden ? GONE_MS : HIDDEN_MS)) continue
      const detail = `${machine} shows ${of.machine} ${Math.round(this.#nowMs - sinceMs)} ms after its crash`
      this.#break('a dead host is hidden', detail, machine)
    }
  }

  #checkHidden({ machine }: Member, of: Member, path: string): void {
    this.#hiddenAtMs.set(path, this.#nowMs)
    const hiddenMs = this.#hiddenSinceMs.get(path) ?? this.#nowMs
    this.#hiddenSinceMs.set(path, hiddenMs)
    const wrongMs = this.#nowMs - Math.max(hiddenMs, this.#reachableSinceMs.get(path) ?? this.#nowMs)
    if (!of.isHonest || wrongMs <= SHOWN_MS) return
    const detail = `${machine} has hidden ${of.machine} for ${Math.round(wrongMs)} ms, and can reach it`
    this.#break('a live host is shown', detail, machine)
  }

  // Which host reaches which, and which of them reaches most.
  #followPaths(): void {
    const live = this.#sim.members.filter(({ now }) => now !== undefined && !now.run.isPaused)
    const honest = live.filter(({ isHonest, peer }) => isHonest && !this.evicted.has(peer))
    const paths = new Set<string>()
    for (const from of honest) {
      let reached = 0
      for (const to of honest) {
        if (from === to || this.#isCut(from, to)) continue
        reached += 1
        const path = `${from.machine} ${to.machine}`
        paths.add(path)
        if (!this.#reachableSinceMs.has(path)) this.#reachableSinceMs.set(path, this.#nowMs)
      }
      if (2 * reached < honest.length) this.#healthySinceMs.delete(from)
      else if (!this.#healthySinceMs.has(from)) this.#healthySinceMs.set(from, this.#nowMs)
    }
    for (const path of this.#reachableSinceMs.keys()) if (!paths.has(path)) this.#reachableSinceMs.delete(path)
    for (const member of this.#healthySinceMs.keys()) if (!honest.includes(member)) this.#healthySinceMs.delete(member)
  }

  #isCut(from: Member, to: Member): boolean {
    const { network } = this.#sim
    return network.isBlocked(from.machine, to.machine) || network.isBlocked(to.machine, from.machine)
  }

  #resumedMs(member: Member): number {
    return this.#healthySinceMs.get(member) ?? this.#nowMs
  }

  // Kept, too: what is thrown inside the agent's code may be caught and logged there.
  #break(invariant: string, detail: string, owner?: string): void {
    this.failure ??= new InvariantBroken(invariant, detail, owner)
  }
}

function openedSha(signed: Uint8Array, sim: ClusterSimulation): string | undefined {
  try {
    return openBundle(signed, rawPublicKey(sim.domain.adminKey), TRUST_DOMAIN).sha256
  } catch {
    return undefined
  }
}
