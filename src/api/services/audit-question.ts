import type { MessageInitShape } from '@bufbuild/protobuf'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type AskingRole, readableFields } from '../../events/index.ts'
import { type AdminKey, roleOf } from '../../policy/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { PolicyCodeDeps } from './policy-code.ts'

/** A line of an audit log, as far as it is asked for. */
interface Line {
  readonly seq: number
  readonly at: string
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

type Message = MessageInitShape<typeof adminPb.AuditRecordSchema>

/** The audit log of this host. */
export interface AuditToSearch {
  readonly newest: (
    search: {
      readonly selection: {
        readonly source: string | undefined
        readonly destination: string | undefined
        readonly sinceMs: number | undefined
        readonly events: readonly string[] | undefined
      }
      readonly last: number
      readonly maxBytes: number
      readonly view: (line: Line) => { readonly value: Message; readonly bytes: number } | undefined
    },
    admin: string,
    signal: AbortSignal
  ) => Promise<{
    readonly values: readonly Message[]
    readonly total: number
    readonly searchedFromMs: number | undefined
  }>
}

export interface AuditQuestionDeps extends Pick<PolicyCodeDeps, 'policy'> {
  /** Undefined: this host has none. */
  readonly audit?: AuditToSearch | undefined
}

const MAX_RECORDS = 1_000
/** They fit in one answer, with what is around them. */
const MAX_RECORDS_BYTES = 27 * 1_024
/** Numbers and lengths around a record in its message, at most. */
const RECORD_OVERHEAD_BYTES = 32

/** The role of an admin who asks, by the policy in force here; undefined is the admin of this host. Throws NOT_ADMIN. */
export function requireRole({ policy: { sets } }: AuditQuestionDeps, signer: AdminKey | undefined): AskingRole {
  const key = signer ?? sets.ownKey
  const role = key === undefined ? undefined : roleOf(sets.inForce, key)
  if (role === 'owner' || role === 'observer') return role
  throw new WarrenError(ErrorCode.NotAdmin, 'whoever asks is no owner and no observer here')
}

/** What the audit log of this host has for an admin: the fields that its role may read, by the event schema. */
export async function auditFor(
  deps: AuditQuestionDeps,
  { source, destination, sinceMs, names, last }: adminPb.AuditQuestion,
  signer: AdminKey | undefined,
  signal: AbortSignal
): Promise<MessageInitShape<typeof adminPb.AuditRecordsSchema>> {
  const role = requireRole(deps, signer)
  if (deps.audit === undefined) throw new WarrenError(ErrorCode.NotFound, 'it has no audit log: `warren up --audit on`')
  const selection = {
    source: source === '' ? undefined : source,
    destination: destination === '' ? undefined : destination,
    sinceMs: sinceMs === 0n ? undefined : Number(sinceMs),
    events: names.length === 0 ? undefined : names
  }
  const view = ({ seq, at, event, fields }: Line): { value: Message; bytes: number } | undefined => {
    const readable = readableFields(event, fields, role)
    if (readable === undefined) return undefined
    const text = JSON.stringify(readable)
    const bytes = Buffer.byteLength(text) + event.length + RECORD_OVERHEAD_BYTES
    return { value: { seq: BigInt(seq), atMs: BigInt(Date.parse(at) || 0), name: event, fields: text }, bytes }
  }
  const search = {
    selection,
    last: Math.min(last === 0 ? MAX_RECORDS : last, MAX_RECORDS),
    maxBytes: MAX_RECORDS_BYTES,
    view
  }
  const { values, total, searchedFromMs } = await deps.audit.newest(search, signer ?? '', signal)
  return { records: [...values], total, searchedFromMs: BigInt(searchedFromMs || 0) }
}
