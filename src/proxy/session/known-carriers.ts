import { LruMap } from '../../core/index.ts'
import type { Carrier } from '../carriers/index.ts'
import type { Candidate } from '../deps.ts'
import { PathMemory } from '../path-memory.ts'

/** Bounds the memory; of a forgotten host the carriers are tried in their order, each a little after the one before. */
const MAX_HOSTS = 4_096

/** The carriers of this agent, and what is known of each for each host: that it failed a moment ago, or that it works. */
export class KnownCarriers {
  /** Best first. */
  readonly all: readonly Carrier[]
  readonly #failed: ReadonlyMap<Carrier, PathMemory>
  readonly #works = new LruMap<string, Carrier>(MAX_HOSTS)

  constructor(carriers: readonly Carrier[], nowMs: () => number) {
    this.all = carriers
    this.#failed = new Map(carriers.map(carrier => [carrier, new PathMemory(carrier.backoff, nowMs)]))
  }

  /** Those that may reach an agent, best first; also one that failed a moment ago if it is a last resort. */
  open(candidate: Candidate): Carrier[] {
    return this.all.filter(
      carrier => carrier.canReach(candidate) && (carrier.isLastResort || !this.isBlocked(carrier, candidate.machine))
    )
  }

  /**
   * Those to try for an agent, in groups that begin one after the other. If a worse carrier is known to be the path, it is
   * tried at once, together with the better ones that have not failed a moment ago.
   */
  groups(candidate: Candidate): Carrier[][] {
    const open = this.open(candidate)
    const works = this.#works.get(candidate.machine)
    if (works === undefined || !open.includes(works)) return inOrder(open)
    const first = open.filter(
      carrier => carrier === works || (carrier.rank < works.rank && !this.isBlocked(carrier, candidate.machine))
    )
    return [first, ...inOrder(open.filter(carrier => !first.includes(carrier)))]
  }

  isBlocked(carrier: Carrier, machine: string): boolean {
    return this.#failed.get(carrier)?.isBlocked(machine) === true
  }

  failed(carrier: Carrier, machine: string): void {
    this.#failed.get(carrier)?.failed(machine)
  }

  worked(carrier: Carrier, machine: string): void {
    this.#failed.get(carrier)?.worked(machine)
    const known = this.#works.get(machine)
    const isBetter = known === undefined || carrier.rank <= known.rank || this.isBlocked(known, machine)
    if (isBetter) this.#works.set(machine, carrier)
  }

  /** Everything may have changed for a host. */
  forget(machine: string): void {
    for (const memory of this.#failed.values()) memory.worked(machine)
    this.#works.delete(machine)
  }
}

/** One after the other, but for those that begin together with the next. */
function inOrder(carriers: readonly Carrier[]): Carrier[][] {
  const groups: Carrier[][] = []
  let group: Carrier[] = []
  for (const carrier of carriers) {
    group.push(carrier)
    if (carrier.beginsWithNext === true) continue
    groups.push(group)
    group = []
  }
  return group.length > 0 ? [...groups, group] : groups
}
