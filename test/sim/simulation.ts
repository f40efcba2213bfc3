import type { PeerKey } from '../../src/identity/index.ts'
import { type AlarmKind, DEFAULT_LEASES, type Limits, leaseFor, type RegistryConfig } from '../../src/registry/index.ts'
import { disagreement, isUniform, takeCensus } from './census.ts'
import { EventQueue } from './event-queue.ts'
import { InvariantBroken } from './failure.ts'
import { Faults } from './faults.ts'
import { Host } from './host.ts'
import { type Verify, verifierOf } from './keys.ts'
import { Ledger } from './ledger.ts'
import { type Mutation, NO_MUTATION } from './mutation.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { StateStore } from './states.ts'
import { Trace } from './trace.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly nodes: number
  /** How long faults are made, in virtual minutes. */
  readonly minutes: number
  readonly realCrypto: boolean
  readonly mutation?: Mutation
  /** Hosts that drop or forge the acknowledgements that they should carry. */
  readonly liars?: number
  /** Sessions compare contents from the third host on, and every third host cannot. */
  readonly comparesContent?: boolean
  /** Called at each virtual second. */
  readonly onProgress?: (virtualMs: number, steps: number) => void
}

export interface Report {
  readonly seed: number
  readonly traceHash: string
  readonly steps: number
  readonly virtualMs: number
  /** From the last fault until every live host agreed about every live host, and until the dead were gone. */
  readonly convergedMs: number
  readonly alarms: ReadonlyMap<AlarmKind, number>
  /** Hosts that continued with an older copy of their disk. */
  readonly restoredDisks: number
  readonly failure: Failure | undefined
}

export interface Failure {
  readonly invariant: string
  readonly detail: string
  readonly step: number
  readonly atMs: number
  /** The last events about the owner concerned. */
  readonly events: readonly string[]
}

const CENSUS_MS = 5_000
const ALL_CHECKED = 64
const SAMPLING = 8
/** Faults begin once the first hosts have met. */
const CALM_MS = 15_000
/** A quarantine, the skew that leases are stretched by, and the rounds of sync after that; and the longest lease. */
const BOUND_BASE_MS = 60_000 + 30_000 + 30_000
const WORKLOAD_MS = 400
/** Shorter than any lease from which a refresh has gone. */
const UNIFORM_MS = 14_000

/** One simulated mesh. Everything that happens in it follows from its options. */
export class Simulation {
  readonly options: SimulationOptions
  readonly random: Random
  readonly queue = new EventQueue()
  readonly trace = new Trace()
  readonly states = new StateStore()
  readonly ledger = new Ledger()
  readonly network: Network
  readonly verify: Verify
  readonly mutation: Mutation
  /** Of so many steps of a host the dear invariants are checked at one: at each in a mesh of up to 64, at every eighth above. */
  readonly sampling: number
  readonly limits: Partial<Limits>
  readonly hosts: Host[] = []
  readonly alarms = new Map<AlarmKind, number>()
  restoredDisks = 0
  readonly #byPeer = new Map<PeerKey, Host>()
  readonly #faults: Faults
  #calm = false

  constructor(options: SimulationOptions) {
    this.options = options
    this.random = new Random(options.seed)
    this.mutation = options.mutation ?? NO_MUTATION
    this.verify = verifierOf(options.realCrypto)
    this.sampling = options.nodes <= ALL_CHECKED ? 1 : SAMPLING
    // Small enough that sets come by buckets, changes by their heads alone, and publications are forgotten.
    this.limits = {
      maxOwners: options.nodes + 8,
      maxInlineBytes: 2_048,
      maxGossipBytes: 4_096,
      maxPublications: 32
    } satisfies RegistryConfig['limits']
    const { random } = this
    this.network = new Network(this, {
      loss: random.pick([0, 0.01, 0.05, 0.2])!,
      duplication: random.pick([0, 0.002, 0.02])!,
      garbling: random.pick([0, 0, 0.002])!,
      latencyMs: random.pick([1, 10, 60, 250])!
    })
    this.#faults = new Faults(this)
  }

  run(): Report {
    let convergedMs = 0
    let failure: Failure | undefined
    try {
      convergedMs = this.#play()
    } catch (err) {
      if (!(err instanceof InvariantBroken)) throw err
      const { invariant, detail, owner } = err
      const events = this.trace.last(60, owner)
      failure = { invariant, detail, step: this.trace.step, atMs: this.queue.nowMs, events }
    }
    const { trace, queue, alarms, restoredDisks } = this
    const { seed } = this.options
    return {
      seed,
      traceHash: trace.hash,
      steps: trace.step,
      virtualMs: queue.nowMs,
      convergedMs,
      alarms,
      restoredDisks,
      failure
    }
  }

  host(peer: PeerKey): Host {
    const host = this.#byPeer.get(peer)
    if (host === undefined) throw new InvariantBroken('only what its owner signed', `nobody has the key ${peer}`)
    return host
  }

  machineOf(peer: PeerKey): string {
    return this.#byPeer.get(peer)?.machine ?? peer
  }

  noteAlarm(kind: AlarmKind): void {
    this.alarms.set(kind, (this.alarms.get(kind) ?? 0) + 1)
  }

  /** Starts a crashed host again, after a while. */
  restartLater(host: Host): void {
    this.network.disconnect(host)
    this.queue.after(this.random.between(200, 40_000), () => {
      if (!host.up && !host.dead) host.boot()
    })
  }

  #play(): number {
    const { options, random, queue } = this
    const late = Math.floor(options.nodes / 10)
    const faultsMs = options.minutes * 60_000
    for (let number = 0; number < options.nodes; number += 1) {
      const first = number < options.nodes - late
      queue.after(first ? random.between(0, 3_000) : random.between(CALM_MS, CALM_MS + faultsMs), () =>
        this.#join(number)
      )
    }
    this.network.start()
    this.#work()
    this.#count()
    this.#runUntil(CALM_MS)
    this.#faults.start()
    this.#runUntil(CALM_MS + faultsMs)
    this.#faults.stop()
    this.network.weather = { ...this.network.weather, loss: 0.005, garbling: 0 }
    this.#calm = true
    this.trace.add(queue.nowMs, 'calm', '')
    const convergedMs = this.#converge()
    this.#checkReplication()
    return convergedMs
  }

  #join(number: number): void {
    const host = new Host(this, `n${number}`)
    this.hosts.push(host)
    this.#byPeer.set(host.peer, host)
    host.lies = number > 0 && number <= (this.options.liars ?? 0)
    this.network.add(host)
    host.boot()
    // The first host of a mesh is alone by configuration; the others speak once they have heard.
    if (number === 0) host.later(0, () => host.announce())
    for (let count = this.random.int(4); count > 0; count -= 1) host.register()
    // Some have so much that it neither fits a message nor goes inline.
    if (this.random.chance(0.1)) for (let count = 0; count < 30; count += 1) host.register()
  }

  #work(): void {
    const { random, queue, hosts } = this
    queue.after(random.between(0, 2 * WORKLOAD_MS) / Math.sqrt(this.options.nodes / 10), () => {
      const host = random.pick(hosts)
      if (host?.up === true && !host.paused && !this.#calm) {
        const id = random.pick([...host.registered.keys()])
        const dice = random.next()
        if (id === undefined || dice < 0.4) host.register()
        else if (dice < 0.6) host.update(id)
        else host.deregister(id)
      }
      this.#work()
    })
  }

  #count(): void {
    this.queue.after(CENSUS_MS, () => {
      takeCensus(this)
      this.#count()
    })
  }

  #runUntil(untilMs: number): void {
    let reportAtMs = this.queue.nowMs
    while (this.queue.runNext(untilMs)) {
      if (this.queue.nowMs < reportAtMs) continue
      reportAtMs = this.queue.nowMs + 1_000
      this.options.onProgress?.(this.queue.nowMs, this.trace.step)
    }
  }

  #converge(): number {
    const beganMs = this.queue.nowMs
    const { leaseMs } = leaseFor(DEFAULT_LEASES, this.hosts.length)
    const boundMs = leaseMs + BOUND_BASE_MS
    let wrong = disagreement(this)
    while (wrong !== undefined) {
      if (this.queue.nowMs - beganMs > boundMs) {
        throw new InvariantBroken(
          'replicas converge',
          `${boundMs} ms after the last fault, ${wrong.detail}`,
          wrong.owner
        )
      }
      this.#runUntil(this.queue.nowMs + 1_000)
      wrong = disagreement(this)
    }
    return this.queue.nowMs - beganMs
  }

  /** With all faults over, a change is known to be on all hosts before a caller's patience ends. */
  #checkReplication(): void {
    const { random, queue } = this
    const live = this.hosts.filter(({ up }) => up)
    const changed = random.sample(live, 5)
    for (const host of changed) {
      host.register()
      host.awaitAcks()
    }
    const published = changed.map(host => ({ host, seq: host.driver?.published ?? 0n }))
    // A slow network takes some of the time for the change itself, and some for its acknowledgement.
    const patienceMs = 5_000 + 10 * this.network.weather.latencyMs
    this.#runUntil(queue.nowMs + patienceMs)
    for (const { host, seq } of published) {
      const progress = host.driver?.progress(seq)
      if (progress === undefined || progress.missing.length === 0) continue
      const detail = `${patienceMs} ms after it changed, ${host.machine} waits for ${progress.missing.join(', ')}`
      throw new InvariantBroken('changes are acknowledged', detail, host.machine)
    }
    this.#checkUniform()
  }

  /** When nobody says anything new, the digests become equal. */
  #checkUniform(): void {
    const untilMs = this.queue.nowMs + UNIFORM_MS
    for (const { driver } of this.hosts) {
      if (driver !== undefined) driver.state.own.refreshAtMonotonicMs = Number.POSITIVE_INFINITY
    }
    while (!isUniform(this)) {
      if (this.queue.nowMs > untilMs) {
        throw new InvariantBroken('replicas converge', `digests were not equal ${UNIFORM_MS} ms after the last head`)
      }
      this.#runUntil(this.queue.nowMs + 100)
    }
    takeCensus(this)
  }
}
