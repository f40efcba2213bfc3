import { listenerOf, peerUser } from '../../attest/index.ts'
import { meshPortParts, probe, punchParts, relayParts, reverseParts, silentHostsOf } from '../../cluster/index.ts'
import {
  ErrorCode,
  networkOf,
  RateLimitedLog,
  raceAbort,
  UNAUTHENTICATED_LINES,
  WarrenError,
  withoutMapping
} from '../../core/index.ts'
import { serveJoin, serveRenewal, toPem } from '../../identity/index.ts'
import { createDataPlane, type DataPlane, type ProxyDeps, proxyOptions } from '../../proxy/index.ts'
import type { renewalPb } from '../../wire/index.ts'
import { serverOf } from '../../workloads/index.ts'
import type { Base } from './base.ts'
import type { Ca } from './ca.ts'
import type { Cluster } from './cluster.ts'
import { processFieldsOf } from './process-fields.ts'
import type { WorkloadParts } from './workloads.ts'

/** The parts of this agent that the data plane uses. */
export interface ProxyParts {
  readonly base: Base
  readonly cluster: Cluster
  readonly ca: Ca
  readonly local: WorkloadParts
}

/** Makes the data plane over the other parts of this agent; starts nothing. */
export function buildProxy(parts: ProxyParts): DataPlane {
  return createDataPlane(proxyDeps(parts))
}

function proxyDeps({ base, cluster, ca, local }: ProxyParts): ProxyDeps {
  const { config, membership, events, tracer, clock, log, metrics } = base
  const { mesh, registry, failures, routing, trust, authorizer, ruleUse } = cluster
  const { joins, renewals, svids } = ca
  const { workloads, health } = local
  const renewalFailures = new RateLimitedLog(log, clock, UNAUTHENTICATED_LINES)
  return {
    trustDomain: trust.state.trustDomain,
    machine: membership.machine,
    directory: {
      candidates: (destination, protocol) => routing.serving(destination, protocol),
      byId: registrationId => routing.byId(registrationId),
      sourceAt: (address, at) => routing.isRegistered(address, at),
      peerOf: name => routing.peerOf(name),
      hasHeardBeside: machine => cluster.heard.hasBeside(machine),
      refresh: (peer, signal) => raceAbort(registry.syncWith(peer), signal),
      unreachable: peer => failures.check(peer)
    },
    local: {
      isAlive: registrationId => workloads.get(registrationId)?.process.isAlive() === true,
      hold: registrationId => workloads.hold(registrationId),
      svid: registrationId => svids.get(registrationId),
      target: registrationId => workloads.get(registrationId)?.target,
      userOf: registrationId => workloads.get(registrationId),
      processOf: registrationId => {
        const workload = workloads.get(registrationId)
        return workload === undefined ? undefined : processFieldsOf(workload)
      },
      limitsOf: registrationId => workloads.limitsOf(registrationId),
      isMultipath: registrationId => workloads.get(registrationId)?.multipath === true,
      problemOf: registrationId => serverOf(workloads.get(registrationId)?.target)?.refusal,
      targetFailed: registrationId => health.suspect(registrationId),
      byPrefix: prefix => workloads.byPrefix(prefix)?.registrationId
    },
    credentials: { peerUser, listenerOf },
    authorize: question => {
      const decision = authorizer.authorize(question)
      const { allowed, ground } = decision
      ruleUse.note(decision, clock.wallMs())
      metrics.count('warren_policy_decisions_total', { decision: allowed ? 'allowed' : 'denied', ground })
      return decision
    },
    verifier: {
      workload: (leaf, issuers) => trust.workload(leaf, issuers),
      isReplaced: leaf => trust.isReplaced(leaf)
    },
    verifyAgent: (leaf, issuers) => trust.agent(leaf, issuers),
    limits: config.limits.proxy,
    roots: pemOf(() => trust.state.roots),
    joinCredentials: () => joins.credentials(),
    join: (socket, signal, requireRoom) =>
      serveJoin(socket, joins.asAuthority(withoutMapping(socket.remoteAddress ?? ''), requireRoom), signal),
    renew: (socket, signal, requireRoom) => {
      const remote = withoutMapping(socket.remoteAddress ?? '')
      const renew = (request: renewalPb.RenewalRequest) => {
        requireRoom()
        return renewals.renew(request, { remote })
      }
      return serveRenewal(
        socket,
        {
          agentChain: () => joins.agentChain(),
          succession: () => membership.trust.succession,
          renew,
          remote,
          log: renewalFailures.of(networkOf(remote))
        },
        signal
      )
    },
    openStream: (peer, options) => mesh.openStream(peer, options),
    reverse: reverseParts(mesh, cluster.state),
    ...meshPortParts(mesh, cluster.state),
    punch: punchParts(mesh, cluster.state),
    relaying: relayParts(mesh, cluster.state),
    openRelayed: (peer, options) => mesh.openRelayed(peer, options),
    askAlive: (peer, signal) => probe(mesh, peer, signal),
    helperFor: async peer => {
      const found = await failures.helperFor(peer)
      if (found === undefined) throw new WarrenError(ErrorCode.DestinationUnreachable, 'no other member reaches it')
      return mesh.machineOf(found) ?? found
    },
    ...proxyOptions(config),
    silentHosts: silentHostsOf(cluster, clock),
    handover: base.restart?.handover,
    log,
    metrics,
    events,
    tracer,
    clock
  }
}

// Each new connection needs them, and writing them costs a tenth of its time.
function pemOf(current: () => readonly { readonly der: Uint8Array }[]): () => readonly string[] {
  let roots = current()
  let pems = roots.map(({ der }) => toPem(der))
  return () => {
    const now = current()
    if (now !== roots) {
      pems = now.map(({ der }) => toPem(der))
      roots = now
    }
    return pems
  }
}
