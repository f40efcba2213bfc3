import type { adminPb } from '../../wire/index.ts'
import type { Context } from '../context.ts'
import { parseTimeout } from '../options/receipts.ts'
import { observationLines, printable } from '../output/index.ts'
import { recordLine } from '../output/record-line.ts'
import { observe } from './observe.ts'

/** What `audit show --mesh` asks each host for. */
export interface AuditQuery {
  readonly source?: string
  readonly dest?: string
  readonly sinceMs?: number | undefined
  readonly type?: readonly string[]
  readonly last: number
}

/** A record as a host has told it. */
interface RecordJson {
  readonly seq: number
  readonly at: string
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** Shows the newest records of the audit logs of all hosts, oldest first. */
export async function showMeshAudit(context: Context, query: AuditQuery, timeout: string | undefined): Promise<void> {
  const { source = '', dest: destination = '', sinceMs = 0, type: names = [], last } = query
  const value = { source, destination, sinceMs: BigInt(sinceMs), names: [...names], last }
  const { complete, hosts } = await observe(context, { case: 'audit', value }, parseTimeout(timeout))
  const found = hosts.map(({ machine, state, problem, audit }) => {
    const { records = [], total = 0, searchedFromMs = 0n } = audit ?? {}
    return { machine, state, problem, total, searchedFrom: timeOf(searchedFromMs), records: records.map(recordOf) }
  })
  const all = found
    .flatMap(({ machine, records }) => records.map(record => ({ ...record, machine })))
    .sort((one, other) => compare(one.at, other.at) || compare(one.machine, other.machine) || one.seq - other.seq)
  const newest = all.slice(-last)
  const isShown = new Set(newest.map(({ machine, seq }) => `${machine} ${seq}`))
  const views = found.map(({ searchedFrom, ...host }) => ({
    ...host,
    ...(searchedFrom !== '' && { searchedFrom }),
    records: host.records.filter(({ seq }) => isShown.has(`${host.machine} ${seq}`))
  }))
  const width = Math.max(0, ...views.map(({ machine }) => machine.length))
  context.show({ complete, hosts: views }, () =>
    newest
      .map(record => printable(`${record.machine.padEnd(width)}  ${recordLine({ ...record, name: record.event })}`))
      .join('\n')
  )
  for (const { machine, total, records, searchedFrom } of views) {
    const missing = total - records.length
    if (missing > 0)
      context.say(
        `${machine}: ${missing} of its ${total} records are left out; --since, --type, --source and --dest choose`
      )
    if (searchedFrom !== undefined) context.say(`${machine}: its log was searched back to ${searchedFrom}`)
  }
  for (const line of observationLines(hosts)) context.say(line)
  if (complete && all.length === 0) context.say('no record is of that kind')
}

function recordOf({ seq, atMs, name, fields }: adminPb.AuditRecord): RecordJson {
  return { seq: Number(seq), at: timeOf(atMs), event: name, fields: fieldsOf(fields) }
}

/** As ISO 8601; empty for none. What another host says may be anything. */
export function timeOf(ms: bigint): string {
  const date = new Date(Number(ms))
  return ms === 0n || Number.isNaN(date.getTime()) ? '' : date.toISOString()
}

/** The fields of a record or an event, as far as they can be read. */
export function fieldsOf(text: string): RecordJson['fields'] {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as RecordJson['fields']
  } catch {
    // As below.
  }
  return { unreadable: text }
}

export function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other)
}
