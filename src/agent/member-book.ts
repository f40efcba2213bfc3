import type { PeerKey } from '../identity/index.ts'
import { owner, type RegistryState } from '../registry/index.ts'
import type { KnownMember, Store } from './state/store.ts'

/** Remembers on disk where members were last seen, so that a restarted host finds the mesh without being told. */
export class MemberBook {
  readonly #store: Store
  readonly #state: RegistryState
  readonly #known: Map<PeerKey, KnownMember>

  constructor(store: Store, state: RegistryState) {
    this.#store = store
    this.#state = state
    this.#known = new Map(store.members().map(member => [member.peer, member]))
  }

  /** Multiaddrs of the members known from before. */
  addresses(): string[] {
    return [...this.#known.values()].flatMap(({ addresses }) => [...addresses])
  }

  /** The keys under which a machine was ever seen. */
  peersOf(machine: string): PeerKey[] {
    return [...this.#known.values()].filter(member => member.machine === machine).map(({ peer }) => peer)
  }

  /** Forgets members that will not come back. */
  forget(isGone: (peer: PeerKey) => boolean): void {
    const gone = [...this.#known.keys()].filter(isGone)
    for (const peer of gone) this.#known.delete(peer)
    this.#store.forgetMembers(gone)
  }

  /** Notes what an owner's newest head says; returns its addresses if they are new, else nothing. */
  note(peer: PeerKey): readonly string[] {
    const view = owner(this.#state, peer)
    if (view === undefined || view.self || view.meshAddresses.length === 0) return []
    const known = this.#known.get(peer)
    const same = known?.machine === view.machine && known.addresses.join() === view.meshAddresses.join()
    if (same) return []
    const member = { peer, machine: view.machine, addresses: view.meshAddresses }
    this.#known.set(peer, member)
    this.#store.rememberMembers([member])
    return view.meshAddresses
  }
}
