import {
  type AdminHandlers,
  adminHandlers,
  explainHere,
  type KnownHost,
  type LocalServer,
  memberViews,
  ServiceList,
  serveAdminApi,
  serveSpiffeApi,
  serveWorkloadApi,
  type WorkloadHandlers,
  workloadHandlers
} from '../../api/index.ts'
import { peerCredentials } from '../../attest/index.ts'
import { backupOf, tokenKeys, type WatchedCertificate } from '../../ca/index.ts'
import { type Announcer, MAX_SHOWN_LEFT_OUT, previewPolicy, type Readiness } from '../../cluster/index.ts'
import { packageVersion } from '../../core/index.ts'
import type { DeclaredItems, Reload } from '../../declared/index.ts'
import { keySha256Of, type PeerKey, parseCertificate } from '../../identity/index.ts'
import type { DataPlane, Drain, SessionAlarm } from '../../proxy/index.ts'
import { clockDifferences, type OwnerView, owners } from '../../registry/index.ts'
import { serverOf } from '../../workloads/index.ts'
import type { Base } from './base.ts'
import type { Ca } from './ca.ts'
import type { Cluster } from './cluster.ts'
import { jwtHosts, spiffeServices } from './spiffe-services.ts'
import type { WorkloadParts } from './workloads.ts'

/** Alarms of sessions in one status: it is asked often, and a host that cannot prove anything has one for each session. */
const MAX_ALARMS = 64

/** The parts that the handlers of the sockets use. */
export interface ApiParts {
  readonly base: Base
  readonly cluster: Cluster
  readonly ca: Ca
  readonly local: WorkloadParts
  readonly proxy: DataPlane
  readonly readiness: Readiness
  readonly drain: Drain
  readonly declared: DeclaredItems
  readonly reload: Reload
  readonly announcer: Announcer
  readonly dataAddresses: () => string[]
}

/** The sockets of this agent, while they serve. */
export interface ApiServers {
  readonly agent: LocalServer
  readonly admin: LocalServer
  readonly spiffe: LocalServer
}

/** Opens agent.sock, admin.sock and spiffe.sock. They are closed with the resources of the agent. */
export async function serveApi(parts: ApiParts): Promise<ApiServers> {
  const { config, log, metrics, resources, restart } = parts.base
  // To make the sockets keeps this thread busy for as long as a session takes to be opened.
  await parts.proxy.carried()
  const handlers = localHandlers(parts)
  const shared = {
    runtimeDir: config.runtimeDir,
    credentials: peerCredentials,
    log,
    metrics,
    limits: config.limits.api,
    handover: restart?.handover
  }
  const agent = await serveWorkloadApi({ ...shared, handlers: handlers.workload })
  resources.defer(() => agent.close())
  const admin = await serveAdminApi({ ...shared, handlers: handlers.admin })
  resources.defer(() => admin.close())
  const spiffeHandlers = spiffeServices(parts)
  const spiffe = await serveSpiffeApi({ ...shared, handlers: spiffeHandlers })
  resources.defer(() => spiffe.close())
  const { shareDir } = config
  if (shareDir === undefined) return { agent, admin, spiffe }
  // The same for containers, and nothing for the operator.
  const inShare = { ...shared, runtimeDir: shareDir }
  const agents = await serveWorkloadApi({ ...inShare, handlers: handlers.workload })
  resources.defer(() => agents.close())
  const spiffes = await serveSpiffeApi({ ...inShare, handlers: spiffeHandlers })
  resources.defer(() => spiffes.close())
  return { agent: both(agent, agents), admin, spiffe: both(spiffe, spiffes) }
}

// For who counts connections.
function both(one: LocalServer, other: LocalServer): LocalServer {
  return { ...one, connections: () => one.connections() + other.connections() }
}

// The handlers of agent.sock and admin.sock.
function localHandlers(parts: ApiParts): { workload: WorkloadHandlers; admin: AdminHandlers } {
  const { base, cluster, ca, local, proxy, readiness, drain, announcer, dataAddresses } = parts
  const { membership, vault, store, addresses, metrics, events, clock, hostClock, clockKeeper } = base
  const { mesh, registry, routing, policy, evictions, failures, lost } = cluster
  const { joins, renewal, rotation, authorities, rootRotation } = ca
  const { workloads } = local
  const [{ trustDomain, machine }, { state }] = [membership, registry]
  const changed = () => registry.changed()
  const suspectedSince = (peer: PeerKey) => failures.suspectedSinceMs(peer)
  const [startedAtMs, version, zone] = [hostClock.wallMs(), packageVersion(), base.config.zone]
  return {
    workload: workloadHandlers({
      workloads,
      ready: signal => readiness.wait(signal),
      expectReplication: wait => registry.expectReplication(wait),
      replicated: (wait, signal) => registry.replicated(wait, signal),
      connect: request => proxy.connect(request),
      prepareListener: user => proxy.preparePassage(user),
      listen: request => proxy.listenOnPassed(request),
      log: base.log,
      connectionEnd: (user, flowId) => proxy.connectionEnd(user, flowId),
      resetConnection: (user, flowId) => proxy.resetConnection(user, flowId),
      services: new ServiceList({ routing, suspectedSince, problemOf: problemOf(local), zone, lost, changed }),
      changed,
      tokenKeys: () => ({ issuer: base.config.jwtIssuer ?? '', keys: [...tokenKeys(jwtHosts(state))] }),
      status: () => ({
        version,
        trustDomain: membership.trustDomain,
        machine: membership.machine,
        peerId: mesh.peer,
        state: stateOf(parts),
        members: owners(state).length,
        connected: mesh.connected().length,
        registrations: workloads.count,
        services: routing.servers,
        policyVersion: policy.version,
        policySetVersion: policy.sets.ownSetVersion,
        policyLost: policy.isLost,
        ...policy.sets.lease.status,
        identityInUse: mesh.duplicates().own,
        duplicateHosts: mesh.duplicates().machines.slice(0, MAX_ALARMS),
        clockBehindMs: BigInt(clockKeeper.clock.behindMs),
        descriptorAlarm: base.descriptors.alarm,
        auditPushes: base.audit?.pushes() ?? [],
        ...declaredStatus(parts),
        clockDifferences: clockDifferences(state, clock.monotonicMs())
          .slice(0, MAX_ALARMS)
          .map(({ machine, aheadMs }) => ({ machine, aheadMs: BigInt(Math.round(aheadMs)) })),
        sessions: proxy.sessions(),
        flows: proxy.flowCount(),
        startedAtMs: BigInt(startedAtMs),
        certificateNotAfterMs: BigInt(membership.credentials.node.notAfterMs),
        meshAddresses: mesh.addresses(),
        dataAddresses: dataAddresses(),
        leftOutAddresses: addresses.leftOut.slice(0, MAX_SHOWN_LEFT_OUT),
        leftOutCount: addresses.leftOut.length,
        unannounced: announcer.problem ?? '',
        authority: membership.credentials.authority !== undefined,
        admin: policy.isAdmin,
        pid: process.pid,
        evicted: evictions.evictionReason ?? '',
        expired: renewal.expiry ?? '',
        certificates: rotation.certificates().map(toCertificate),
        sessionAlarms: toSessionAlarms(proxy.sessionAlarms())
      })
    }),
    admin: adminHandlers({
      policy,
      preview: bundle => previewPolicy({ authorizer: cluster.authorizer, proxy, workloads }, bundle),
      registered: () => routing.matching(),
      problemOf: problemOf(local),
      audit: base.audit?.searches,
      ruleUse: cluster.ruleUse,
      inquiries: cluster.inquiries,
      machine: membership.machine,
      knownHost: machine => knownHost(parts, machine),
      authorityKeysOf: (machine, signal) => authorities.keysOf(machine, signal),
      hostsBelow: keys => hostsBelow(owners(state), keys),
      authorities: authorities,
      rootRotation: rootRotation,
      joins,
      revokeTokensOf: (machine, uid) => joins.tokens.revokeOf(machine, uid),
      onRuleChange: (change, subject, uid) => events.emit('rule-changed', { change, subject, uid }),
      nowMs: () => clock.wallMs(),
      drain: timeoutMs => drain.begin(timeoutMs),
      undrain: () => drain.undo(),
      acceptClock: () => {
        clockKeeper.accept()
        policy.followDates()
        events.emit('profile-changed', {})
      },
      reload: () => parts.reload.run(),
      restart: base.restart,
      backup: passphrase => backupOf({ vault, store, trustDomain, machine }, passphrase, hostClock.wallMs()),
      members: () => memberViews(state, mesh, suspectedSince, hostClock),
      lost,
      flows: () => proxy.flows(),
      history: base.history,
      metrics: async () => ({ text: await metrics.text(), samples: await metrics.samples() }),
      explainer: explainHere(parts)
    })
  }
}

function knownHost({ base, cluster }: ApiParts, machine: string): KnownHost {
  const { membership } = base
  const { trust, members } = cluster
  // Each CA that it may still sign with: a host that renews has two.
  const known = trust.certificatesOf(machine)
  const peers = new Set([...members.peersOf(machine), ...known.map(({ peer }) => peer)])
  const keys = known.map(node => keySha256Of(node.nodeCertificate))
  if (machine !== membership.machine) return { peers: [...peers], keys }
  // The keys whose revocation would exclude this very host, with all hosts below the same authority or root.
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

function problemOf({ workloads, health }: WorkloadParts) {
  return (registrationId: string): string | undefined =>
    serverOf(workloads.get(registrationId)?.target)?.problem ?? health.problemOf(registrationId)
}

/** What `warren status` shows: `starting`, `ready`, `draining`, `evicted` or `expired`. */
export function stateOf({ cluster, ca, drain, readiness }: ApiParts): string {
  const { evictions } = cluster
  if (evictions.evictionReason !== undefined) return 'evicted'
  if (ca.renewal.expiry !== undefined) return 'expired'
  return drain.isOn ? 'draining' : readiness.state
}

function declaredStatus({ declared, reload }: ApiParts) {
  const items = declared.list()
  const waiting = items.filter(({ isRunning }) => !isRunning)
  return {
    declared: items.length,
    declaredRunning: items.length - waiting.length,
    waitingItems: waiting.slice(0, MAX_ALARMS).map(({ kind, name, user, place, problem }) => ({
      kind,
      name,
      user,
      place,
      problem: problem === '' ? 'not tried yet' : problem
    })),
    reloadProblem: reload.problem
  }
}

function toSessionAlarms(alarms: readonly SessionAlarm[]) {
  return alarms.slice(0, MAX_ALARMS).map(alarm => ({ ...alarm, cutAtMs: BigInt(alarm.cutAtMs) }))
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
