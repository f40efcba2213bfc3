import { type SpiffeHandlers, spiffeHandlers } from '../../api/index.ts'
import { signJwt } from '../../ca/index.ts'
import { anyChange } from '../../core/index.ts'
import { owners } from '../../registry/index.ts'
import type { Base } from './base.ts'
import type { Ca } from './ca.ts'
import type { Cluster } from './cluster.ts'
import type { WorkloadParts } from './workloads.ts'

interface SpiffeParts {
  readonly base: Base
  readonly cluster: Cluster
  readonly ca: Ca
  readonly local: WorkloadParts
}

/** The handlers of spiffe.sock. */
export function spiffeServices({ base, cluster, ca, local }: SpiffeParts): SpiffeHandlers {
  const { membership, clock, hostClock } = base
  const { state, registry, trust } = cluster
  const { trustDomain, jwtKeys } = membership
  return spiffeHandlers({
    trustDomain,
    registrations: () => local.workloads.all(),
    svids: ca.exportedSvids,
    roots: () => trust.state.roots.map(({ der }) => der),
    jwt: (spiffeId, audience) => signJwt(jwtKeys.signing, spiffeId, audience, hostClock.wallMs(), jwtKeys.tokenMs),
    jwtHosts: () =>
      owners(state).map(({ machine: name, identity, jwtKeys: published }) => ({
        machine: name,
        scopes: identity.scopes,
        jwtKeys: published
      })),
    changed: anyChange(
      () => registry.changed(),
      () => ca.rotation.changed()
    ),
    nowMs: () => clock.wallMs()
  })
}
