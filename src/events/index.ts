export {
  AUDIT_RECORDS,
  AUDITED_EVENTS,
  type AuditRecordFields,
  type AuditRecordName,
  type RecordFields,
  type RecordName
} from './audit-records.ts'
export { EventBus, type EventHandler, type EventSink, type EventSource, silentEvents } from './bus.ts'
export {
  type Audience,
  EVENTS,
  type EventDefinition,
  type EventFields,
  type EventName,
  type FlowFields,
  type ProcessFields,
  type RegistrationEnd,
  type RegistrationFields,
  type Retention,
  type RuleChange
} from './definitions.ts'
export {
  EventHistory,
  KEPT_EVENTS,
  KEPT_MS,
  MAX_KEPT_PER_EVENT,
  type Occurrence,
  type Occurrences
} from './history.ts'
export { type AskingRole, FIELD_READERS, type MeshReader, meshReaderOf, readableFields } from './readers.ts'
