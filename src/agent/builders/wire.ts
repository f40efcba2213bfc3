import { wireAuthorities, wireRenewals } from '../../ca/index.ts'
import { Readiness, wireCarriers, wireMesh, wireTrust } from '../../cluster/index.ts'
import type { ApiParts } from './api.ts'

export interface Wired {
  readonly readiness: Readiness
  /** Resolves when a member has said everything that it knows. */
  readonly synchronised: Promise<void>
}

/** Connects the parts to the mesh. Call it before the mesh starts, so that no early peer finds a protocol missing. */
export function wireParts({ base, cluster, ca, proxy }: Pick<ApiParts, 'base' | 'cluster' | 'ca' | 'proxy'>): Wired {
  const { events, log } = base
  const { mesh, registry, heard, policy, evictions } = cluster
  const synchronised = Promise.withResolvers<void>()
  wireMesh(mesh, registry, policy, ca.trustService, machine => synchronised.resolve(heard.heard(machine)), log)
  wireRenewals(mesh, ca.renewals)
  wireAuthorities(mesh, ca.authorityService)
  wireTrust(mesh, ca.trustService)
  mesh.onConnect((peer, machine) => {
    // A host that reaches the mesh port most likely reaches the data port again.
    proxy.pathAppeared(machine)
    evictions.onAdmitted()
    // Between its admission and now the policy may have changed.
    evictions.checkPeer(peer)
    events.emit('host-connected', { peer, machine })
    base.onProgress({ waitsFor: 'sync', addresses: [], machine })
  })
  mesh.onDisconnect(peer => events.emit('host-disconnected', { peer, machine: mesh.machineOf(peer) ?? '' }))
  wireCarriers(mesh, proxy)
  return { readiness: new Readiness(), synchronised: synchronised.promise }
}
