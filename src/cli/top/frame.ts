import { ErrorCode } from '../../core/index.ts'
import type { FlowView } from '../output/index.ts'
import type { Look } from './look.ts'

export const GROUPS = ['flow', 'source', 'destination', 'carrier'] as const
export type Group = (typeof GROUPS)[number]

export const ORDERS = ['rate', 'bytes', 'age', 'name'] as const
export type Order = (typeof ORDERS)[number]

/** A flow, or all flows of one source, destination or carrier. */
export interface Row {
  /** Of a single flow. */
  readonly id?: string
  readonly source?: string
  readonly destination?: string
  readonly carrier?: string
  readonly protocol?: string
  readonly flows: number
  /** Bytes since the flow was opened. "out" is from the source to the destination. */
  readonly bytesIn: number
  readonly bytesOut: number
  readonly bytesInPerSecond: number
  readonly bytesOutPerSecond: number
  /** Of the oldest one. */
  readonly openedAtMs: number
}

/** What happened between two looks. */
export interface Frame {
  readonly at: string
  readonly intervalMs: number
  readonly machine: string
  readonly trustDomain: string
  readonly state: string
  readonly agent: {
    /** Of one core. */
    readonly cpuPercent: number
    readonly residentBytes: number
    readonly eventLoopLagMs: number
    readonly openFiles: number
  }
  readonly members: { readonly connected: number; readonly alive: number; readonly suspect: number }
  readonly registrations: number
  readonly sessions: number
  readonly flows: number
  readonly opensPerSecond: number
  /** By policy. */
  readonly refusalsPerSecond: number
  /** For any other reason. */
  readonly failuresPerSecond: number
  readonly bytesInPerSecond: number
  readonly bytesOutPerSecond: number
  readonly by: Group
  /** Sorted. There may be more than are shown. */
  readonly rows: readonly Row[]
}

export interface FrameOptions {
  readonly by: Group
  readonly order: Order
}

/** Compares two looks at one agent. One that has restarted between them counts from zero. */
export function frameOf(before: Look, now: Look, { by, order }: FrameOptions): Frame {
  const seconds = Math.max(1, now.monotonicMs - before.monotonicMs) / 1_000
  const present = (name: string): number => now.metrics.get(name) ?? 0
  const grown = (name: string): number => growth(before.metrics.get(name) ?? 0, present(name))
  const perSecond = (name: string): number => grown(name) / seconds
  const refused = perSecond(`warren_flows_failed_total ${ErrorCode.Unauthorized}`)
  return {
    at: new Date(now.atMs).toISOString(),
    intervalMs: Math.round(seconds * 1_000),
    machine: now.machine,
    trustDomain: now.trustDomain,
    state: now.state,
    agent: {
      cpuPercent: rounded(100 * perSecond('warren_process_cpu_seconds_total')),
      residentBytes: present('warren_process_resident_memory_bytes'),
      eventLoopLagMs: rounded(1_000 * present('warren_nodejs_eventloop_lag_p99_seconds')),
      openFiles: present('warren_process_open_fds')
    },
    members: {
      connected: present('warren_members connected'),
      alive: present('warren_members alive'),
      suspect: present('warren_members suspect')
    },
    registrations: present('warren_registrations'),
    sessions: present('warren_sessions'),
    flows: now.flows.length,
    opensPerSecond: rounded(perSecond('warren_flows_opened_total')),
    refusalsPerSecond: rounded(refused),
    failuresPerSecond: rounded(Math.max(0, perSecond('warren_flows_failed_total') - refused)),
    bytesInPerSecond: Math.round(perSecond('warren_flow_bytes_total in')),
    bytesOutPerSecond: Math.round(perSecond('warren_flow_bytes_total out')),
    by,
    rows: sorted(grouped(flowRows(before.flows, now.flows, seconds), by), order)
  }
}

function flowRows(before: readonly FlowView[], now: readonly FlowView[], seconds: number): Row[] {
  const former = new Map(before.map(flow => [keyOf(flow), flow]))
  return now.map(flow => {
    const then = former.get(keyOf(flow))
    const rate = (name: 'bytesIn' | 'bytesOut'): number =>
      Math.round(growth(Number(then?.[name] ?? 0), Number(flow[name])) / seconds)
    return {
      id: flow.id,
      source: flow.source,
      destination: flow.destination,
      carrier: flow.carrier,
      protocol: flow.protocol,
      flows: 1,
      bytesIn: Number(flow.bytesIn),
      bytesOut: Number(flow.bytesOut),
      bytesInPerSecond: rate('bytesIn'),
      bytesOutPerSecond: rate('bytesOut'),
      openedAtMs: Number(flow.openedAtMs)
    }
  })
}

function grouped(rows: readonly Row[], by: Group): readonly Row[] {
  if (by === 'flow') return rows
  return [...Map.groupBy(rows, row => row[by] ?? '')].map(([name, part]) => {
    const sum = (of: (row: Row) => number): number => part.reduce((total, row) => total + of(row), 0)
    return {
      [by]: name,
      flows: part.length,
      bytesIn: sum(row => row.bytesIn),
      bytesOut: sum(row => row.bytesOut),
      bytesInPerSecond: sum(row => row.bytesInPerSecond),
      bytesOutPerSecond: sum(row => row.bytesOutPerSecond),
      openedAtMs: part.reduce((oldest, { openedAtMs }) => Math.min(oldest, openedAtMs), Number.POSITIVE_INFINITY)
    }
  })
}

function sorted(rows: readonly Row[], order: Order): readonly Row[] {
  const name = ({ source = '', destination = '', carrier = '' }: Row): string => `${source} ${destination} ${carrier}`
  const byName = (one: Row, other: Row): number => (name(one) < name(other) ? -1 : name(one) > name(other) ? 1 : 0)
  const first: Readonly<Record<Order, (one: Row, other: Row) => number>> = {
    rate: (one, other) => rateOf(other) - rateOf(one),
    bytes: (one, other) => other.bytesIn + other.bytesOut - one.bytesIn - one.bytesOut,
    age: (one, other) => one.openedAtMs - other.openedAtMs,
    name: byName
  }
  // Idle flows stay where they are from one frame to the next.
  return rows.toSorted((one, other) => first[order](one, other) || byName(one, other))
}

function rateOf({ bytesInPerSecond, bytesOutPerSecond }: Row): number {
  return bytesInPerSecond + bytesOutPerSecond
}

function keyOf({ id, direction }: FlowView): string {
  return `${direction} ${id}`
}

function growth(before: number, now: number): number {
  return now >= before ? now - before : now
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}
