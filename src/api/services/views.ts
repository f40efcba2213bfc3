import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Known, Route, Routing } from '../../cluster/index.ts'
import type { Clock } from '../../core/index.ts'
import { formatAddress, type Pattern, type PeerKey } from '../../identity/index.ts'
import { owners, type RegistryState } from '../../registry/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import type { ServiceView } from './workload.ts'

/** Since when a host is suspected, by the wall clock. */
export type SuspectedSince = (peer: PeerKey) => number | undefined

export interface ServiceFacts {
  readonly suspectedSince: SuspectedSince
  /** Why a registration of this host does not serve. */
  readonly problemOf: (registrationId: string) => string | undefined
}

/** The registrations that match a pattern, clients among them, sorted by address; all without a pattern. */
export function serviceViews(routing: Routing, facts: ServiceFacts, pattern: Pattern | undefined): ServiceView[] {
  return routing
    .matching(pattern)
    .map(route => toServiceView(route, facts))
    .sort((a, b) => compare(a.address, b.address) || compare(a.registrationId, b.registrationId))
}

function toServiceView(route: Route, { suspectedSince, problemOf }: ServiceFacts): ServiceView {
  return {
    address: formatAddress(route.address),
    spiffeId: route.spiffeId,
    registrationId: route.registrationId,
    protocols: route.serves.map(protocol => (protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP)),
    health: route.draining ? 'draining' : route.health,
    labels: { ...route.labels },
    registeredAtMs: BigInt(route.registeredAtMs),
    machine: route.machine,
    local: route.local,
    suspect: route.suspect,
    suspectSinceMs: BigInt((route.suspect ? suspectedSince(route.peer) : undefined) ?? 0),
    problem: (route.local ? problemOf(route.registrationId) : undefined) ?? ''
  }
}

/** The members whose lease is valid here, this host first. */
export function memberViews(
  state: RegistryState,
  mesh: { readonly isConnected: (peer: PeerKey) => boolean },
  suspectedSince: SuspectedSince,
  clock: Clock
): MessageInitShape<typeof adminPb.MemberSchema>[] {
  return owners(state)
    .map(owner => ({
      machine: owner.machine,
      peerId: owner.peer,
      state: owner.self ? 'self' : owner.suspect ? 'suspect' : mesh.isConnected(owner.peer) ? 'connected' : 'alive',
      meshAddresses: [...owner.meshAddresses],
      dataAddresses: [...owner.dataAddresses],
      records: owner.count,
      epoch: owner.epoch,
      seq: owner.seq,
      policyVersion: owner.policyVersion,
      certificateNotAfterMs: BigInt(owner.identity.notAfterMs),
      leaseLeftMs: BigInt(Math.round(owner.receivedMonotonicMs + owner.leaseMs - clock.monotonicMs())),
      suspectSinceMs: BigInt((owner.suspect ? suspectedSince(owner.peer) : undefined) ?? 0)
    }))
    .sort((a, b) => Number(b.state === 'self') - Number(a.state === 'self') || compare(a.machine, b.machine))
}

/** Every registration as explain looks at it. */
export function knownRoutes(routing: Routing): Known[] {
  return routing.matching().map(route => ({
    address: route.address,
    registrationId: route.registrationId,
    serves: route.serves,
    machine: route.machine,
    unfit: unfitness(route),
    local: route.local
  }))
}

function unfitness({ health, draining, suspect }: Route): string | undefined {
  if (draining || health === 'draining') return 'draining: no new connections are sent to it'
  if (suspect) return 'and its host is suspect: it does not answer'
  return health === 'passing' ? undefined : 'not healthy'
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
