import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Registrant } from './register-input.ts'
import type { WorkloadTable } from './table.ts'

/** Number of registrations that this host keeps, for each user (as a process sees it) and in all. */
export interface WorkloadLimits {
  readonly maxPerUid: number
  readonly maxTotal: number
}

export const DEFAULT_LIMITS: WorkloadLimits = Object.freeze({ maxPerUid: 1_024, maxTotal: 10_000 })

/** Throws LIMIT_EXCEEDED, with the limit's name, if there is no room for another registration of this caller. */
export function checkRoom(
  table: Pick<WorkloadTable, 'size' | 'countOf'>,
  caller: Registrant,
  { maxPerUid, maxTotal }: WorkloadLimits = DEFAULT_LIMITS
): void {
  const full = table.size >= maxTotal
  if (!full && table.countOf(caller) < maxPerUid) return
  const whose = full ? `this host has its ${maxTotal}` : `uid ${caller.uid} has its ${maxPerUid}`
  throw new WarrenError(ErrorCode.LimitExceeded, `${whose} registrations`, {
    limit: full ? 'registrations' : 'registrations_per_uid',
    hint: 'Deregister what is no longer used.'
  })
}
