import type { Protocol } from '../core/index.ts'
import { type Address, formatAddress, matches, namesOf, type Pattern, type PeerKey } from '../identity/index.ts'
import {
  find,
  type Health,
  type LiveRecord,
  liveRecords,
  lookup,
  owners,
  type RegistryState,
  records
} from '../registry/index.ts'

/** One registration as the proxy, the policy and explain see it. */
export interface Route {
  readonly registrationId: string
  readonly address: Address
  readonly spiffeId: string
  readonly serves: readonly Protocol[]
  readonly whitelist: readonly Pattern[]
  readonly machine: string
  readonly peer: PeerKey
  readonly dataAddresses: readonly string[]
  readonly health: Health
  readonly local: boolean
  readonly suspect: boolean
  readonly draining: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly registeredAtMs: number
}

/** Questions to the registry, in the terms of routing. */
export class Routing {
  readonly #state: RegistryState

  constructor(state: RegistryState) {
    this.#state = state
  }

  /** Every registration in the set of a pattern; of all without one. */
  matching(pattern?: Pattern): Route[] {
    if (pattern === undefined) return liveRecords(this.#state).map(toRoute)
    const name = singleName(pattern)
    const found = name === undefined ? liveRecords(this.#state) : lookup(this.#state, name)
    return found.filter(({ record }) => matches(pattern, record.address)).map(toRoute)
  }

  /** Those of them that serve a protocol. */
  serving(pattern: Pattern, protocol: Protocol): Route[] {
    return this.matching(pattern).filter(route => route.serves.includes(protocol))
  }

  byId(registrationId: string): Route | undefined {
    const found = find(this.#state, registrationId)
    return found === undefined ? undefined : toRoute(found)
  }

  /**
   * The registration of this id and address.
   *
   * By the id alone a hostile host could have its own registration taken for another's.
   */
  exact(registrationId: string, address: Address): Route | undefined {
    const wanted = formatAddress(address)
    const found = lookup(this.#state, address).find(
      ({ record }) => record.registrationId === registrationId && formatAddress(record.address) === wanted
    )
    return found === undefined ? undefined : toRoute(found)
  }

  /** Whether `machine` itself announces a workload of this address. */
  isRegistered(address: Address, machine: string): boolean {
    const peer = this.peerOf(machine)
    if (peer === undefined) return false
    const wanted = formatAddress(address)
    return lookup(this.#state, address).some(
      ({ record, owner }) => owner.peer === peer && formatAddress(record.address) === wanted
    )
  }

  /** The agent of a machine that has a live lease. */
  peerOf(machine: string): PeerKey | undefined {
    return owners(this.#state).find(owner => owner.machine === machine)?.peer
  }

  countOf(peer: PeerKey): number {
    return records(this.#state, peer).length
  }
}

function toRoute({ record, owner }: LiveRecord): Route {
  return {
    registrationId: record.registrationId,
    address: record.address,
    spiffeId: record.spiffeId,
    serves: record.protocols,
    whitelist: record.whitelist,
    machine: owner.machine,
    peer: owner.peer,
    dataAddresses: owner.dataAddresses,
    health: record.health,
    local: owner.self,
    suspect: owner.suspect,
    draining: owner.draining,
    labels: record.labels,
    registeredAtMs: record.registeredAtMs
  }
}

// Most patterns name one workload, which the registry finds without looking at all of them.
function singleName(pattern: Pattern): Omit<Address, 'machine'> | undefined {
  const [scope, appGroup, appIdentity, resourceGroup] = namesOf(pattern)
  if (scope === undefined || appGroup === undefined || appIdentity === undefined || resourceGroup === undefined) {
    return undefined
  }
  return { scope, appGroup, appIdentity, resourceGroup }
}
