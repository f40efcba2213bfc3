import type { AgentClient } from '../../client/index.ts'
import type { adminPb, apiPb } from '../../wire/index.ts'
import type { HostView, MeshView, SelfView, WorkloadView } from '../shapes.ts'
import { attempt } from './attempt.ts'
import { protocolName } from './protocol.ts'

/** Workloads that are sent to a page. */
export const MAX_WORKLOADS = 20_000

/** Hosts and workloads as this host knows them; parts that this user may not see are missing, and say why. */
export async function meshView(agent: AgentClient, allowsChanges: boolean, signal: AbortSignal): Promise<MeshView> {
  const problems: string[] = []
  const [status, services, members] = await Promise.all([
    agent.workload.getStatus({}, { signal }),
    agent.workload.listServices({ pattern: '', lost: false }, { signal }),
    attempt('the hosts', problems, () => agent.admin.listMembers({}, { signal }))
  ])
  const workloads = services.services.map(workloadView).sort((a, b) => compare(a.address, b.address))
  const hosts = members === undefined ? hostsOf(workloads) : [...members.members, ...members.lost].map(hostView)
  return {
    self: selfView(status, allowsChanges),
    hosts: hosts.sort((a, b) => compare(a.machine, b.machine)),
    workloads: workloads.slice(0, MAX_WORKLOADS),
    leftOut: Math.max(0, workloads.length - MAX_WORKLOADS),
    problems
  }
}

function selfView(status: apiPb.GetStatusResponse, allowsChanges: boolean): SelfView {
  const { version, trustDomain, machine, state, admin } = status
  const policyVersion = Number(status.policyVersion)
  return {
    version,
    trustDomain,
    machine,
    state,
    admin,
    policyVersion,
    startedAtMs: Number(status.startedAtMs),
    allowsChanges
  }
}

function hostView(member: adminPb.Member): HostView {
  return {
    machine: member.machine,
    state: member.state,
    version: member.version,
    policyVersion: Number(member.policyVersion),
    addresses: [...member.dataAddresses, ...member.meshAddresses],
    certificateNotAfterMs: Number(member.certificateNotAfterMs),
    suspectSinceMs: Number(member.suspectSinceMs),
    lostSinceMs: Number(member.lostSinceMs)
  }
}

// For a user who may not list the members: the machines that have workloads.
function hostsOf(workloads: readonly WorkloadView[]): HostView[] {
  return [...new Set(workloads.map(({ machine }) => machine))].map(machine => ({
    machine,
    state: 'unknown',
    version: '',
    policyVersion: 0,
    addresses: [],
    certificateNotAfterMs: 0,
    suspectSinceMs: 0,
    lostSinceMs: 0
  }))
}

function workloadView(service: apiPb.Service): WorkloadView {
  return {
    address: service.address,
    machine: service.machine,
    protocols: service.protocols.map(protocolName),
    health: service.health,
    problem: service.problem,
    labels: Object.entries(service.labels).map(([key, value]) => `${key}=${value}`),
    registeredAtMs: Number(service.registeredAtMs),
    suspect: service.suspect
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
