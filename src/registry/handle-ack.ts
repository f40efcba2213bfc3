import type { PeerKey } from '../identity/index.ts'
import { compareAge } from './head.ts'
import type { Now } from './lease.ts'
import { decodeAck, type Effect } from './message.ts'
import { handleOwnPast } from './own.ts'
import type { RegistryState } from './state.ts'

/**
 * Applies an acknowledgement. It covers everything that was published before it.
 *
 * Throws MESSAGE_MALFORMED or MESSAGE_TOO_LARGE. An acknowledgement of an earlier run is ignored.
 * One for a seq that this run never published shows that our disk is older than our past; see `requestMissing`.
 */
export function handleAck(state: RegistryState, from: PeerKey, bytes: Uint8Array, now: Now): Effect[] {
  const { own, acks, entries } = state
  const { epoch, seq } = decodeAck(bytes)
  if (from === own.peer || !(entries.has(from) || acks.has(from))) return []
  if (compareAge({ epoch, seq }, own) > 0) return handleOwnPast(state, from, epoch, now)
  if (epoch < own.firstEpoch || seq > own.seq) return []
  heard(state, from, now)
  if ((acks.get(from) ?? 0n) >= seq) return []
  acks.set(from, seq)
  return [{ type: 'acknowledged', peer: from, seq }]
}

// Whoever acknowledges is there, also where our pings do not reach it in time: each change must go on waiting for it.
function heard({ entries }: RegistryState, from: PeerKey, { monotonicMs }: Now): void {
  const entry = entries.get(from)
  if (entry?.suspectMonotonicMs === undefined) return
  entries.set(from, { ...entry, suspectMonotonicMs: monotonicMs })
}
