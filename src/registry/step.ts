import { awaitAcks } from './await-acks.ts'
import { takeGossip } from './gossip.ts'
import { takeHanded } from './handed.ts'
import { handleAck } from './handle-ack.ts'
import type { Now } from './lease.ts'
import type { Effect, Event } from './message.ts'
import { changeOwnSet, changeProfile, leave, refresh } from './own.ts'
import type { RegistryState } from './state.ts'
import { suspect, tick, verifyChains } from './tick.ts'

/**
 * Applies an event to a replica and returns the effects. Only this function and a SyncSession change a replica.
 *
 * Carry out the effects in order before the next event. Throws only for `local-change`, `local-head` and
 * `ack`, as their handlers say, and then has changed nothing.
 */
export function step(state: RegistryState, event: Event, now: Now): Effect[] {
  switch (event.type) {
    case 'local-change':
      return changeOwnSet(state, event.puts, event.deletes, now)
    case 'local-head':
      return changeProfile(state, event.profile, now)
    case 'refresh':
      return refresh(state, now)
    case 'leave':
      return leave(state, now)
    case 'tick':
      return tick(state, now)
    case 'gossip':
      return takeGossip(state, event.from, event.bytes, now)
    case 'handed':
      return takeHanded(state, event.states, now)
    case 'await-acks':
      return awaitAcks(state, event.phase, now)
    case 'ack':
      return handleAck(state, event.from, event.bytes, now)
    case 'suspect':
      return suspect(state, event.peer, event.suspect, now)
    case 'trust-changed':
      return verifyChains(state, now)
  }
}
