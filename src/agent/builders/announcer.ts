import { Announcer, AUTHORITY_CAPABILITY, capabilitiesOf } from '../../cluster/index.ts'
import { ANNOUNCED_PROTOCOLS, packageVersion } from '../../core/index.ts'
import type { Drain } from '../../proxy/index.ts'
import type { Base } from './base.ts'
import type { Ca } from './ca.ts'
import type { Cluster } from './cluster.ts'

interface Announced {
  readonly base: Base
  readonly cluster: Cluster
  readonly ca: Ca
  readonly drain: Drain
  readonly dataAddresses: () => string[]
}

/** Makes what tells the other hosts how this one is reached and what it can do. */
export function buildAnnouncer({ base, cluster, ca, drain, dataAddresses }: Announced): Announcer {
  const { config, membership, clock, log } = base
  const softwareVersion = packageVersion()
  return new Announcer({
    profile: () => ({
      meshAddresses: cluster.mesh.addresses(),
      dataAddresses: dataAddresses(),
      capabilities: [...capabilitiesOf(config), ...(ca.renewals.isOpen ? [AUTHORITY_CAPABILITY] : [])],
      policyVersion: cluster.policy.version,
      policySets: cluster.policy.sets.digest,
      trustVersion: ca.trustService.version,
      draining: drain.isOn,
      jwtKeys: membership.jwtKeys.published(),
      softwareVersion,
      protocolVersions: ANNOUNCED_PROTOCOLS,
      audit: base.audit?.checkpoint,
      nodeChain: membership.credentials.node.chainDer
    }),
    // By the later time, too: this host would refuse its own certificate.
    isShutOut: () =>
      cluster.evictions.own !== undefined || ca.renewal.isShutOut || membership.credentials.hasExpired(clock.wallMs()),
    announce: profile => cluster.registry.announce(profile),
    log
  })
}
