import { AUDIT_RECORDS } from './audit-records.ts'
import { EVENTS, type EventFields, type EventName } from './definitions.ts'

/** Who gets something of an event from another host, by a question to all hosts. */
export type MeshReader =
  /** Owners and observers of the mesh. */
  | 'observer'
  /** Owners. */
  | 'owner'
  /** Nobody: it does not leave the host. */
  | 'host'

/** What a host answers depends on. */
export type AskingRole = Exclude<MeshReader, 'host'>

const FLOW = {
  flowId: 'observer',
  direction: 'observer',
  source: 'observer',
  destination: 'observer',
  protocol: 'observer',
  carrier: 'observer',
  rule: 'observer',
  sourceProcess: 'host',
  destinationProcess: 'host'
} as const
const REGISTRATION = { spiffeId: 'observer', registrationId: 'observer', uid: 'host' } as const
const TOKEN = { tokenId: 'owner', machine: 'owner', uid: 'host' } as const
const ADMISSION = { machine: 'owner', remote: 'owner', method: 'owner', via: 'owner' } as const
const HOST = { peer: 'observer', machine: 'observer' } as const

/**
 * Who gets each field of each event. No process and no user leaves its host; the text of a refusal or an end may name the user of a
 * port, so observers get the code or the kind only.
 */
export const FIELD_READERS: {
  readonly [N in EventName]: { readonly [F in keyof EventFields[N]]-?: MeshReader }
} = Object.freeze({
  'policy-changed': { version: 'observer', reason: 'observer' },
  'rule-changed': { change: 'owner', subject: 'owner', uid: 'host' },
  'policy-refused': { version: 'observer', reason: 'observer' },
  'policy-unheard': { boundMs: 'observer' },
  'policy-heard': { admin: 'observer' },
  'trust-changed': { version: 'observer', reason: 'observer', gone: 'observer' },
  'question-asked': { peer: 'owner', machine: 'owner', question: 'owner' },
  'registry-changed': { ...HOST, cause: 'observer', added: 'observer', removed: 'observer' },
  'registration-added': { ...REGISTRATION, pid: 'host', executable: 'host' },
  'registration-ended': { ...REGISTRATION, reason: 'observer', code: 'observer' },
  'health-changed': { ...REGISTRATION, health: 'observer' },
  'certificate-renewed': { machine: 'observer', notAfterMs: 'observer' },
  'profile-changed': {},
  'addresses-changed': { added: 'observer', gone: 'observer' },
  'host-connected': HOST,
  'host-disconnected': HOST,
  'host-suspected': { ...HOST, reason: 'observer' },
  'host-answers': HOST,
  'host-lost': { ...HOST, cause: 'observer' },
  'refused-by-host': { machine: 'observer', reason: 'observer' },
  'unknown-root-shown': {},
  evicted: { reason: 'observer' },
  'eviction-undone': {},
  'token-created': { ...TOKEN, notAfterMs: 'owner' },
  'token-revoked': TOKEN,
  'host-admitted': ADMISSION,
  'host-waits': ADMISSION,
  'join-refused': { remote: 'owner', reason: 'owner', method: 'owner' },
  'flow-opened': FLOW,
  'flow-refused': { ...FLOW, code: 'observer', reason: 'owner' },
  'flow-audited': { ...FLOW, reason: 'observer' },
  'flow-waits': { ...FLOW, windowMs: 'observer' },
  'flow-resumed': FLOW,
  'flow-ended': {
    ...FLOW,
    reason: 'owner',
    kind: 'observer',
    bytesIn: 'observer',
    bytesOut: 'observer',
    durationMs: 'observer'
  }
})

const OWN_RECORDS: ReadonlySet<string> = new Set(AUDIT_RECORDS)

/** Who gets from other hosts that an event happened there: what is for the admin of a host alone is for owners. */
export function meshReaderOf(name: EventName): AskingRole {
  return EVENTS[name].audience === 'admin' ? 'owner' : 'observer'
}

/**
 * The fields of a record of an audit log that somebody of this role gets from another host; undefined if the record is not for it.
 * A record or a field that is not in the table is for nobody. What the log writes about itself names no workload: it is for both roles.
 */
export function readableFields(
  name: string,
  fields: Readonly<Record<string, unknown>>,
  role: AskingRole
): Readonly<Record<string, unknown>> | undefined {
  if (OWN_RECORDS.has(name)) return fields
  if (!Object.hasOwn(EVENTS, name)) return undefined
  const event = name as EventName
  if (!mayRead(meshReaderOf(event), role)) return undefined
  const readers: Readonly<Record<string, MeshReader>> = FIELD_READERS[event]
  return Object.fromEntries(
    Object.entries(fields).filter(([field]) => Object.hasOwn(readers, field) && mayRead(readers[field], role))
  )
}

function mayRead(reader: MeshReader | undefined, role: AskingRole): boolean {
  return reader === 'observer' || (reader === 'owner' && role === 'owner')
}
