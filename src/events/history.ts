import { ChangeSignal, type Clock, raceAbort } from '../core/index.ts'
import type { EventSource } from './bus.ts'
import { EVENTS, type EventFields, type EventName } from './definitions.ts'

/** An event that happened. */
export interface Occurrence {
  readonly name: EventName
  /** By the clock of the host. */
  readonly atMs: number
  readonly fields: EventFields[EventName]
}

/** Some occurrences, oldest first, and the number of those that were forgotten before they were read. */
export interface Occurrences {
  readonly events: readonly Occurrence[]
  readonly missed: number
}

interface Kept extends Occurrence {
  /** In the order in which they happened, over all names. */
  readonly order: number
}

/** Kept of each name: a storm of one kind does not push out the others. An event takes about 500 bytes. */
export const MAX_KEPT_PER_EVENT = 256
/** For how long an event is kept at most, in milliseconds. */
export const KEPT_MS = 86_400_000
/** Sent at once; a reader that is slower gets the rest in further answers. */
const MAX_BATCH = 256

/** Ends of flows that nobody has to look into: both ends closed them, or their datagrams stopped. */
const ORDERLY: ReadonlySet<string> = new Set(['ended', 'done'])

/** Names that are kept: all but those that are only for current subscribers. */
export const KEPT_EVENTS: readonly EventName[] = (Object.keys(EVENTS) as EventName[]).filter(
  name => EVENTS[name].retention !== 'none'
)

/**
 * Keeps what happened on this host, in memory: the last 256 events of each name, for a day. Of the ends of flows only those that
 * were no orderly ends are kept, since a busy host has thousands of the others in a second.
 */
export class EventHistory {
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #kept = new Map<EventName, Kept[]>(KEPT_EVENTS.map(name => [name, []]))
  readonly #counts = new Map<EventName, number>()
  readonly #signal = new ChangeSignal()
  #order = 0

  constructor(clock: Pick<Clock, 'wallMs'>) {
    this.#clock = clock
  }

  /** Keeps what happens from now on. Call it after what has to take effect first has subscribed. */
  record(events: EventSource): void {
    for (const name of KEPT_EVENTS) events.on(name, fields => this.#add(name, fields))
  }

  /** What is remembered of `names` since `sinceMs`. */
  recent(names: readonly EventName[], sinceMs: number): readonly Occurrence[] {
    const fromMs = Math.max(sinceMs, this.#clock.wallMs() - KEPT_MS)
    return this.#after(names, -1).filter(({ atMs }) => atMs >= fromMs)
  }

  /** The same in parts, and then what happens, until `signal` aborts. Never more than 256 events at once. */
  async *follow(names: readonly EventName[], sinceMs: number, signal: AbortSignal): AsyncGenerator<Occurrences> {
    const first = this.recent(names, sinceMs)
    let [order, count] = [this.#order - 1, this.#countOf(names)]
    for (let at = 0; at < first.length; at += MAX_BATCH) yield { events: first.slice(at, at + MAX_BATCH), missed: 0 }
    while (!signal.aborted) {
      const change = this.#signal.changed()
      const fresh = this.#after(names, order)
      const events = fresh.slice(0, MAX_BATCH)
      const last = events.at(-1)
      if (last === undefined) {
        await raceAbort(change, signal)
        continue
      }
      const happened = this.#countOf(names) - count
      const missed = happened - fresh.length
      count += missed + events.length
      order = last.order
      yield { events, missed }
    }
  }

  #add<N extends EventName>(name: N, fields: EventFields[N]): void {
    if (name === 'flow-ended' && ORDERLY.has((fields as EventFields['flow-ended']).kind)) return
    const kept = this.#kept.get(name)
    if (kept === undefined) return
    kept.push({ name, atMs: this.#clock.wallMs(), fields, order: this.#order })
    if (kept.length > MAX_KEPT_PER_EVENT) kept.shift()
    this.#order += 1
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    this.#signal.fire()
  }

  #after(names: readonly EventName[], order: number): Kept[] {
    return names
      .flatMap(name => (this.#kept.get(name) ?? []).filter(one => one.order > order))
      .sort((one, other) => one.order - other.order)
  }

  #countOf(names: readonly EventName[]): number {
    return names.reduce((sum, name) => sum + (this.#counts.get(name) ?? 0), 0)
  }
}
