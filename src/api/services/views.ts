import type { MessageInitShape } from '@bufbuild/protobuf'
import type { LostHost } from '../../cluster/index.ts'
import type { Clock } from '../../core/index.ts'
import { formatAddress, type PeerKey } from '../../identity/index.ts'
import { type OwnerView, owners, type RegistryState } from '../../registry/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { SuspectedSince } from './service-list.ts'

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

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
