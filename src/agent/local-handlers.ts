import { readFileSync } from 'node:fs'
import type { AdminHandlers, WorkloadHandlers } from '../api/index.ts'
import type { Broker, SessionAlarm } from '../broker/index.ts'
import { type Clock, ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import { keySha256Of, type PeerKey, parseCertificate } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { type OwnerView, owners } from '../registry/index.ts'
import type { AdmissionOffice } from './admission-office.ts'
import type { Authorities } from './authorities/index.ts'
import type { Authorizer } from './authorizer.ts'
import type { Drain } from './drain.ts'
import type { Evictions } from './evictions.ts'
import { explain } from './explain.ts'
import type { FailureService } from './failure/index.ts'
import { adminHandlers } from './handlers/admin-handlers.ts'
import type { KnownHost } from './handlers/policy-handlers.ts'
import { workloadHandlers } from './handlers/workload-handlers.ts'
import type { MemberBook } from './member-book.ts'
import type { Membership } from './membership/index.ts'
import { probe } from './mesh-wiring.ts'
import type { PromMetrics } from './metrics/index.ts'
import type { PolicyService } from './policy-service.ts'
import { probePath } from './reach.ts'
import type { Readiness } from './readiness.ts'
import type { RegistryService } from './registry-service.ts'
import type { RootRotation } from './roots/index.ts'
import type { Renewal, Rotation, WatchedCertificate } from './rotation/index.ts'
import type { Routing } from './routing.ts'
import type { Trust } from './trust.ts'
import { knownRoutes, memberViews, serviceViews } from './views.ts'
import type { Workloads } from './workloads/index.ts'

export interface LocalHandlersParts {
  readonly membership: Membership
  readonly mesh: Mesh
  readonly registry: RegistryService
  readonly routing: Routing
  readonly policy: PolicyService
  readonly authorizer: Authorizer
  readonly office: AdmissionOffice
  readonly workloads: Workloads
  readonly broker: Broker
  readonly trust: Trust
  readonly book: MemberBook
  readonly evictions: Evictions
  readonly failures: FailureService
  readonly readiness: Readiness
  readonly drain: Drain
  readonly metrics: PromMetrics
  readonly renewal: Renewal
  readonly rotation: Rotation
  readonly authorities: Authorities
  readonly rootRotation: RootRotation
  readonly dataAddresses: () => string[]
  readonly backup: (passphrase: string) => Promise<Uint8Array>
  readonly clock: Clock
  readonly log: Logger
}

/** Alarms of sessions in one status: it is asked often, and a host that cannot prove anything has one for each session. */
const MAX_ALARMS = 64

/** What agent.sock and admin.sock answer, out of the parts of this agent. */
export function localHandlers(parts: LocalHandlersParts): { workload: WorkloadHandlers; admin: AdminHandlers } {
  const { membership, mesh, registry, routing, policy, office, workloads, broker, readiness, drain, evictions, clock } =
    parts
  const { state } = registry
  const suspectedSince = (peer: PeerKey) => parts.failures.suspectedSinceMs(peer)
  const startedAtMs = clock.wallMs()
  const version = packageVersion()
  return {
    workload: workloadHandlers({
      workloads,
      ready: signal => readiness.wait(signal),
      replicated: (wait, signal) => registry.replicated(wait, signal),
      connect: ({ source, destination, protocol, strategy, hello, signal }) =>
        broker.connect({
          source: { registrationId: source.registrationId, address: source.address, uid: source.uid },
          destination,
          protocol,
          strategy,
          hello,
          signal
        }),
      services: pattern => serviceViews(routing, suspectedSince, pattern),
      changed: () => registry.changed(),
      status: () => ({
        version,
        trustDomain: membership.trustDomain,
        machine: membership.machine,
        peerId: mesh.peer,
        state: stateOf(parts),
        members: owners(state).length,
        connected: mesh.connected().length,
        registrations: workloads.count,
        services: routing.matching().filter(route => route.serves.length > 0).length,
        policyVersion: policy.version,
        sessions: broker.sessions(),
        flows: broker.flowCount(),
        startedAtMs: BigInt(startedAtMs),
        certificateNotAfterMs: BigInt(membership.credentials.node.notAfterMs),
        meshAddresses: mesh.addresses(),
        dataAddresses: parts.dataAddresses(),
        authority: membership.credentials.authority !== undefined,
        admin: policy.isAdmin,
        pid: process.pid,
        evicted: evictions.standing ?? '',
        lapsed: parts.renewal.lapse ?? '',
        certificates: parts.rotation.certificates().map(toCertificate),
        sessionAlarms: broker.sessionAlarms().slice(0, MAX_ALARMS).map(toSessionAlarm)
      })
    }),
    admin: adminHandlers({
      policy,
      machine: membership.machine,
      knownHost: machine => knownHost(parts, machine),
      authorityKeysOf: (machine, signal) => parts.authorities.keysOf(machine, signal),
      hostsBelow: keys => hostsBelow(owners(state), keys),
      authorities: parts.authorities,
      rootRotation: parts.rootRotation,
      createToken: request => office.createToken(request),
      tokens: () => office.tokens(),
      revokeToken: id => office.revokeToken(id),
      revokeTokensOf: machine => office.revokeTokensOf(machine),
      nowMs: () => clock.wallMs(),
      drain: timeoutMs => drain.begin(timeoutMs),
      undrain: () => drain.undo(),
      backup: parts.backup,
      members: () => memberViews(state, mesh, suspectedSince, clock),
      flows: () => broker.flows(),
      metrics: async () => ({ text: await parts.metrics.text(), samples: await parts.metrics.samples() }),
      explain: (source, destination, protocol, signal) =>
        explain(explainDeps(parts), source, destination, protocol, signal)
    })
  }
}

function knownHost({ membership, trust, book }: LocalHandlersParts, machine: string): KnownHost {
  // Each CA that it may still sign with: a host that renews has two.
  const known = trust.certificatesOf(machine)
  const peers = new Set([...book.peersOf(machine), ...known.map(({ peer }) => peer)])
  const keys = known.map(node => keySha256Of(node.nodeCertificate))
  if (machine !== membership.machine) return { peers: [...peers], keys }
  // What would put this very host out, with all below the same authority or root.
  const { node, authority } = membership.credentials
  const above = [...node.chainDer, ...(authority === undefined ? [] : [authority.certificate])]
  return { peers: [...peers], keys: [...keys, ...above.map(der => keySha256Of(parseCertificate(der)))] }
}

function hostsBelow(all: readonly OwnerView[], keys: readonly string[]): string[] {
  if (keys.length === 0) return []
  const isBelow = ({ nodeChain }: OwnerView): boolean =>
    nodeChain[1] !== undefined && keys.includes(keySha256Of(parseCertificate(nodeChain[1])))
  return all.filter(isBelow).map(({ machine }) => machine)
}

function explainDeps(parts: LocalHandlersParts) {
  const { membership, mesh, registry, routing, authorizer, trust, failures, clock } = parts
  return {
    machine: membership.machine,
    known: () => knownRoutes(routing),
    judge: (
      source: Parameters<Authorizer['authorize']>[0]['source'],
      destination: ReturnType<typeof knownRoutes>[number],
      protocol: 'tcp' | 'udp'
    ) =>
      authorizer.authorize({
        source,
        destination: destination.address,
        destinationRegistrationId: destination.registrationId,
        protocol
      }),
    path: async (machine: string, signal: AbortSignal) => {
      const host = owners(registry.state).find(owner => owner.machine === machine)
      if (host === undefined) throw new WarrenError(ErrorCode.NotFound, `${machine} is not a member now`)
      const { dataAddresses, peer } = host
      const helper = async (): Promise<string> => {
        const found = await failures.helperFor(peer)
        if (found === undefined) throw new WarrenError(ErrorCode.DestinationUnreachable, 'no other member reaches it')
        return mesh.machineOf(found) ?? found
      }
      return await probePath({ dataAddresses, mesh: limit => probe(mesh, peer, limit), helper }, clock, signal)
    },
    certificateEnd: (machine: string) => trust.node(machine)?.notAfterMs,
    nowMs: () => clock.wallMs()
  }
}

function stateOf({ evictions, renewal, drain, readiness }: LocalHandlersParts): string {
  if (evictions.standing !== undefined) return 'evicted'
  if (renewal.lapse !== undefined) return 'lapsed'
  return drain.isOn ? 'draining' : readiness.state
}

function toSessionAlarm(alarm: SessionAlarm) {
  return { ...alarm, cutAtMs: BigInt(alarm.cutAtMs) }
}

function toCertificate({ kind, subject, issuedAtMs, notAfterMs, renewAtMs, alarm, problem, hint }: WatchedCertificate) {
  return {
    kind,
    subject,
    issuedAtMs: BigInt(Math.round(issuedAtMs)),
    notAfterMs: BigInt(notAfterMs),
    renewAtMs: BigInt(Math.round(renewAtMs)),
    alarm: alarm === 'none' ? '' : alarm,
    problem: [problem, hint].filter(text => text !== '').join(': ')
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  return version
}
