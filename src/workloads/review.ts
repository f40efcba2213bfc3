import { detach, type Logger } from '../core/index.ts'
import { isGranted, isGrantedAnew } from './claim.ts'
import type { Grants } from './grants.ts'
import type { EndReason, Workload } from './workload.ts'

export interface ReviewOptions {
  readonly grants: Grants
  readonly end: (registrationId: string, reason: EndReason) => void
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Ends the registrations that are revoked or not granted any more. Resolves when all have been looked at. */
export async function reviewAll(
  workloads: readonly Workload[],
  { grants, end, log, signal }: ReviewOptions
): Promise<void> {
  const again: Promise<void>[] = []
  const reviewAgain = async (workload: Workload): Promise<void> => {
    if (!(await isGrantedAnew(grants, workload))) end(workload.registrationId, 'no longer granted')
  }
  for (const workload of workloads) {
    if (!grants.isAdmissible(workload.spiffeId)) end(workload.registrationId, 'revoked')
    else if (!isGranted(grants, workload)) again.push(reviewAgain(workload))
  }
  for (const one of again) detach(log, 'review of a registration', one, signal)
  await Promise.all(again)
}
