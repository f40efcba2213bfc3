import type { PeerKey } from '../identity/index.ts'
import type { Head } from './head.ts'
import type { Now } from './lease.ts'
import { MAX_SKEW_MS } from './limits.ts'
import { alarm, type Effect } from './message.ts'
import type { ClockDifference, RegistryState } from './state.ts'

/** A host that stood still may send a head that is too old, once: only what lasts is the clock. */
const LASTING_MS = 3_000
/** A host that was not heard for this long is no longer reported. */
const REPORTED_MS = 120_000

/**
 * Records that a head was refused for its date, or is `late`. Raises an alarm when that lasts, and another when it happens with most hosts: then
 * our own clock is wrong.
 *
 * An old date counts only when the owner itself sent the head: an old head that another host forwarded proves nothing.
 */
export function noteRefusedClock(state: RegistryState, from: PeerKey, head: Head, reason: string, now: Now): Effect[] {
  const { owner, machine } = head
  if (reason !== 'future' && (!['expired', 'late'].includes(reason) || from !== owner)) return []
  const before = state.clocks.get(owner)
  const aheadMs = head.issuedAtMs - now.wallMs
  const known = before === undefined || before === 'agrees' || before.aheadMs > 0 !== aheadMs > 0 ? undefined : before
  const lastMs = now.monotonicMs
  const difference = { machine, aheadMs, sinceMs: known?.sinceMs ?? lastMs, lastMs }
  state.clocks.set(owner, difference)
  const lasts = (one: ClockDifference | undefined): boolean =>
    one !== undefined && one.lastMs - one.sinceMs >= LASTING_MS
  const effects = lasts(difference) && !lasts(known) ? [alarm('clock-differs', owner, clockText(difference))] : []
  const verdicts = [...state.clocks.values()]
  const disagreeing = verdicts.filter(one => one !== 'agrees' && one.aheadMs > 0 === aheadMs > 0).length
  // A single host that disagrees may be the one that is wrong.
  const most = disagreeing >= 2 && disagreeing > verdicts.length / 2
  if (!most || state.clockAlarmed) return effects
  state.clockAlarmed = true
  const side = reason === 'future' ? 'behind' : 'ahead of'
  return [...effects, alarm('own-clock-wrong', state.own.peer, `our clock is ${side} that of ${disagreeing} hosts`)]
}

/**
 * The same for a head that is taken: its owner renews it long before it is so old. A forwarded one may be.
 */
export function noteTakenClock(state: RegistryState, from: PeerKey, head: Head, now: Now): Effect[] {
  return isInStep(head, now) ? [] : noteRefusedClock(state, from, head, 'late', now)
}

/** Whether the date of a head is within the tolerance of our time. */
export function isInStep({ issuedAtMs }: Pick<Head, 'issuedAtMs'>, { wallMs }: Pick<Now, 'wallMs'>): boolean {
  return Math.abs(issuedAtMs - wallMs) <= MAX_SKEW_MS
}

/** The hosts whose clocks differ from ours, so that one of us does not take what the other announces. */
export function clockDifferences(state: RegistryState, monotonicMs: number): ClockDifference[] {
  return [...state.clocks.values()].filter(
    one => one !== 'agrees' && one.lastMs - one.sinceMs >= LASTING_MS && monotonicMs - one.lastMs < REPORTED_MS
  ) as ClockDifference[]
}

/** One clause for people. */
export function clockText({ machine, aheadMs }: Pick<ClockDifference, 'machine' | 'aheadMs'>): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1_000)
  return `the clock of ${machine} is about ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of this host`
}
