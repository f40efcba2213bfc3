import type { MessageInitShape } from '@bufbuild/protobuf'
import type { adminPb } from '../../wire/index.ts'
import type { Context } from '../context.ts'
import { Exit } from '../exit.ts'
import { parseTimeout } from '../options/receipts.ts'
import {
  consequencesText,
  consequencesView,
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
  const { complete, hosts } = await observe(context, { case: 'flows', value: {} }, parseTimeout(timeout))
  const views = hosts.map(({ flows, flowsTotal, ...host }) => ({ ...host, flowsTotal, flows: flows.map(flowView) }))
  context.show({ complete, hosts: views }, () => meshFlowTable(views, Date.now()))
  sayLeftOut(context, views)
  for (const line of observationLines(hosts)) context.say(line)
}

/** Lists what a rule or a policy would end on every host. */
export async function previewOnMesh(
  context: Context,
  ask: NonNullable<Extract<Ask, { case: 'rule' | 'policy' }>>,
  timeout: string | undefined
): Promise<void> {
  const { complete, hosts } = await observe(context, ask, parseTimeout(timeout))
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
  timeoutMs: number
): Promise<{ readonly complete: boolean; readonly hosts: readonly ObservationView[] }> {
  const hosts: ObservationView[] = []
  let complete = false
  for await (const answer of agent.admin.observe({ ask, timeoutMs })) {
    hosts.push(...answer.hosts.map(observationView))
    complete = answer.complete
  }
  if (!complete) process.exitCode = Exit.Incomplete
  // They answer in any order; a list that is read twice has one.
  return { complete, hosts: hosts.sort((a, b) => (a.machine < b.machine ? -1 : 1)) }
}
