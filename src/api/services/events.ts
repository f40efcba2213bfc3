import type { MessageInitShape } from '@bufbuild/protobuf'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type EventHistory, type EventName, KEPT_EVENTS, type Occurrence } from '../../events/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../handlers.ts'

const BATCH = 256

/** The call for what happened on this host. */
export function eventHandlers(history: Pick<EventHistory, 'recent' | 'follow'>): Pick<AdminHandlers, 'watchEvents'> {
  return {
    async *watchEvents({ sinceMs, follow, names }, { share }, signal) {
      const wanted = requireNames(names)
      if (!follow) {
        const all = share.timed(() => history.recent(wanted, Number(sinceMs)).map(eventMessage))
        for (let at = 0; at < all.length; at += BATCH) yield { events: all.slice(at, at + BATCH), missed: 0n }
        return
      }
      for await (const { events, missed } of history.follow(wanted, Number(sinceMs), signal)) {
        yield { events: share.timed(() => events.map(eventMessage)), missed: BigInt(missed) }
        await share.turn(signal)
      }
    }
  }
}

/** The events of these names, or all. Throws INVALID_ARGUMENT for a name that is not remembered. */
export function requireNames(names: readonly string[]): readonly EventName[] {
  if (names.length === 0) return KEPT_EVENTS
  const known: ReadonlySet<string> = new Set(KEPT_EVENTS)
  const unknown = names.find(name => !known.has(name))
  if (unknown === undefined) return [...new Set(names)] as EventName[]
  throw new WarrenError(ErrorCode.InvalidArgument, `no event "${unknown.slice(0, 80)}" is remembered`, {
    hint: `There are: ${KEPT_EVENTS.join(', ')}.`
  })
}

/** An event with all its fields, or with some of them. */
export function eventMessage({
  name,
  atMs,
  fields
}: Omit<Occurrence, 'fields'> & { readonly fields: object }): MessageInitShape<typeof adminPb.EventSchema> {
  return { name, atMs: BigInt(Math.round(atMs)), fields: JSON.stringify(fields, plain) }
}

// Versions are counted in bigints, and stay far below what a number holds.
function plain(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}
