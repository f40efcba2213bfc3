import type { MessageInitShape } from '@bufbuild/protobuf'
import type { adminPb, apiPb } from '../../wire/index.ts'
import type { Context } from '../context.ts'
import { Exit } from '../exit.ts'
import { parseTimeout } from '../options/receipts.ts'
import {
  consequencesText,
  consequencesView,
  explanation,
  fields,
  flowView,
  meshFlowTable,
  type ObservationView,
  observationLines,
  observationView
} from '../output/index.ts'

/** What every host can be asked. */
export type Ask = NonNullable<MessageInitShape<typeof adminPb.ObserveRequestSchema>['ask']>

/** Lists the flows of all hosts. */
export async function showMeshFlows(context: Context, timeout: string | undefined): Promise<void> {
  const { complete, hosts } = await observe(context, { case: 'flows', value: {} }, timeout)
  const views = hosts.map(({ flows, flowsTotal, ...host }) => ({ ...host, flowsTotal, flows: flows.map(flowView) }))
  context.show({ complete, hosts: views }, () => meshFlowTable(views, Date.now()))
  sayLeftOut(context, views)
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

/** Lists what a rule or a policy would end on every host. */
export async function previewOnMesh(
  context: Context,
  ask: NonNullable<Extract<Ask, { case: 'rule' | 'policy' }>>,
  timeout: string | undefined
): Promise<void> {
  const { complete, hosts } = await observe(context, ask, timeout)
  const views = hosts.map(({ machine, state, problem, flowsTotal, consequences }) => {
    const { flows, registrations } = consequencesView(consequences)
    return { machine, state, problem, flowsTotal, flows, registrations }
  })
  context.show({ dryRun: true, complete, hosts: views }, () =>
    views
      .filter(({ flows, registrations }) => flows.length + registrations.length > 0)
      .map(view => `${view.machine}\n${consequencesText(view)}`)
      .join('\n\n')
  )
  sayLeftOut(context, views)
  for (const line of observationLines(hosts)) context.say(line)
  const flows = views.reduce((sum, { flowsTotal }) => sum + flowsTotal, 0)
  const registrations = views.reduce((sum, view) => sum + view.registrations.length, 0)
  context.say(
    `nothing was changed; flows that would be cut, counted on each host: ${flows}; registrations that would end: ${registrations}`
  )
}

function sayLeftOut(
  { say }: Context,
  hosts: ReadonlyArray<{ readonly machine: string; readonly flowsTotal: number; readonly flows: readonly unknown[] }>
): void {
  for (const { machine, flowsTotal, flows } of hosts) {
    const missing = flowsTotal - flows.length
    if (missing > 0) say(`${machine}: ${missing} of its ${flowsTotal} flows are left out: too many`)
  }
}

/** Asks every host. The answers are in the order of the names of the hosts; the exit code says whether one is missing. */
export async function observe(
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
  // They answer in any order; a list that is read twice has one.
  return { complete, hosts: hosts.sort((a, b) => (a.machine < b.machine ? -1 : 1)) }
}
