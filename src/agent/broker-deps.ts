import type { BrokerDeps, Candidate } from '../broker/index.ts'
import type { Clock, Logger, Metrics } from '../core/index.ts'
import { raceAbort } from '../core/index.ts'
import { listenerOf, peerUser } from '../identity/attest/index.ts'
import { serveJoin, serveRenewal, toPem } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { renewalPb } from '../wire/index.ts'
import type { AdmissionOffice } from './admission-office.ts'
import type { Authorizer } from './authorizer.ts'
import type { ResolvedConfig } from './config.ts'
import type { FailureService } from './failure/index.ts'
import type { HealthService } from './health/index.ts'
import type { RegistryService } from './registry-service.ts'
import type { RenewalDesk } from './rotation/index.ts'
import type { Route, Routing } from './routing.ts'
import type { Svids } from './svids.ts'
import type { Trust } from './trust.ts'
import type { Workloads } from './workloads/index.ts'

export interface BrokerParts {
  readonly machine: string
  readonly config: ResolvedConfig
  readonly mesh: Mesh
  readonly registry: RegistryService
  readonly failures: FailureService
  readonly routing: Routing
  readonly workloads: Workloads
  readonly health: HealthService
  readonly svids: Svids
  readonly trust: Trust
  readonly authorizer: Authorizer
  readonly office: AdmissionOffice
  readonly desk: RenewalDesk
  /** The last trust bundles (bytes), oldest first. */
  readonly succession: () => readonly Uint8Array[]
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** The broker's questions, answered by the parts of this agent. */
export function brokerDeps(parts: BrokerParts): BrokerDeps {
  const { machine, config, mesh, registry, routing, workloads, svids, trust, authorizer, office, clock, log, metrics } =
    parts
  return {
    trustDomain: trust.state.trustDomain,
    machine,
    directory: {
      candidates: (destination, protocol) => routing.serving(destination, protocol).map(toCandidate),
      byId: registrationId => {
        const route = routing.byId(registrationId)
        return route === undefined ? undefined : toCandidate(route)
      },
      sourceAt: (address, at) => routing.isRegistered(address, at),
      peerOf: name => routing.peerOf(name),
      refresh: (peer, signal) => raceAbort(registry.syncWith(peer), signal),
      unreachable: peer => parts.failures.check(peer)
    },
    local: {
      isAlive: registrationId => workloads.get(registrationId)?.process.isAlive() === true,
      svid: registrationId => svids.get(registrationId),
      target: registrationId => workloads.get(registrationId)?.target,
      targetFailed: registrationId => parts.health.suspect(registrationId),
      byPrefix: prefix => workloads.byPrefix(prefix)?.registrationId
    },
    credentials: { peerUser, listenerOf },
    authorize: question => {
      const decision = authorizer.authorize(question)
      const { allowed, ground } = decision
      metrics.count('warren_policy_decisions_total', { decision: allowed ? 'allowed' : 'denied', ground })
      return decision
    },
    judge: {
      workload: (leaf, issuers) => trust.workload(leaf, issuers),
      isSuperseded: leaf => trust.isSuperseded(leaf)
    },
    limits: config.limits.broker,
    roots: pemOf(() => trust.state.roots),
    joinCredentials: () => office.credentials(),
    join: (socket, signal) => serveJoin(socket, office.asAuthority(socket.remoteAddress ?? ''), signal),
    renew: (socket, signal) => {
      const remote = socket.remoteAddress ?? ''
      const renew = (request: renewalPb.RenewalRequest) => parts.desk.renew(request, { remote })
      return serveRenewal(
        socket,
        { agentChain: () => office.agentChain(), succession: parts.succession, renew, log },
        signal
      )
    },
    openStream: (peer, options) => mesh.openStream(peer, options),
    openRelayed: (peer, options) => mesh.openRelayed(peer, options),
    carrier: config.carrier,
    dataListen: config.dataListen,
    runtimeDir: config.runtimeDir,
    log,
    metrics: parts.metrics,
    clock
  }
}

// Each new connection asks, and writing them costs a tenth of its time.
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

function toCandidate(route: Route): Candidate {
  const { registrationId, address, machine, peer, dataAddresses, health, local, suspect, draining } = route
  return { registrationId, address, machine, peer, dataAddresses, health, local, suspect, draining }
}
