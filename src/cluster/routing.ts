import type { Protocol, VersionRange } from '../core/index.ts'
import { type Address, matches, namesOf, type Pattern, type PeerKey, sameAddress } from '../identity/index.ts'
import {
  find,
  type LiveRecord,
  liveRecords,
  lookup,
  type OwnerView,
  ownerAt,
  type RegistryRecord,
  type RegistryState,
  recordAt,
  records,
  serverCount
} from '../registry/index.ts'

/** One registration, with what its host says of itself, as the proxy, the policy and explain see it. */
export interface Route
  extends RegistryRecord,
    Pick<OwnerView, 'peer' | 'machine' | 'dataAddresses' | 'suspect' | 'draining'> {
  /** Registered with this very agent. */
  readonly local: boolean
  /** Versions of sessions that its agent announces, if it announces any. */
  readonly sessionVersions: VersionRange | undefined
}

/** Questions to the registry, in the terms of routing. */
export class Routing {
  readonly #state: RegistryState

  constructor(state: RegistryState) {
    this.#state = state
  }

  /** Every registration in the set of a pattern; all of them without one. */
  matching(pattern?: Pattern): Route[] {
    if (pattern === undefined) return liveRecords(this.#state).map(toRoute)
    const name = singleName(pattern)
    const found = name === undefined ? liveRecords(this.#state) : lookup(this.#state, name)
    return found.filter(({ record }) => matches(pattern, record.address)).map(toRoute)
  }

  /** The registrations among them that serve a protocol. */
  serving(pattern: Pattern, protocol: Protocol): Route[] {
    return this.matching(pattern).filter(route => route.protocols.includes(protocol))
  }

  byId(registrationId: string): Route | undefined {
    const found = find(this.#state, registrationId)
    return found === undefined ? undefined : toRoute(found)
  }

  /**
   * The registration with this id and address.
   *
   * With the id alone, a hostile host could pass its own registration off as another's.
   */
  exact(registrationId: string, address: Address): Route | undefined {
    const found = recordAt(this.#state, registrationId, address)
    return found === undefined ? undefined : toRoute(found)
  }

  /** Whether `machine` itself announces a workload of this address. */
  isRegistered(address: Address, machine: string): boolean {
    const peer = this.peerOf(machine)
    if (peer === undefined) return false
    return lookup(this.#state, address).some(
      ({ record, owner }) => owner.peer === peer && sameAddress(record.address, address)
    )
  }

  /** The agent of a machine that has a live lease. */
  peerOf(machine: string): PeerKey | undefined {
    return ownerAt(this.#state, machine)?.peer
  }

  /** Number of registrations of all hosts that serve anything. */
  get servers(): number {
    return serverCount(this.#state)
  }

  countOf(peer: PeerKey): number {
    return records(this.#state, peer).length
  }
}

const ROUTES = new WeakMap<RegistryRecord, { readonly owner: OwnerView; readonly route: Route }>()

/** Records and views of owners are frozen, and replaced when anything in them changes: the same two make the same route. */
function toRoute({ record, owner }: LiveRecord): Route {
  const known = ROUTES.get(record)
  if (known?.owner === owner) return known.route
  const { peer, machine, dataAddresses, suspect, draining, self, protocolVersions } = owner
  const sessionVersions = protocolVersions.find(({ name }) => name === 'session')
  const route: Route = Object.freeze({
    ...record,
    peer,
    machine,
    dataAddresses,
    suspect,
    draining,
    local: self,
    sessionVersions
  })
  ROUTES.set(record, { owner, route })
  return route
}

const NAMES = new WeakMap<Pattern, Omit<Address, 'machine'> | 'several'>()

// Most patterns name one workload; the registry finds it without a full scan.
function singleName(pattern: Pattern): Omit<Address, 'machine'> | undefined {
  const known = NAMES.get(pattern) ?? nameIn(pattern) ?? 'several'
  NAMES.set(pattern, known)
  return known === 'several' ? undefined : known
}

function nameIn(pattern: Pattern): Omit<Address, 'machine'> | undefined {
  const [scope, appGroup, appIdentity, resourceGroup] = namesOf(pattern)
  if (scope === undefined || appGroup === undefined || appIdentity === undefined || resourceGroup === undefined) {
    return undefined
  }
  return { scope, appGroup, appIdentity, resourceGroup }
}
