import type { Context } from '../context.ts'
import { parseTimeout } from '../options/receipts.ts'
import { observationLines, printable } from '../output/index.ts'
import { recordLine } from '../output/record-line.ts'
import { compare, fieldsOf, timeOf } from './audit-mesh.ts'
import { observe } from './observe.ts'

export interface EventsQuery {
  readonly sinceMs: number
  readonly names: readonly string[]
}

/** Shows the newest events of all hosts, oldest first. */
export async function showMeshEvents(
  context: Context,
  { sinceMs, names }: EventsQuery,
  timeout: string | undefined
): Promise<void> {
  const value = { sinceMs: BigInt(sinceMs), names: [...names] }
  const { complete, hosts } = await observe(context, { case: 'events', value }, parseTimeout(timeout))
  const views = hosts.map(({ machine, state, problem, events }) => {
    const { events: all = [], total = 0 } = events ?? {}
    const seen = all.map(({ name, atMs, fields }) => ({ name, at: timeOf(atMs), fields: fieldsOf(fields) }))
    return { machine, state, problem, total, events: seen }
  })
  const lines = views
    .flatMap(({ machine, events }) => events.map(event => ({ ...event, machine })))
    .sort((one, other) => compare(one.at, other.at) || compare(one.machine, other.machine))
  const width = Math.max(0, ...views.map(({ machine }) => machine.length))
  context.show({ complete, hosts: views }, () =>
    lines.map(event => printable(`${event.machine.padEnd(width)}  ${recordLine(event)}`)).join('\n')
  )
  for (const { machine, total, events } of views) {
    const missing = total - events.length
    if (missing > 0)
      context.say(`${machine}: ${missing} of its ${total} events are left out; --since and --type choose`)
  }
  for (const line of observationLines(hosts)) context.say(line)
  if (complete && lines.length === 0) context.say('nothing that is remembered happened; docs/events.md says what is')
}
