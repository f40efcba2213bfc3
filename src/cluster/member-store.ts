import type { PeerKey } from '../identity/index.ts'
import { owner, type RegistryState } from '../registry/index.ts'
import type { KnownMember, Store } from '../state/index.ts'

// More members than a mesh has; hosts that came and went over the years must not be dialled, and kept, for ever.
const MAX_MEMBERS = 4_096

/** Stores on disk the last addresses of members, so that a restarted host finds the mesh without configuration. If there
 * are too many, the members that have not changed for longest are forgotten. */
export class MemberStore {
  readonly #store: Store
  readonly #state: RegistryState
  readonly #known: Map<PeerKey, KnownMember>
  readonly #max: number

  constructor(store: Store, state: RegistryState, max: number = MAX_MEMBERS) {
    this.#max = max
    this.#store = store
    this.#state = state
    this.#known = new Map(store.members().map(member => [member.peer, member]))
  }

  /** Multiaddrs of the members known from before. */
  addresses(): string[] {
    return [...this.#known.values()].flatMap(({ addresses }) => [...addresses])
  }

  /** Members known from before, and those seen since. */
  all(): KnownMember[] {
    return [...this.#known.values()]
  }

  /** The keys under which a machine was ever seen. */
  peersOf(machine: string): PeerKey[] {
    return [...this.#known.values()].filter(member => member.machine === machine).map(({ peer }) => peer)
  }

  /** Forgets members that will not return. */
  forget(isGone: (peer: PeerKey) => boolean): void {
    const gone = [...this.#known.keys()].filter(isGone)
    for (const peer of gone) this.#known.delete(peer)
    this.#store.forgetMembers(gone)
  }

  /** Records the addresses in an owner's newest head; returns them if they are new, else nothing. */
  note(peer: PeerKey): readonly string[] {
    const view = owner(this.#state, peer)
    if (view === undefined || view.self || view.meshAddresses.length === 0) return []
    const known = this.#known.get(peer)
    const same = known?.machine === view.machine && known.addresses.join() === view.meshAddresses.join()
    if (same) return []
    const member = { peer, machine: view.machine, addresses: view.meshAddresses }
    // Removed and added again, so that the first of the map is the one recorded longest ago.
    this.#known.delete(peer)
    this.#known.set(peer, member)
    this.#store.rememberMembers([member])
    const [oldest] = this.#known.keys()
    if (this.#known.size > this.#max && oldest !== undefined) this.forget(known => known === oldest)
    return view.meshAddresses
  }
}
