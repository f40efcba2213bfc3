import { setImmediate as nextTurn } from 'node:timers/promises'
import { type PeerKey, parsePattern } from '../../../src/identity/index.ts'
import { EventQueue } from '../event-queue.ts'
import { InvariantBroken } from '../failure.ts'
import { Random } from '../random.ts'
import type { Failure } from '../simulation.ts'
import { Trace } from '../trace.ts'
import { type Identity, type SimDomain, sharedDomain } from './domain.ts'
import { ClusterFaults } from './faults.ts'
import { Member, type Role } from './member.ts'
import { ClusterNetwork } from './network.ts'
import { Oracle } from './oracle.ts'
import type { Planted } from './planted.ts'
import { VirtualProcess } from './virtual-process.ts'

export interface ClusterOptions {
  readonly seed: number
  /** At least 5. */
  readonly nodes: number
  /** How long faults are made, in virtual minutes. */
  readonly minutes: number
  /** Members that lie. @default 1 */
  readonly liars?: number
  readonly planted?: Planted
}

export interface ClusterReport {
  readonly seed: number
  readonly traceHash: string
  readonly steps: number
  readonly virtualMs: number
  /** From the last fault until every honest host had everything. */
  readonly convergedMs: number
  readonly policies: bigint
  readonly trusts: bigint
  /** Suspicions of hosts that had crashed. */
  readonly found: number
  readonly failure: Failure | undefined
}

const CALM_MS = 10_000
const SWEEP_MS = 500
/** A lease and the skew that is accepted, and the rounds after them. */
const CONVERGE_MS = 100_000

/** Admission, failure detection, policy and trust of a mesh with members that lie. Everything follows from the options. */
export class ClusterSimulation {
  readonly options: ClusterOptions
  readonly domain: SimDomain
  readonly identities: readonly Identity[]
  readonly random: Random
  readonly queue = new EventQueue()
  readonly trace = new Trace()
  readonly process: VirtualProcess
  readonly network: ClusterNetwork
  readonly oracle: Oracle
  readonly planted: Planted
  readonly members: readonly Member[]
  /** The admin is signing a policy. */
  isSigning = false
  readonly #byPeer: ReadonlyMap<PeerKey, Member>
  readonly #faults: ClusterFaults
  #isCalm = false
  /** Events that have run. */
  #steps = 0

  private constructor(options: ClusterOptions, domain: SimDomain, identities: readonly Identity[]) {
    this.options = options
    this.domain = domain
    this.random = new Random(options.seed)
    // The order of the keys decides which of two connections stays, so it is another one with each seed.
    this.identities = this.random.sample(identities, identities.length)
    this.planted = options.planted ?? {}
    this.process = new VirtualProcess(this.queue, this.random)
    this.network = new ClusterNetwork(this.queue, this.random, this.process)
    this.oracle = new Oracle(this)
    this.members = this.identities.map((identity, at) => new Member(this, identity, roleOf(at, options.liars ?? 1)))
    this.#byPeer = new Map(this.members.map(member => [member.peer, member]))
    this.#faults = new ClusterFaults(this)
  }

  static async run(options: ClusterOptions): Promise<ClusterReport> {
    const domain = await sharedDomain()
    return await new ClusterSimulation(options, domain, await domain.identities(options.nodes)).#run()
  }

  memberOf(peer: PeerKey): Member | undefined {
    return this.#byPeer.get(peer)
  }

  machineOf(peer: PeerKey): string {
    return this.memberOf(peer)?.machine ?? peer
  }

  note(what: string, { machine, role }: Member): void {
    this.trace.add(this.queue.nowMs, what, machine, '', role)
  }

  async #run(): Promise<ClusterReport> {
    const restore = this.process.install()
    let convergedMs = 0
    let failure: Failure | undefined
    try {
      convergedMs = await this.#play()
    } catch (err) {
      if (!(err instanceof InvariantBroken)) throw err
      const { invariant, detail, owner } = err
      const events = this.trace.last(60, owner)
      failure = { invariant, detail, step: this.trace.step, atMs: this.queue.nowMs, events }
    } finally {
      // First, so that no timer of a run fires among those of the next.
      for (const member of this.members) member.crash()
      await nextTurn()
      restore()
    }
    const { trace, queue, oracle } = this
    return {
      seed: this.options.seed,
      traceHash: trace.hash,
      steps: this.#steps,
      virtualMs: queue.nowMs,
      convergedMs,
      policies: oracle.policies,
      trusts: oracle.newestTrust,
      found: oracle.found,
      failure
    }
  }

  async #play(): Promise<number> {
    const { random, queue, members, options } = this
    const faultsMs = options.minutes * 60_000
    for (const [at, member] of members.entries())
      queue.after(at === 0 ? 0 : random.between(0, 3_000), () => member.boot())
    this.#sweepForever()
    this.#govern(CALM_MS / 2)
    await this.#runUntil(CALM_MS)
    this.#faults.start()
    // One host that will not go, and one that does what the policy says.
    queue.after(random.between(0.2, 0.5) * faultsMs, () => this.#evict(members[1]))
    queue.after(random.between(0.3, 0.9) * faultsMs, () => this.#evict(members[2]))
    await this.#runUntil(CALM_MS + faultsMs)
    this.#isCalm = true
    this.#faults.stop()
    this.trace.add(queue.nowMs, 'calm', '')
    const beganMs = queue.nowMs
    for (;;) {
      const lacking = this.#lacking()
      if (lacking === undefined) return queue.nowMs - beganMs
      if (queue.nowMs - beganMs > CONVERGE_MS) {
        throw new InvariantBroken('all honest hosts agree', `${CONVERGE_MS} ms after the last fault, ${lacking}`)
      }
      await this.#runUntil(queue.nowMs + 500)
    }
  }

  #lacking(): string | undefined {
    for (const member of this.members) {
      if (!member.isHonest || member.isDead || this.oracle.evicted.has(member.peer)) continue
      const lacking = this.oracle.lacks(member)
      if (lacking !== undefined) return lacking
    }
    return undefined
  }

  async #runUntil(untilMs: number): Promise<void> {
    while (this.queue.runNext(untilMs)) {
      this.#steps += 1
      // Everything that the event has resolved, over any number of promises.
      await nextTurn()
      if (this.oracle.failure !== undefined) throw this.oracle.failure
    }
  }

  #sweepForever(): void {
    this.queue.after(SWEEP_MS, () => {
      this.oracle.sweep()
      this.#sweepForever()
    })
  }

  // The admin changes the policy, and now and then the roots.
  #govern(afterMs: number): void {
    const { random, queue, members, oracle, domain } = this
    queue.after(afterMs, () => {
      if (this.#isCalm) return
      members[0]?.act(({ policy, trustService }) => {
        if (random.chance(0.25)) {
          const version = trustService.version + 1n
          const signed = domain.trustBundle(version)
          oracle.onTrustSigned(signed, version)
          trustService.take([signed])
        } else {
          const { rules = [] } = policy.own ?? {}
          const [oldest] = rules
          this.#sign(() => (rules.length > 4 && oldest !== undefined ? policy.remove(oldest.id) : policy.add(rule())))
        }
      })
      this.#govern(random.between(3_000, 12_000))
    })
  }

  #evict(member: Member | undefined): void {
    const admin = this.members[0]
    if (member === undefined || admin === undefined) return
    if (admin.now === undefined || admin.now.run.isPaused) {
      this.queue.after(1_000, () => this.#evict(member))
      return
    }
    this.note('evict', member)
    const { machine, peer } = member
    admin.act(({ policy }) => this.#sign(() => policy.revoke({ machine, peers: [peer], reason: 'it was taken over' })))
  }

  #sign(change: () => Promise<unknown>): void {
    this.isSigning = true
    // The signature is made before the first wait.
    change().catch((err: unknown) => {
      this.oracle.failure ??= new InvariantBroken('the admin may change the policy', String(err))
    })
    this.isSigning = false
  }
}

function roleOf(at: number, liars: number): Role {
  if (at === 0) return 'admin'
  if (at === 1) return 'rogue'
  return at >= 3 && at < 3 + liars ? 'liar' : 'honest'
}

function rule() {
  return {
    effect: 'allow',
    source: parsePattern('dev.*.*.*'),
    destination: parsePattern('dev.web.*.*'),
    protocols: [],
    notBeforeMs: 0,
    untilMs: 0,
    reason: ''
  } as const
}
