import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Route, Routing } from '../../cluster/index.ts'
import type { Clock } from '../../core/index.ts'
import { formatAddress, type Pattern, type PeerKey } from '../../identity/index.ts'
import { owners, type RegistryState } from '../../registry/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import type { ServiceFields } from './workload.ts'

/** Wall time since which a host is suspected. */
export type SuspectedSince = (peer: PeerKey) => number | undefined

export interface ServiceFacts {
  readonly suspectedSince: SuspectedSince
  /** Why a registration of this host does not serve. */
  readonly problemOf: (registrationId: string) => string | undefined
}

/** The registrations that match a pattern, clients among them, sorted by address; all without a pattern. */
export function serviceViews(routing: Routing, facts: ServiceFacts, pattern: Pattern | undefined): ServiceFields[] {
  return routing
    .matching(pattern)
    .map(route => toService(route, facts))
    .sort((a, b) => compare(a.address, b.address) || compare(a.registrationId, b.registrationId))
}

function toService(route: Route, { suspectedSince, problemOf }: ServiceFacts): ServiceFields {
  return {
    address: formatAddress(route.address),
    spiffeId: route.spiffeId,
    registrationId: route.registrationId,
    protocols: route.protocols.map(protocol => (protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP)),
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
      version: owner.softwareVersion,
      protocols: owner.protocolVersions.map(({ name, min, max }) => ({ name, min, max })),
      leaseLeftMs: BigInt(Math.round(owner.receivedMonotonicMs + owner.leaseMs - clock.monotonicMs())),
      suspectSinceMs: BigInt((owner.suspect ? suspectedSince(owner.peer) : undefined) ?? 0)
    }))
    .sort((a, b) => Number(b.state === 'self') - Number(a.state === 'self') || compare(a.machine, b.machine))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
