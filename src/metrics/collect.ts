import type { LocalServer } from '../api/index.ts'
import { type Clock, labelValue } from '../core/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { DataPlane } from '../proxy/index.ts'
import { owners, type RegistryState, sizes } from '../registry/index.ts'
import type { Workloads } from '../workloads/index.ts'
import type { PromMetrics } from './prom-metrics.ts'

export interface Observed {
  readonly state: RegistryState
  readonly underWay: () => { readonly sessions: number; readonly acks: number }
  readonly mesh: Pick<Mesh, 'isConnected' | 'connected' | 'relayed'>
  readonly workloads: Pick<Workloads, 'count'>
  readonly proxy: Pick<DataPlane, 'totals'>
  readonly policyVersion: () => bigint
  readonly declared: () => ReadonlyArray<{ readonly kind: 'service' | 'forward'; readonly isRunning: boolean }>
  readonly certificates: () => ReadonlyArray<{
    readonly kind: 'root' | 'authority' | 'node' | 'svid'
    readonly notAfterMs: number
  }>
  readonly sockets: Readonly<Record<'agent' | 'admin' | 'spiffe', LocalServer>>
  readonly clock: Clock
}

/** Registers the collectors that read the state of the parts of the agent whenever the metrics are read. */
export function collect(metrics: PromMetrics, observed: Observed): void {
  const { state, mesh, workloads, proxy, sockets, clock } = observed
  metrics.onRead(() => {
    const members = { self: 0, connected: 0, alive: 0, suspect: 0 }
    for (const owner of owners(state)) members[memberStateOf(owner, mesh)] += 1
    for (const each of keys(members)) metrics.set('warren_members', { state: each }, members[each])
    metrics.set('warren_mesh_connections', {}, mesh.connected().length)
    const { owners: held, records, bytes, highWaterMarks, quarantined } = sizes(state)
    metrics.set('warren_registry_owners', {}, held)
    metrics.set('warren_registry_records', {}, records)
    metrics.set('warren_registry_bytes', {}, bytes)
    metrics.set('warren_registry_high_water_marks', {}, highWaterMarks)
    metrics.set('warren_registry_quarantined', {}, quarantined)
    const { sessions, acks } = observed.underWay()
    metrics.set('warren_registry_sync_sessions', {}, sessions)
    metrics.set('warren_registry_acks_waiting', {}, acks)
    metrics.set('warren_registrations', {}, workloads.count)
    const declared = observed.declared()
    for (const kind of ['service', 'forward'] as const) {
      const ofKind = declared.filter(item => item.kind === kind)
      const running = ofKind.filter(({ isRunning }) => isRunning).length
      metrics.set('warren_declared_items', { kind, state: 'running' }, running)
      metrics.set('warren_declared_items', { kind, state: 'waiting' }, ofKind.length - running)
    }
    metrics.set('warren_policy_version', {}, Number(observed.policyVersion()))
    const now = clock.wallMs()
    const first = new Map<string, number>()
    for (const { kind, notAfterMs } of observed.certificates()) {
      first.set(kind, Math.min(first.get(kind) ?? Number.POSITIVE_INFINITY, notAfterMs))
    }
    for (const certificate of ['root', 'authority', 'node', 'svid'] as const) {
      const notAfterMs = first.get(certificate) ?? now
      metrics.set('warren_certificate_expiry_seconds', { certificate }, (notAfterMs - now) / 1_000)
    }
    for (const socket of keys(sockets)) {
      metrics.set('warren_local_connections', { socket }, sockets[socket].connections())
    }
    collectProxy(metrics, proxy, mesh)
  })
}

function collectProxy(metrics: PromMetrics, proxy: Pick<DataPlane, 'totals'>, mesh: Pick<Mesh, 'relayed'>): void {
  const { flows, sessions, unproved, endpoints, waiting, relayed } = proxy.totals()
  metrics.set('warren_mesh_relayed_streams', {}, mesh.relayed() + relayed)
  for (const direction of keys(flows.flows)) {
    for (const protocol of keys(flows.flows[direction])) {
      metrics.set('warren_flows', { direction, protocol }, flows.flows[direction][protocol])
    }
  }
  for (const direction of ['in', 'out'] as const) {
    for (const protocol of keys(flows.bytes)) {
      metrics.total('warren_flow_bytes_total', { protocol, direction }, flows.bytes[protocol][direction])
    }
    metrics.total('warren_datagrams_total', { direction }, flows.datagrams[direction])
  }
  for (const reason of keys(flows.drops)) {
    metrics.total('warren_datagrams_dropped_total', { reason: labelValue(reason) }, flows.drops[reason])
  }
  metrics.set('warren_flows_waiting', {}, waiting)
  metrics.set('warren_flow_waiting_bytes', {}, flows.waitingBytes)
  for (const role of keys(sessions)) metrics.set('warren_sessions', { role }, sessions[role])
  for (const role of keys(unproved)) metrics.set('warren_sessions_unproved', { role }, unproved[role])
  metrics.set('warren_endpoints', {}, endpoints)
}

function memberStateOf(
  { self, suspect, peer }: ReturnType<typeof owners>[number],
  mesh: Pick<Mesh, 'isConnected'>
): 'self' | 'connected' | 'alive' | 'suspect' {
  if (self) return 'self'
  if (suspect) return 'suspect'
  return mesh.isConnected(peer) ? 'connected' : 'alive'
}

function keys<T extends object>(of: T): Array<keyof T> {
  return Object.keys(of) as Array<keyof T>
}
