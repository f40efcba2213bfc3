import type { PeerKey } from '../../src/identity/index.ts'
import {
  decodeAck,
  type Effect,
  type RegistryDriver,
  type RegistryState,
  stateDigest
} from '../../src/registry/index.ts'
import { leaseLeftMs } from '../../src/registry/lease.ts'
import { MAX_COUNTER } from '../../src/registry/limits.ts'
import type { RecordSet } from '../../src/registry/record-set.ts'
import type { Entry } from '../../src/registry/state.ts'
import { checkBounds } from './bounds.ts'
import { InvariantBroken } from './failure.ts'
import type { Host } from './host.ts'
import { compare, fingerprintOf, type Version } from './ledger.ts'
import type { Simulation } from './simulation.ts'
import { HeldState } from './states.ts'

/** Own changes whose acknowledgements are followed. */
const MAX_FOLLOWED = 64

interface Followed extends Version {
  readonly required: readonly PeerKey[]
}

/** What a replica held last time it was looked at. */
interface Seen extends Version {
  readonly set: RecordSet
  readonly entry: Entry
}

/**
 * Watches one host from outside, after each step: remembers what it has known, by itself and not by asking it, and throws
 * `InvariantBroken` when it goes back on that.
 */
export class Witness {
  readonly #sim: Simulation
  readonly #host: Host
  /** Owners whose entry was written or removed in the present step. */
  readonly #touched = new Set<PeerKey>()
  /** Held at the end of the last step of this run. */
  readonly #held = new Map<PeerKey, Seen>()
  /** Greatest held in this run, and whether it ended here. */
  readonly #run = new Map<PeerKey, Version & { readonly ended: boolean }>()
  /** Greatest set held in any run since the disk was last replaced. */
  readonly #durable = new Map<PeerKey, Version>()
  /** Greatest ever held. */
  readonly #applied = new Map<PeerKey, Version>()
  #followed: Followed[] = []
  /** Steps, and acknowledgements, since the last one whose dear part was checked. */
  #unchecked = 0
  #unfollowed = 0
  #state = new HeldState()

  constructor(sim: Simulation, host: Host) {
    this.#sim = sim
    this.#host = host
  }

  /** Learns of every write to the entries of a replica, by whatever way it comes. */
  watch(state: RegistryState): void {
    const { entries } = state
    const set = entries.set.bind(entries)
    const remove = entries.delete.bind(entries)
    entries.set = (owner, entry) => {
      this.#touched.add(owner)
      return set(owner, entry)
    }
    entries.delete = owner => {
      this.#touched.add(owner)
      return remove(owner)
    }
  }

  /** The run has ended. */
  forgetRun(): void {
    this.#touched.clear()
    this.#held.clear()
    this.#run.clear()
    this.#followed = []
    this.#state = new HeldState()
  }

  /** The disk now says this, and the host knows no more. */
  diskReplaced(): void {
    this.#durable.clear()
    for (const { owner, epoch } of this.#host.disk.load()) this.#durable.set(owner, { epoch, seq: 0n })
  }

  /** The host was allowed to forget: the certificate of the owner has ended. */
  forget(owner: PeerKey): void {
    const highWaterMark = this.#host.disk.get(owner)
    if (highWaterMark?.untilMs !== undefined && highWaterMark.untilMs > this.#host.wallMs) {
      throw this.#broken('marks outlive leases', 'forgets before its certificate has ended', owner)
    }
    this.#durable.delete(owner)
    this.#run.delete(owner)
  }

  hasApplied(owner: PeerKey, version: Version): boolean {
    const applied = this.#applied.get(owner)
    return applied !== undefined && compare(applied, version) >= 0
  }

  /** After every step. */
  check(state: RegistryState): void {
    for (const owner of this.#touched) {
      if (owner !== state.own.peer) this.#checkOwner(state, owner)
      this.#state.set(owner, state.entries.get(owner))
    }
    this.#unchecked += 1
    const isDue = this.#unchecked >= this.#sim.sampling
    if (isDue) this.#unchecked = 0
    if (isDue && this.#touched.size > 0) this.#checkDigest(state)
    this.#touched.clear()
    if (isDue) checkBounds(this.#sim, this.#host)
  }

  note(effect: Extract<Effect, { type: 'changed' | 'acknowledged' | 'alarm' }>): void {
    const { trace, queue } = this.#sim
    const { type, owner } = effect.type === 'acknowledged' ? { type: effect.type, owner: effect.peer } : effect
    const detail =
      effect.type === 'changed'
        ? `${effect.cause} +${effect.added.length} -${effect.removed.length}`
        : effect.type === 'alarm'
          ? `${effect.kind} ${effect.detail}`
          : `seq ${effect.seq}`
    trace.add(queue.nowMs, type, this.#host.machine, this.#sim.machineOf(owner), detail)
    if (effect.type === 'acknowledged') this.#noteAck()
    if (effect.type === 'alarm') this.#sim.noteAlarm(effect.kind)
  }

  /** Follows what was just published until all who must have it have said so. */
  notePublication(driver: RegistryDriver, before: bigint): void {
    const { state, published: seq } = driver
    if (seq === before) return
    const required = [...state.entries.keys()].filter(peer => peer !== state.own.peer)
    this.#followed.push({ epoch: state.own.epoch, seq, required })
    if (this.#followed.length > MAX_FOLLOWED) this.#followed.shift()
  }

  /** Nothing is said to anybody that the disk does not know. */
  checkPublish(): void {
    const { disk, peer, driver } = this.#host
    const epoch = driver?.state.own.epoch
    if (epoch !== undefined && disk.get(peer)?.epoch !== epoch) {
      throw this.#broken('saved before it is said', `publishes epoch ${epoch}, which is not on disk`, peer)
    }
  }

  checkAck(owner: PeerKey, bytes: Uint8Array): void {
    const highWaterMark = this.#host.disk.get(owner)
    const version = decodeAck(bytes)
    // A reminder to an owner in quarantine says nothing of what is held.
    if (version.seq === MAX_COUNTER) return
    if (highWaterMark === undefined || compare(highWaterMark, version) < 0) {
      throw this.#broken('saved before it is said', `acknowledges ${text(version)}, which is not on disk`, owner)
    }
  }

  #checkDigest(state: RegistryState): void {
    const { machine, peer } = this.#host
    const other = this.#sim.states.conflict(stateDigest(state), this.#state.text, machine)
    if (other === undefined) return
    throw this.#broken('equal digests mean equal state', `has the digest of another state, of ${other}`, peer)
  }

  #checkOwner(state: RegistryState, owner: PeerKey): void {
    const entry = state.entries.get(owner)
    const before = this.#held.get(owner)
    if (entry === undefined) {
      if (before !== undefined) this.#noteGone(owner, before)
      return
    }
    if (entry === before?.entry) return
    const { head, bytes } = entry.sealed
    const signed = this.#sim.ledger.signed(bytes)
    if (signed === undefined || signed.owner !== owner || compare(signed, head) !== 0) {
      throw this.#broken('only what its owner signed', `holds ${text(head)}, which its owner never signed`, owner)
    }
    if (signed.content !== fingerprintOf(entry.set)) {
      throw this.#broken('only what its owner signed', `holds another set than that of ${text(head)}`, owner)
    }
    const run = this.#run.get(owner)
    if (run !== undefined && (compare(head, run) < 0 || (compare(head, run) === 0 && run.ended))) {
      const detail = `takes ${text(head)} after ${text(run)}${run.ended ? ', which had ended' : ''}`
      throw this.#broken('what has ended stays dead', detail, owner)
    }
    const content = { epoch: head.epoch, seq: head.recordSeq }
    const durable = this.#durable.get(owner)
    if (durable !== undefined && compare(content, durable) < 0) {
      throw this.#broken('what has ended stays dead', `takes the set of ${text(content)} after ${text(durable)}`, owner)
    }
    if (entry.set !== before?.set && durable !== undefined) this.#checkDeleted(owner, entry, durable)
    this.#run.set(owner, { epoch: head.epoch, seq: head.seq, ended: false })
    if (durable === undefined || compare(content, durable) > 0) this.#durable.set(owner, content)
    const applied = this.#applied.get(owner)
    if (applied === undefined || compare(head, applied) > 0) {
      this.#applied.set(owner, { epoch: head.epoch, seq: head.seq })
    }
    this.#held.set(owner, { epoch: head.epoch, seq: head.seq, set: entry.set, entry })
  }

  #checkDeleted(owner: PeerKey, { set }: Entry, known: Version): void {
    for (const { id } of set) {
      const ended = this.#sim.ledger.endedAt(owner, id)
      if (ended !== undefined && compare(known, ended) >= 0) {
        throw this.#broken('what has ended stays dead', `record ${id.slice(0, 8)} ended at ${text(ended)}`, owner)
      }
    }
  }

  #noteGone(owner: PeerKey, { epoch, seq, entry }: Seen): void {
    const now = { wallMs: this.#host.wallMs, monotonicMs: this.#host.monotonicMs }
    const ended = leaseLeftMs(entry.sealed.head, entry.receivedMonotonicMs, now) <= 0
    if (this.#run.has(owner)) this.#run.set(owner, { epoch, seq, ended })
    this.#held.delete(owner)
  }

  // What counts as replicated stays so: one that is not followed here is found at a later one.
  #noteAck(): void {
    this.#unfollowed += 1
    if (this.#unfollowed < this.#sim.sampling) return
    this.#unfollowed = 0
    this.#checkFollowed()
  }

  #checkFollowed(): void {
    const { driver, peer } = this.#host
    if (driver === undefined) return
    this.#followed = this.#followed.filter(followed => {
      const progress = driver.progress(followed.seq)
      if (progress === undefined) return false
      if (progress.required !== followed.required.length) {
        throw this.#broken('replicated means that all have it', `requires ${progress.required} hosts`, peer)
      }
      if (progress.missing.length > 0) return true
      const lacking = followed.required.find(other => !this.#sim.host(other).witness.hasApplied(peer, followed))
      if (lacking === undefined) return false
      const detail = `${text(followed)} counts as replicated, and ${this.#sim.machineOf(lacking)} never had it`
      throw this.#broken('replicated means that all have it', detail, peer)
    })
  }

  #broken(invariant: string, detail: string, owner: PeerKey): InvariantBroken {
    const machine = this.#sim.machineOf(owner)
    return new InvariantBroken(invariant, `${this.#host.machine} about ${machine}: ${detail}`, machine)
  }
}

function text({ epoch, seq }: Version): string {
  return `(${epoch}, ${seq})`
}
