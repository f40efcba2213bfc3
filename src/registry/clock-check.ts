import type { PeerKey } from '../identity/index.ts'
import { alarm, type Effect } from './message.ts'
import type { RegistryState } from './state.ts'

/**
 * Records that a head was refused for its date, and raises the alarm when this happens with most hosts: then our own
 * clock is wrong.
 *
 * An old date counts only when the owner itself sent the head: an old head that another host forwarded proves nothing.
 */
export function noteRefusedClock(state: RegistryState, from: PeerKey, owner: PeerKey, reason: string): Effect[] {
  if (reason === 'future') state.clocks.set(owner, 'ahead')
  else if (reason === 'expired' && from === owner) state.clocks.set(owner, 'behind')
  else return []
  const verdicts = [...state.clocks.values()]
  const disagreeing = verdicts.filter(verdict => verdict === state.clocks.get(owner)).length
  // A single host that disagrees may be the one that is wrong.
  const most = disagreeing >= 2 && disagreeing > verdicts.length / 2
  if (!most || state.clockAlarmed) return []
  state.clockAlarmed = true
  const side = reason === 'future' ? 'behind' : 'ahead of'
  return [alarm('own-clock-wrong', state.own.peer, `our clock is ${side} that of ${disagreeing} hosts`)]
}
