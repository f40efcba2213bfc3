import type { Now } from './lease.ts'
import type { Effect } from './message.ts'
import { refresh } from './own.ts'
import { lacksLive } from './replication.ts'
import type { RegistryState } from './state.ts'

/** How long heads ask for acknowledgements after somebody has begun to wait: a little longer than a caller waits. */
const ACKS_AWAITED_MS = 6_000
/** Time for acknowledgements to come; then the hosts are asked once more. A copy that is lost on the way costs this much. */
const ASK_AGAIN_MS = 1_500

/** Signs a new head, if it is due, or if acknowledgements that somebody waits for have not come. */
export function refreshIfDue(state: RegistryState, now: Now): Effect[] {
  return now.monotonicMs >= state.own.refreshAtMonotonicMs || mustAskAgain(state, now) ? refresh(state, now) : []
}

/** Changes whether our heads ask for acknowledgements. */
export function awaitAcks(state: RegistryState, phase: 'begin' | 'ask' | 'end', now: Now): Effect[] {
  const { own } = state
  own.acksUntilMonotonicMs = phase === 'end' ? now.monotonicMs : now.monotonicMs + ACKS_AWAITED_MS
  const asked = state.entries.get(own.peer)?.sealed.head.acks === 'wanted'
  return phase === 'ask' && !asked && lacksLive(state) ? refresh(state, now) : []
}

function mustAskAgain(state: RegistryState, { monotonicMs }: Now): boolean {
  const { acksUntilMonotonicMs, askedAtMonotonicMs } = state.own
  return monotonicMs < acksUntilMonotonicMs && monotonicMs - askedAtMonotonicMs >= ASK_AGAIN_MS && lacksLive(state)
}
