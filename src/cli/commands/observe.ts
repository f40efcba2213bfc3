import type { MessageInitShape } from '@bufbuild/protobuf'
import type { adminPb, apiPb } from '../../wire/index.ts'
import type { Context } from '../context.ts'
import { Exit } from '../exit.ts'
import { parseTimeout } from '../options/receipts.ts'
import {
  explanation,
  fields,
  flowView,
  meshFlowTable,
  type ObservationView,
  observationLines,
  observationView
} from '../output/index.ts'

type Ask = NonNullable<MessageInitShape<typeof adminPb.ObserveRequestSchema>['ask']>

/** Lists the flows of all hosts. */
export async function showMeshFlows(context: Context, timeout: string | undefined): Promise<void> {
  const { complete, hosts } = await observe(context, { case: 'flows', value: {} }, timeout)
  const views = hosts.map(({ flows, flowsTotal, ...host }) => ({ ...host, flowsTotal, flows: flows.map(flowView) }))
  context.show({ complete, hosts: views }, () => meshFlowTable(views, Date.now()))
  for (const host of views) {
    const missing = host.flowsTotal - host.flows.length
    if (missing > 0) context.say(`${host.machine}: ${missing} of its ${host.flowsTotal} flows are left out: too many`)
  }
  for (const line of observationLines(hosts)) context.say(line)
}

/** Shows what the hosts of both ends see of a connection. */
export async function explainOnMesh(
  context: Context,
  connection: { readonly source: string; readonly destination: string; readonly protocol: apiPb.Protocol },
  timeout: string | undefined
): Promise<void> {
  const { complete, hosts } = await observe(context, { case: 'explain', value: connection }, timeout)
  const views = hosts.flatMap(({ machine, connections }) =>
    connections.map(({ role, works, steps }) => ({ machine, role, works, steps: steps.map(fields) }))
  )
  const ends = (role: string): boolean => views.some(view => view.role === role && view.works)
  const isOnOne = (machine: string): boolean => views.every(view => view.machine === machine)
  const sourceWorks = ends('source')
  // The host of the source sees both ends if they are the same host.
  const works = sourceWorks && (ends('destination') || (views[0] !== undefined && isOnOne(views[0].machine)))
  context.show({ works, complete, hosts: views }, () =>
    views.map(view => `${view.machine}, host of the ${view.role}\n${explanation(view.works, view.steps)}`).join('\n\n')
  )
  for (const line of observationLines(hosts)) context.say(line)
  if (views.length === 0)
    context.say('neither end is registered on a host that answered; `warren explain` without --mesh says more')
  if (!works) process.exitCode = Exit.Failed
}

async function observe(
  { agent }: Context,
  ask: Ask,
  timeout: string | undefined
): Promise<{ readonly complete: boolean; readonly hosts: readonly ObservationView[] }> {
  const hosts: ObservationView[] = []
  let complete = false
  for await (const answer of agent.admin.observe({ ask, timeoutMs: parseTimeout(timeout) })) {
    hosts.push(...answer.hosts.map(observationView))
    complete = answer.complete
  }
  if (!complete) process.exitCode = Exit.Incomplete
  return { complete, hosts }
}
