import type { Carrier } from '../carriers/index.ts'
import type { Candidate } from '../deps.ts'
import type { ClientSession } from './client-session.ts'

/** The key of a session among those of this agent: one for each pair of registrations and carrier. */
export function keyOf({ name }: Carrier, sourceId: string, { registrationId }: Candidate): string {
  return `${name}/${sourceId}/${registrationId}`
}

/** The session that has been idle for the longest time, with its key; undefined if all have flows. */
export function oldestIdle(sessions: ReadonlyMap<string, ClientSession>): [string, ClientSession] | undefined {
  let oldest: [string, ClientSession] | undefined
  for (const entry of sessions) {
    if (entry[1].isIdle && (oldest === undefined || entry[1].idleSinceMs < oldest[1].idleSinceMs)) oldest = entry
  }
  return oldest
}
