import { ANNOUNCED_PROTOCOLS, DEFAULT_WEIGHT, formatVersions, ZONE_LABEL } from '../../core/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import { byColumns } from './by-column.ts'
import { limitsColumn } from './limits-column.ts'
import { ownerColumn } from './owner-column.ts'
import { formatAge, formatBytes, formatDuration, formatWhen } from './quantities.ts'
import { type Column, table } from './table.ts'

// The output of --json: the fields of the API with plain numbers and names, without the internals of protobuf.

export type ServiceView = Omit<apiPb.Service, '$typeName' | '$unknown' | 'protocols'> & { protocols: string[] }
export type MemberView = Omit<adminPb.Member, '$typeName' | '$unknown' | 'protocols'> & {
  /** Versions by protocol, such as "1" or "1-2". */
  protocols: Record<string, string>
}
export type FlowView = Omit<adminPb.Flow, '$typeName' | '$unknown' | 'protocol'> & { protocol: string }
export type RuleView = Omit<adminPb.Rule, '$typeName' | '$unknown' | 'protocols'> & { protocols: string[] }

export function protocolName(protocol: apiPb.Protocol): string {
  switch (protocol) {
    case apiPb.Protocol.TCP:
      return 'tcp'
    case apiPb.Protocol.UDP:
      return 'udp'
    default:
      return 'unknown'
  }
}

export function serviceView(service: apiPb.Service): ServiceView {
  return { ...fields(service), protocols: service.protocols.map(protocolName) }
}

/** The version of a host whose program does not announce one. */
const UNKNOWN = 'unknown'

export function memberView(member: adminPb.Member): MemberView {
  const protocols = member.protocols.map(({ name, min, max }) => [name, formatVersions({ min, max })] as const)
  return { ...fields(member), version: member.version || UNKNOWN, protocols: Object.fromEntries(protocols) }
}

export function flowView(flow: adminPb.Flow): FlowView {
  return { ...fields(flow), protocol: protocolName(flow.protocol) }
}

export function ruleView(rule: adminPb.Rule): RuleView {
  return { ...fields(rule), protocols: rule.protocols.map(protocolName) }
}

/** A message without protobuf's own fields. */
export function fields<T extends object>(message: T): Omit<T, '$typeName' | '$unknown'> {
  return Object.fromEntries(Object.entries(message).filter(([name]) => !name.startsWith('$'))) as T
}

export function serviceTable(services: readonly ServiceView[], nowMs: number): string {
  const columns: Column<ServiceView>[] = [
    { title: 'ADDRESS', value: service => service.address },
    // A client only: it is registered, and nobody can connect to it.
    { title: 'SERVES', value: service => service.protocols.join(',') || '-' },
    {
      title: 'HEALTH',
      value: ({ health, problem, suspect, suspectSinceMs, lostReason, lostSinceMs }) => {
        if (lostSinceMs > 0n) return `host ${loss(lostReason, lostSinceMs, nowMs)}`
        const why = problem === '' ? '' : `: ${problem}`
        return suspect ? `${health}, host ${suspicion(suspectSinceMs, nowMs)}` : health + why
      },
      tone: ({ health, suspect, lostSinceMs }) => {
        if (suspect || lostSinceMs > 0n) return 'warning'
        return health === 'failing' ? 'bad' : undefined
      }
    },
    ...weightColumns(services),
    { title: 'WHERE', value: service => (service.local ? 'this host' : service.machine) },
    { title: 'AGE', value: service => formatAge(Number(service.registeredAtMs), nowMs), rank: 2 },
    { title: 'ID', value: service => service.registrationId.slice(0, 12), rank: 1 }
  ]
  return table(columns, services)
}

/** The columns of what decides between instances, where an operator has set any of it. */
function weightColumns(services: readonly ServiceView[]): Column<ServiceView>[] {
  const isWeighted = services.some(({ weight = DEFAULT_WEIGHT }) => weight !== DEFAULT_WEIGHT)
  const hasZones = services.some(({ labels }) => labels[ZONE_LABEL] !== undefined)
  const weight = ({ protocols, weight }: ServiceView): string =>
    protocols.length === 0 || weight === undefined ? '-' : String(weight)
  return [
    ...(isWeighted ? [{ title: 'WEIGHT', value: weight, align: 'right' } as const] : []),
    ...(hasZones ? [{ title: 'ZONE', value: ({ labels }: ServiceView) => labels[ZONE_LABEL] ?? '-' }] : [])
  ]
}

export function memberTable(members: readonly MemberView[], nowMs: number): string {
  const columns: Column<MemberView>[] = [
    { title: 'MACHINE', value: member => member.machine },
    {
      title: 'STATE',
      value: ({ state, suspectSinceMs, lostSinceMs }) => {
        if (lostSinceMs > 0n) return loss(state, lostSinceMs, nowMs)
        return state === 'suspect' ? suspicion(suspectSinceMs, nowMs) : state
      },
      tone: ({ state, lostSinceMs }) => (state === 'suspect' || lostSinceMs > 0n ? 'warning' : undefined)
    },
    { title: 'VERSION', value: member => member.version, rank: 2 },
    { title: 'RECORDS', value: member => String(member.records), align: 'right', rank: 1 },
    { title: 'POLICY', value: member => String(member.policyVersion), align: 'right', rank: 4 },
    {
      title: 'LEASE',
      value: ({ leaseLeftMs, lostSinceMs }) =>
        leaseLeftMs < 0n || lostSinceMs > 0n ? 'ended' : formatDuration(Number(leaseLeftMs)),
      align: 'right',
      rank: 3
    },
    { title: 'CERTIFIED', value: member => certified(member.certificateNotAfterMs, nowMs), align: 'right', rank: 5 },
    { title: 'DATA', value: member => member.dataAddresses[0] ?? '-' },
    { title: 'PEER', value: member => member.peerId, wide: true }
  ]
  return table(columns, members)
}

/** The versions of each member: that of its program, and those of the protocols that it speaks. */
export function versionTable(members: readonly MemberView[]): string {
  const columns: Column<MemberView>[] = [
    { title: 'MACHINE', value: member => member.machine },
    { title: 'VERSION', value: member => member.version },
    ...ANNOUNCED_PROTOCOLS.map(({ name }) => ({
      title: name.toUpperCase(),
      value: ({ protocols }: MemberView) => protocols[name] ?? UNKNOWN
    }))
  ]
  return table(columns, members)
}

function certified(notAfterMs: bigint, nowMs: number): string {
  if (notAfterMs === 0n) return '-'
  const leftMs = Number(notAfterMs) - nowMs
  return leftMs > 0 ? formatDuration(leftMs) : 'ended'
}

function loss(reason: string, sinceMs: bigint, nowMs: number): string {
  return `${reason} for ${formatAge(Number(sinceMs), nowMs)}`
}

function suspicion(sinceMs: bigint, nowMs: number): string {
  return sinceMs > 0n ? `suspect for ${formatAge(Number(sinceMs), nowMs)}` : 'suspect'
}

export function flowTable(flows: readonly FlowView[], nowMs: number): string {
  return table(flowColumns(flows, nowMs), flows)
}

/** The columns of a list of flows. */
export function flowColumns(flows: readonly FlowView[], nowMs: number): Column<FlowView>[] {
  return [
    { title: 'DIRECTION', value: flow => flow.direction, rank: 3 },
    { title: 'SOURCE', value: flow => flow.source },
    { title: 'DESTINATION', value: flow => flow.destination },
    { title: 'PROTOCOL', value: flow => flow.protocol, rank: 2 },
    { title: 'VIA', value: flow => (flow.carrier === 'local' ? 'same host' : flow.carrier), rank: 6 },
    { title: 'IN', value: flow => formatBytes(Number(flow.bytesIn)), align: 'right' },
    { title: 'OUT', value: flow => formatBytes(Number(flow.bytesOut)), align: 'right' },
    // A connection of TCP drops nothing.
    {
      title: 'DROPPED',
      value: flow => (flow.protocol === 'udp' ? String(flow.dropped) : '-'),
      align: 'right',
      rank: 1
    },
    { title: 'AGE', value: flow => formatAge(Number(flow.openedAtMs), nowMs), rank: 4 },
    { title: 'RULE', value: flow => flow.rule, rank: 5 },
    ...(flows.some(flow => flow.problem !== '') ? [alarmColumn(nowMs)] : [])
  ]
}

function alarmColumn(nowMs: number): Column<FlowView> {
  const value = ({ cutAtMs, problem }: FlowView): string =>
    problem === '' ? '-' : `cut ${formatWhen(Number(cutAtMs), nowMs)}: ${problem}`
  return { title: 'ALARM', value, tone: ({ problem }) => (problem === '' ? undefined : 'bad') }
}

export function ruleTable(rules: readonly RuleView[], nowMs: number): string {
  const columns: Column<RuleView>[] = [
    { title: 'RULE', value: rule => rule.id },
    { title: 'EFFECT', value: rule => rule.effect, tone: ({ effect }) => (effect === 'deny' ? 'bad' : undefined) },
    { title: 'SOURCE', value: rule => rule.source },
    { title: 'DESTINATION', value: rule => rule.destination },
    { title: 'PROTOCOLS', value: rule => rule.protocols.join(',') || 'all', rank: 2 },
    { title: 'UNTIL', value: rule => formatWhen(Number(rule.untilMs), nowMs), rank: 1 },
    ...limitsColumn(rules),
    ...ownerColumn(rules),
    ...byColumns(rules, nowMs),
    { title: 'REASON', value: rule => rule.reason || '-' }
  ]
  return table(columns, rules)
}
