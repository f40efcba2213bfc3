import type { AgentClient } from '../../client/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { FlowsView, FlowView } from '../shapes.ts'
import { AllHosts, type Summary } from './all-hosts.ts'
import { protocolName } from './protocol.ts'

/** Flows that are sent to a page: those that moved the most bytes. */
export const MAX_FLOWS = 2_000
/** Flows of all hosts that are kept until all have answered. */
const MAX_KEPT = 20_000

/** The flows that this host carries now. */
export async function flowsView(
  agent: AgentClient,
  machine: string,
  nowMs: number,
  signal: AbortSignal
): Promise<FlowsView> {
  const { flows } = await agent.admin.listFlows({}, { signal })
  return { atMs: nowMs, ...busiest(flows.map(flow => flowView(flow, machine))) }
}

/** The flows of all hosts. */
export class MeshFlows {
  readonly #hosts: AllHosts<Omit<FlowsView, 'atMs'>>

  constructor(agent: AgentClient, nowMs: () => number) {
    this.#hosts = new AllHosts(agent, flowsOfHosts, nowMs)
  }

  async view(): Promise<FlowsView> {
    const { value, asked } = await this.#hosts.answers('', { case: 'flows', value: {} })
    return { atMs: asked.askedAtMs, ...value, asked }
  }
}

/** One flow is seen by the hosts of both its ends, and by a relay. */
function flowsOfHosts(): Summary<Omit<FlowsView, 'atMs'>> {
  const all = new Map<string, FlowView>()
  let leftOut = 0
  return {
    add({ machine, flows, flowsTotal }) {
      leftOut += Math.max(0, flowsTotal - flows.length)
      for (const flow of flows) {
        const view = flowView(flow, machine)
        const key = `${view.id} ${view.source} ${view.destination}`
        const known = all.get(key)
        if (known === undefined && all.size >= MAX_KEPT) leftOut += 1
        else if (known === undefined) all.set(key, view)
        else {
          const hosts = known.hosts.includes(machine) ? known.hosts : [...known.hosts, machine]
          all.set(key, { ...(view.direction === 'outbound' ? view : known), hosts })
        }
      }
    },
    value() {
      const shown = busiest([...all.values()])
      return { ...shown, leftOut: shown.leftOut + leftOut }
    }
  }
}

function busiest(views: FlowView[]): Omit<FlowsView, 'atMs'> {
  if (views.length > MAX_FLOWS) views.sort((a, b) => b.bytesIn + b.bytesOut - (a.bytesIn + a.bytesOut))
  return { flows: views.slice(0, MAX_FLOWS), leftOut: Math.max(0, views.length - MAX_FLOWS) }
}

function flowView(flow: adminPb.Flow, machine: string): FlowView {
  return {
    id: flow.id,
    hosts: [machine],
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
  }
}
