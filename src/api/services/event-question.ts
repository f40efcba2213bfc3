import type { MessageInitShape } from '@bufbuild/protobuf'
import { type EventHistory, KEPT_EVENTS, type Occurrence, readableFields } from '../../events/index.ts'
import type { AdminKey } from '../../policy/index.ts'
import type { adminPb } from '../../wire/index.ts'
import { type AuditQuestionDeps, requireRole } from './audit-question.ts'
import { eventMessage } from './events.ts'

export interface EventQuestionDeps extends Pick<AuditQuestionDeps, 'policy'> {
  readonly history: Pick<EventHistory, 'recent'>
}

type Message = MessageInitShape<typeof adminPb.EventSchema>

/** They fit in one answer, with what is around them. */
const MAX_EVENTS_BYTES = 27 * 1_024
/** Numbers and lengths around an event in its message, at most. */
const EVENT_OVERHEAD_BYTES = 24

/** What happened on this host, for an admin: the newest events, with the fields that its role may read. Throws NOT_ADMIN. */
export function eventsFor(
  deps: EventQuestionDeps,
  { sinceMs, names, without }: adminPb.EventsQuestion,
  signer: AdminKey | undefined
): MessageInitShape<typeof adminPb.ObservedEventsSchema> {
  const role = requireRole(deps, signer)
  const wanted = KEPT_EVENTS.filter(name => (names.length === 0 || names.includes(name)) && !without.includes(name))
  const view = ({ fields, ...rest }: Occurrence): Message | undefined => {
    const readable = readableFields(rest.name, { ...fields }, role)
    return readable === undefined ? undefined : eventMessage({ ...rest, fields: readable })
  }
  const found = deps.history.recent(wanted, Number(sinceMs)).map(view)
  const all = found.filter(one => one !== undefined)
  let first = all.length
  for (let room = MAX_EVENTS_BYTES; first > 0; first -= 1) {
    const { name = '', fields = '' } = all[first - 1] as Message
    room -= Buffer.byteLength(fields) + name.length + EVENT_OVERHEAD_BYTES
    if (room < 0) break
  }
  return { events: all.slice(first), total: all.length }
}
