import type { AgentClient } from '../../client/index.ts'
import type { AskedView, EventsView, RefusalsView, RefusalView } from '../shapes.ts'
import { AllHosts, type Summary } from './all-hosts.ts'

/** Events that are sent to a page: the last ones. */
export const MAX_EVENTS = 1_000
const REFUSED_SINCE_MS = 3_600_000
/** Kinds of refused attempts that are sent to a page. */
export const MAX_REFUSALS = 500
/** An event whose field is longer is cut there. */
const MAX_FIELD = 1_024
/** Events of all hosts that are kept until all have answered, and of one of them: the last ones, so that none displaces those of all others. */
const MAX_KEPT = 20_000
const MAX_OF_HOST = 300
/** The console asks all hosts again and again: what each notes about that is shown to those who choose it. */
const OWN_QUESTIONS = 'question-asked'
const HOUR_MS = 3_600_000

interface Happened {
  readonly machine: string
  readonly name: string
  readonly atMs: number
  readonly fields: Readonly<Record<string, unknown>>
}

interface Others {
  readonly events: readonly Happened[]
  /** By host. */
  readonly leftOut: ReadonlyMap<string, number>
}

/** What happened on this host, and on all others as far as they can be asked. */
export class MeshEvents {
  readonly #agent: AgentClient
  readonly #nowMs: () => number
  readonly #events: AllHosts<Others>
  readonly #refusals: AllHosts<Others>

  /** `asks` asks the other hosts. */
  constructor(agent: AgentClient, nowMs: () => number, asks = agent) {
    this.#agent = agent
    this.#nowMs = nowMs
    this.#events = new AllHosts(asks, () => eventsOfHosts(nowMs()), nowMs)
    this.#refusals = new AllHosts(asks, () => eventsOfHosts(nowMs()), nowMs)
  }

  /** The last first; of one name, or of all names but one. */
  async events(machine: string, hours: number, name: string, signal: AbortSignal): Promise<EventsView> {
    const names = name === '' ? [] : [name]
    const { found, asked, leftOut } = await this.#of(this.#events, machine, hours * HOUR_MS, names, signal)
    const all = name === '' ? found.filter(one => one.name !== OWN_QUESTIONS) : found
    const events = all.sort((a, b) => b.atMs - a.atMs).slice(0, MAX_EVENTS)
    return {
      events: events.map(({ fields, ...event }) => ({ ...event, fields: Object.entries(fields).map(inWords) })),
      leftOut: all.length - events.length + leftOut,
      asked
    }
  }

  /** The attempts of the last hour that were refused, of one kind together. */
  async refusals(machine: string, signal: AbortSignal): Promise<RefusalsView> {
    const names = ['flow-refused']
    const { found, asked, leftOut } = await this.#of(this.#refusals, machine, REFUSED_SINCE_MS, names, signal)
    const kinds = new Map<string, RefusalView>()
    for (const one of found) {
      const text = (name: string): string => {
        const value = one.fields[name]
        return typeof value === 'string' ? shortened(value) : ''
      }
      const refusal = {
        source: text('source'),
        destination: text('destination'),
        protocol: text('protocol'),
        direction: text('direction'),
        code: text('code'),
        reason: text('reason')
      }
      const kind = JSON.stringify(refusal)
      const known = kinds.get(kind)
      kinds.set(kind, {
        ...refusal,
        hosts: [...new Set([...(known?.hosts ?? []), one.machine])],
        count: (known?.count ?? 0) + 1,
        lastAtMs: Math.max(known?.lastAtMs ?? 0, one.atMs)
      })
    }
    const refusals = [...kinds.values()].sort((a, b) => b.lastAtMs - a.lastAtMs)
    const more = refusals.slice(MAX_REFUSALS).reduce((sum, { count }) => sum + count, 0)
    return { refusals: refusals.slice(0, MAX_REFUSALS), leftOut: leftOut + more, asked }
  }

  /** This host says more of its own events than others get: users and processes. */
  async #of(
    hosts: AllHosts<Others>,
    machine: string,
    lastMs: number,
    names: string[],
    signal: AbortSignal
  ): Promise<{ readonly found: Happened[]; readonly asked: AskedView; readonly leftOut: number }> {
    const sinceMs = BigInt(Math.max(0, Math.floor(this.#nowMs() - lastMs)))
    const without = names.length > 0 ? [] : [OWN_QUESTIONS]
    const [own, others] = await Promise.all([
      this.#own(machine, sinceMs, names, signal),
      hosts.answers(`${lastMs} ${names.join()}`, { case: 'events', value: { sinceMs, names, without } })
    ])
    const { events, leftOut } = others.value
    const isWanted = (name: string): boolean => (names.length === 0 ? !without.includes(name) : names.includes(name))
    return {
      found: [...own, ...events.filter(one => one.machine !== machine && isWanted(one.name))],
      asked: others.asked,
      leftOut: [...leftOut].reduce((sum, [host, count]) => sum + (host === machine ? 0 : count), 0)
    }
  }

  async #own(machine: string, sinceMs: bigint, names: string[], signal: AbortSignal): Promise<Happened[]> {
    const all: Happened[] = []
    for await (const { events } of this.#agent.admin.watchEvents({ sinceMs, follow: false, names }, { signal })) {
      for (const { name, atMs, fields } of events) {
        all.push({ machine, name, atMs: Number(atMs), fields: JSON.parse(fields) as Happened['fields'] })
      }
    }
    return all
  }
}

function eventsOfHosts(nowMs: number): Summary<Others> {
  const all: Happened[] = []
  const leftOut = new Map<string, number>()
  return {
    add({ machine, events }) {
      const some = all.length < MAX_KEPT ? (events?.events ?? []).slice(-MAX_OF_HOST) : []
      leftOut.set(machine, Math.max(0, (events?.total ?? 0) - some.length))
      for (const { name, atMs, fields } of some) {
        all.push({ machine, name, atMs: Math.min(nowMs, Math.max(0, Number(atMs))), fields: fieldsOf(fields) })
      }
    },
    value: () => ({ events: all, leftOut })
  }
}

// What another host says may be anything.
function fieldsOf(text: string): Happened['fields'] {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Happened['fields']
  } catch {
    // As below.
  }
  return { unreadable: text }
}

function inWords([name, value]: [string, unknown]): readonly [string, string] {
  const isPlain = typeof value !== 'object' || value === null
  return [name, shortened(isPlain ? String(value) : JSON.stringify(value))]
}

function shortened(text: string): string {
  // A half of a pair cannot be part of a link.
  return (text.length <= MAX_FIELD ? text : `${text.slice(0, MAX_FIELD)}…`).toWellFormed()
}
