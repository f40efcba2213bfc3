import type { Context } from '../context.ts'
import { parseTimeout } from '../options/receipts.ts'
import { observationLines, serviceTable, serviceView } from '../output/index.ts'
import { observe } from './observe.ts'

/** Lists the registrations of all hosts as each of them sees its own, with what keeps them from serving. */
export async function showMeshServices(context: Context, pattern: string, timeout: string | undefined): Promise<void> {
  const { complete, hosts } = await observe(context, { case: 'services', value: { pattern } }, parseTimeout(timeout))
  const views = hosts.map(({ machine, state, problem, services: observed }) => {
    const { services = [], total = 0 } = observed ?? {}
    // A host speaks for itself, whatever it says.
    const own = services.map(service => ({ ...serviceView(service), machine, local: false }))
    return { machine, state, problem, total, services: own }
  })
  const all = views.flatMap(({ services }) => services)
  context.show({ complete, hosts: views }, () => (all.length === 0 ? '' : serviceTable(all, Date.now())))
  for (const { machine, total, services } of views) {
    const missing = total - services.length
    if (missing > 0) context.say(`${machine}: ${missing} of its ${total} registrations are left out; a pattern chooses`)
  }
  for (const line of observationLines(hosts)) context.say(line)
  if (complete && all.length === 0) context.say('nothing is registered that matches')
}
