import type { AgentClient } from '../../client/index.ts'
import type { EventsView, RefusalsView, RefusalView } from '../shapes.ts'

/** Events that are sent to a page: the last ones. */
export const MAX_EVENTS = 1_000
const REFUSED_SINCE_MS = 3_600_000
/** Kinds of refused attempts that are sent to a page. */
export const MAX_REFUSALS = 500
/** An event whose field is longer is cut there. */
const MAX_FIELD = 1_024

interface Happened {
  readonly name: string
  readonly atMs: number
  readonly fields: Readonly<Record<string, unknown>>
}

/** What happened on this host since then, the last first. */
export async function eventsView(agent: AgentClient, sinceMs: number, signal: AbortSignal): Promise<EventsView> {
  const all = await happened(agent, sinceMs, [], signal)
  const events = all.slice(-MAX_EVENTS).reverse()
  return {
    events: events.map(({ name, atMs, fields }) => ({ name, atMs, fields: Object.entries(fields).map(inWords) })),
    leftOut: all.length - events.length
  }
}

/** The attempts of the last hour that were refused, of one kind together. */
export async function refusalsView(agent: AgentClient, nowMs: number, signal: AbortSignal): Promise<RefusalsView> {
  const sinceMs = nowMs - REFUSED_SINCE_MS
  const kinds = new Map<string, RefusalView>()
  for (const { atMs, fields } of await happened(agent, sinceMs, ['flow-refused'], signal)) {
    const text = (name: string): string => shortened(String(fields[name] ?? ''))
    const refusal = {
      source: text('source'),
      destination: text('destination'),
      protocol: text('protocol'),
      direction: text('direction'),
      code: text('code'),
      reason: text('reason')
    }
    const kind = JSON.stringify(refusal)
    kinds.set(kind, { ...refusal, count: (kinds.get(kind)?.count ?? 0) + 1, lastAtMs: atMs })
  }
  const refusals = [...kinds.values()].sort((a, b) => b.lastAtMs - a.lastAtMs).slice(0, MAX_REFUSALS)
  return { sinceMs, refusals }
}

async function happened(
  agent: AgentClient,
  sinceMs: number,
  names: string[],
  signal: AbortSignal
): Promise<Happened[]> {
  const all: Happened[] = []
  const request = { sinceMs: BigInt(Math.max(0, Math.floor(sinceMs))), follow: false, names }
  for await (const { events } of agent.admin.watchEvents(request, { signal })) {
    for (const { name, atMs, fields } of events) {
      all.push({ name, atMs: Number(atMs), fields: JSON.parse(fields) as Happened['fields'] })
    }
  }
  return all
}

function inWords([name, value]: [string, unknown]): readonly [string, string] {
  const isPlain = typeof value !== 'object' || value === null
  return [name, shortened(isPlain ? String(value) : JSON.stringify(value))]
}

function shortened(text: string): string {
  return text.length <= MAX_FIELD ? text : `${text.slice(0, MAX_FIELD)}…`
}
