import { type SpiffeSocketHandlers, spiffeSocketHandlers } from '../../api/index.ts'
import type { JwtHost } from '../../ca/index.ts'
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

/** The hosts whose JWT-SVIDs count now. */
export function jwtHosts(state: Parameters<typeof owners>[0]): JwtHost[] {
  return owners(state).map(({ machine, identity, jwtKeys }) => ({ machine, scopes: identity.scopes, jwtKeys }))
}

/** The handlers of spiffe.sock. */
export function spiffeServices({ base, cluster, ca, local }: SpiffeParts): SpiffeSocketHandlers {
  const { membership, clock, hostClock, log } = base
  const { state, registry, trust } = cluster
  const { trustDomain, jwtKeys } = membership
  return spiffeSocketHandlers({
    trustDomain,
    registrations: () => local.workloads.all(),
    svids: ca.exportedSvids,
    roots: () => trust.state.roots.map(({ der }) => der),
    tokens: jwtKeys,
    hostMs: () => hostClock.wallMs(),
    issuer: base.config.jwtIssuer,
    jwtHosts: () => jwtHosts(state),
    changed: anyChange(
      () => registry.changed(),
      () => ca.rotation.changed()
    ),
    nowMs: () => clock.wallMs(),
    isServing: () => ca.renewal.expiry === undefined && cluster.evictions.evictionReason === undefined,
    log
  })
}
