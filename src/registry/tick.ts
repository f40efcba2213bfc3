import type { PeerKey } from '../identity/index.ts'
import { changed, drop, replace } from './apply.ts'
import { refreshIfDue } from './await-acks.ts'
import { leaseLeftMs, type Now } from './lease.ts'
import type { Effect } from './message.ts'
import type { RegistryState } from './state.ts'

/** Drops everything that has expired, and renews our own lease when due. */
export function tick(state: RegistryState, now: Now): Effect[] {
  const effects: Effect[] = []
  for (const entry of [...state.entries.values()]) {
    if (entry.owner === state.own.peer) continue
    if (leaseLeftMs(entry.sealed.head, entry.receivedMonotonicMs, now) <= 0) {
      effects.push(...drop(state, entry.owner, 'expired', true))
    } else if (entry.identity.notAfterMs <= now.wallMs) {
      // Not marked as spent: with a renewed certificate the same state may come back.
      effects.push(...drop(state, entry.owner, 'expired', false))
    }
  }
  for (const [owner, { untilMs }] of state.highWaterMarks) {
    if (untilMs > now.wallMs || state.entries.has(owner)) continue
    state.highWaterMarks.delete(owner)
    effects.push({ type: 'forget', owner })
  }
  if ([...state.clocks.values()].every(verdict => verdict === 'agrees')) state.clockAlarmed = false
  return [...effects, ...refreshIfDue(state, now)]
}

/** Verifies every chain anew and drops the owners whose chain is not valid. Their state may come back when it is. */
export function verifyChains(state: RegistryState, now: Now): Effect[] {
  const effects: Effect[] = []
  for (const entry of [...state.entries.values()]) {
    if (entry.owner === state.own.peer) continue
    const identity = state.admit(entry.chain, now.wallMs)
    if (identity?.peer === entry.owner && identity.machine === entry.identity.machine) {
      replace(state, { ...entry, identity })
    } else {
      effects.push(...drop(state, entry.owner, 'revoked', false))
    }
  }
  return effects
}

/** Hides or shows an owner's records. Only here: a suspicion changes no other data. */
export function suspect(state: RegistryState, peer: PeerKey, suspected: boolean, now: Now): Effect[] {
  const entry = state.entries.get(peer)
  if (entry === undefined || peer === state.own.peer || entry.suspect === suspected) return []
  const { suspectMonotonicMs: _, ...rest } = entry
  const next = { ...rest, suspect: suspected, ...(suspected && { suspectMonotonicMs: now.monotonicMs }) }
  state.entries.set(peer, next)
  return [changed(next, 'suspicion')]
}
