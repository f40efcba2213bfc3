import type { AgentClient } from '../../client/index.ts'
import type { FlowsView } from '../shapes.ts'
import { protocolName } from './protocol.ts'

/** Flows that are sent to a page: those that moved the most bytes. */
export const MAX_FLOWS = 2_000

/** The flows that this host carries now. */
export async function flowsView(agent: AgentClient, nowMs: number, signal: AbortSignal): Promise<FlowsView> {
  const { flows } = await agent.admin.listFlows({}, { signal })
  const views = flows.map(flow => ({
    id: flow.id,
    direction: flow.direction,
    source: flow.source,
    destination: flow.destination,
    protocol: protocolName(flow.protocol),
    carrier: flow.carrier,
    bytesIn: Number(flow.bytesIn),
    bytesOut: Number(flow.bytesOut),
    openedAtMs: Number(flow.openedAtMs),
    rule: flow.rule,
    problem: flow.problem
  }))
  if (views.length > MAX_FLOWS) views.sort((a, b) => b.bytesIn + b.bytesOut - (a.bytesIn + a.bytesOut))
  return { atMs: nowMs, flows: views.slice(0, MAX_FLOWS), leftOut: Math.max(0, views.length - MAX_FLOWS) }
}
