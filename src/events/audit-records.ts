import type { PeerKey } from '../identity/index.ts'
import { EVENTS, type EventFields, type EventName } from './definitions.ts'

/** The records that the audit log writes about itself. Each is signed with the key of the host, whose PeerId is `peer`. */
export interface AuditRecordFields {
  /** The agent has started. */
  'audit-opened': {
    readonly peer: PeerKey
    readonly machine: string
    readonly trustDomain: string
    readonly version: string
  }
  /** The last line was cut off in its middle, as by a crash, and is removed: its bytes, and their hex SHA-256. */
  'audit-repaired': { readonly peer: PeerKey; readonly cutBytes: number; readonly cutSha256: string }
  /** All lines before are as the agent wrote them, and on the disk. */
  'audit-checkpoint': { readonly peer: PeerKey }
  /** Nothing could be written in this time; `lost` records of that time are missing. */
  'audit-gap': {
    readonly peer: PeerKey
    readonly reason: string
    readonly lost: number
    readonly fromMs: number
    readonly toMs: number
  }
  /**
   * The first line of a file: the former one has the name `former` now. Lines up to `removedThrough`, whose line has the hex SHA-256
   * `removedHash`, are removed because the log would be too large.
   */
  'audit-rotated': {
    readonly peer: PeerKey
    readonly former: string
    readonly removedThrough: number
    readonly removedHash: string
  }
  /** `lost` lines from `first` to `last` that the receiver `target` does not get: they were removed before they could be pushed. */
  'audit-push-gap': {
    readonly peer: PeerKey
    readonly target: string
    readonly lost: number
    readonly first: number
    readonly last: number
  }
  /** The agent stops. */
  'audit-closed': { readonly peer: PeerKey }
}

export type AuditRecordName = keyof AuditRecordFields

/** Their names. */
export const AUDIT_RECORDS: readonly AuditRecordName[] = [
  'audit-opened',
  'audit-repaired',
  'audit-checkpoint',
  'audit-gap',
  'audit-rotated',
  'audit-push-gap',
  'audit-closed'
]

/** The events that are records of the audit log. */
export const AUDITED_EVENTS: readonly EventName[] = (Object.keys(EVENTS) as EventName[]).filter(
  name => EVENTS[name].isAudited
)

/** The names and fields of all records. */
export type RecordFields = EventFields & AuditRecordFields
export type RecordName = keyof RecordFields
