import type { MessageInitShape } from '@bufbuild/protobuf'
import type { LostHost, Route, Routing } from '../../cluster/index.ts'
import type { Clock, Protocol } from '../../core/index.ts'
import { formatAddress, matches, type Pattern, type PeerKey } from '../../identity/index.ts'
import { tierOf } from '../../proxy/index.ts'
import { type OwnerView, owners, type RegistryState } from '../../registry/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import type { ServiceFields } from './workload.ts'

/** Wall time since which a host is suspected. */
export type SuspectedSince = (peer: PeerKey) => number | undefined

export interface ServiceFacts {
  readonly suspectedSince: SuspectedSince
  /** Why a registration of this host does not serve. */
  readonly problemOf: (registrationId: string) => string | undefined
  /** Zone of this host. */
  readonly zone: string | undefined
}

/** The registrations that match a pattern, clients among them, sorted by address; all without a pattern. */
export function serviceViews(routing: Routing, facts: ServiceFacts, pattern: Pattern | undefined): ServiceFields[] {
  return routing
    .matching(pattern)
    .map(route => toService(route, facts))
    .sort((a, b) => compare(a.address, b.address) || compare(a.registrationId, b.registrationId))
}

function toService(route: Route, { suspectedSince, problemOf, zone }: ServiceFacts): ServiceFields {
  return {
    address: formatAddress(route.address),
    spiffeId: route.spiffeId,
    registrationId: route.registrationId,
    protocols: route.protocols.map(toProtocol),
    health: route.draining ? 'draining' : route.health,
    labels: { ...route.labels },
    ports: [...route.ports],
    weight: route.weight,
    tier: tierOf(route, zone),
    registeredAtMs: BigInt(route.registeredAtMs),
    machine: route.machine,
    local: route.local,
    suspect: route.suspect,
    suspectSinceMs: BigInt((route.suspect ? suspectedSince(route.peer) : undefined) ?? 0),
    problem: (route.local ? problemOf(route.registrationId) : undefined) ?? '',
    lostSinceMs: 0n,
    lostReason: ''
  }
}

/** What lost hosts served that matches a pattern, newest loss first; all without a pattern. */
export function lostServiceViews(lost: readonly LostHost[], pattern: Pattern | undefined): ServiceFields[] {
  return lost.flatMap(({ sinceMs, reason, last, served }) =>
    served
      .filter(({ address }) => pattern === undefined || matches(pattern, address))
      .map(record => ({
        address: formatAddress(record.address),
        spiffeId: record.spiffeId,
        registrationId: record.registrationId,
        protocols: record.protocols.map(toProtocol),
        health: record.health,
        labels: { ...record.labels },
        ports: [...record.ports],
        weight: record.weight,
        tier: '',
        registeredAtMs: BigInt(record.registeredAtMs),
        machine: last.machine,
        local: false,
        suspect: false,
        suspectSinceMs: 0n,
        problem: '',
        lostSinceMs: BigInt(sinceMs),
        lostReason: reason
      }))
  )
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
      ...announcedBy(owner),
      state: owner.self ? 'self' : owner.suspect ? 'suspect' : mesh.isConnected(owner.peer) ? 'connected' : 'alive',
      leaseLeftMs: BigInt(Math.round(owner.receivedMonotonicMs + owner.leaseMs - clock.monotonicMs())),
      suspectSinceMs: BigInt((owner.suspect ? suspectedSince(owner.peer) : undefined) ?? 0)
    }))
    .sort((a, b) => Number(b.state === 'self') - Number(a.state === 'self') || compare(a.machine, b.machine))
}

/** A host that is no member any more. */
export function lostMemberView({
  sinceMs,
  reason,
  last,
  served
}: LostHost): MessageInitShape<typeof adminPb.MemberSchema> {
  return {
    ...announcedBy(last),
    state: reason,
    lostSinceMs: BigInt(sinceMs),
    served: served.map(({ address }) => formatAddress(address))
  }
}

function announcedBy(owner: OwnerView) {
  return {
    machine: owner.machine,
    peerId: owner.peer,
    meshAddresses: [...owner.meshAddresses],
    dataAddresses: [...owner.dataAddresses],
    records: owner.count,
    epoch: owner.epoch,
    seq: owner.seq,
    policyVersion: owner.policyVersion,
    policySets: owner.policySets,
    certificateNotAfterMs: BigInt(owner.identity.notAfterMs),
    version: owner.softwareVersion,
    protocols: owner.protocolVersions.map(({ name, min, max }) => ({ name, min, max })),
    auditCheckpoint: owner.audit === undefined ? '' : `${owner.audit.seq}:${owner.audit.sha256}`
  }
}

function toProtocol(protocol: Protocol): apiPb.Protocol {
  return protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
