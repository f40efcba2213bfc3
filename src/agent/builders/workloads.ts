import { Attestor, DirectoryService, listenerOf, ProcessWatch, portLookup, UserDatabase } from '../../attest/index.ts'
import { SessionTokens } from '../../identity/index.ts'
import { dialTarget, headerFor, probeFrame } from '../../proxy/index.ts'
import { codeAfter, Grants, HealthService, PortServers, type Workload, Workloads } from '../../workloads/index.ts'
import type { Base } from './base.ts'
import type { Cluster } from './cluster.ts'
import { processFieldsOf } from './process-fields.ts'

/** The registrations of this host, and who looks after their servers. */
export interface WorkloadParts {
  readonly workloads: Workloads
  readonly health: HealthService
  readonly grants: Grants
  /** The user of a name; undefined if nobody has it. */
  readonly uidOf: (name: string) => Promise<number | undefined>
}

/** Makes what grants, keeps and checks the registrations of this host; starts nothing. */
export function buildWorkloads(base: Base, { registry, policy, evictions }: Cluster): WorkloadParts {
  const { config, membership, listenDir, events, hostClock: clock, log, resources } = base
  const { credentials, trustDomain, machine, nodeSecret } = membership
  const users = new UserDatabase(new DirectoryService(clock))
  const grants = new Grants({
    scopes: credentials.node.scopes,
    agentUid: process.getuid?.() ?? 0,
    entries: () => policy.bundle ?? { entries: [], strict: false },
    requireNotRevoked: spiffeId => evictions.requireNotRevoked(spiffeId),
    attestor: new Attestor(clock, { users, kubernetesKeys: config.kubernetesKeys })
  })
  const health = new HealthService({
    io: { dial: (target, signal) => dialTarget(target, { listenerOf }, signal), probeFrame, headerFor },
    onChange: (workload, verdict) => {
      registry.put({ ...workload, health: verdict })
      events.emit('health-changed', { ...fieldsOf(workload), health: verdict })
    },
    clock,
    log
  })
  resources.defer(() => health.stop())
  const uidOf = (name: string): Promise<number | undefined> => users.uidOf(name)
  const workloads = new Workloads({
    trustDomain,
    machine,
    grants,
    listenDir,
    runtimeDir: config.runtimeDir,
    shareDir: config.shareDir,
    zone: config.zone,
    tokens: new SessionTokens(nodeSecret),
    processes: new ProcessWatch(),
    portServers: new PortServers({ ask: portLookup(), log, clock }),
    uidOf,
    limits: config.limits.workloads,
    onAdded: workload => {
      // First, since the registry may refuse it: then there is no registration.
      registry.put({ ...workload, health: 'passing' })
      health.add(workload)
      events.emit('registration-added', { ...fieldsOf(workload), ...processFieldsOf(workload) })
    },
    onEnded: (workload, reason) =>
      events.emit('registration-ended', { ...fieldsOf(workload), reason, code: codeAfter(reason) }),
    handover: base.restart?.handover,
    clock,
    log
  })
  return { workloads, health, grants, uidOf }
}

function fieldsOf({ spiffeId, registrationId, uid }: Workload) {
  return { spiffeId, registrationId, uid }
}
