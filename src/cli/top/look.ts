import type { AgentClient, CallOptions } from '../../client/index.ts'
import { type FlowView, flowView } from '../output/index.ts'

/** What the agent says of itself and its flows at one moment. */
export interface Look {
  /** Wall clock. */
  readonly atMs: number
  /** Of a clock that is never set. */
  readonly monotonicMs: number
  readonly machine: string
  readonly trustDomain: string
  readonly state: string
  /** Sums over the series of a metric; those of one series under `NAME VALUE`, if the metric has one label. */
  readonly metrics: ReadonlyMap<string, number>
  readonly flows: readonly FlowView[]
}

/** Reads all of it, with one call of each kind. */
export async function look(agent: AgentClient, options: CallOptions): Promise<Look> {
  const [{ machine, trustDomain, state }, { samples }, { flows }] = await Promise.all([
    agent.workload.getStatus({}, options),
    agent.admin.getMetrics({}, options),
    agent.admin.listFlows({}, options)
  ])
  const metrics = new Map<string, number>()
  const add = (name: string, value: number): void => void metrics.set(name, (metrics.get(name) ?? 0) + value)
  for (const { name, labels, value } of samples) {
    add(name, value)
    const values = Object.values(labels)
    if (values.length > 0) for (const one of values) add(`${name} ${one}`, value)
  }
  return {
    atMs: Date.now(),
    monotonicMs: performance.now(),
    machine,
    trustDomain,
    state,
    metrics,
    flows: flows.map(flowView)
  }
}
