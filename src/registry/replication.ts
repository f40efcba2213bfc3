import type { PeerKey } from '../identity/index.ts'
import type { Now } from './lease.ts'
import type { RegistryState } from './state.ts'

/** The progress of an own change. A host that has said goodbye is not counted. */
export interface ReplicationProgress {
  readonly acked: number
  /** Hosts whose lease was live here when the change was published, without those that have said goodbye since. */
  readonly required: number
  /** Machine names of the hosts that have not acknowledged, sorted. */
  readonly missing: readonly string[]
}

/** The hosts that must have applied a change before its caller is answered. */
export type WaitMode = 'all' | 'quorum' | 'local'

/** Whether a change has reached the hosts that `wait` asks for. True if no other host needs it. */
export function isEnough(wait: WaitMode, { required, missing }: Omit<ReplicationProgress, 'acked'>): boolean {
  const acked = required - missing.length
  // A quorum is a majority of all hosts, of which this one has the change already.
  return wait === 'local' || missing.length === 0 || (wait === 'quorum' && acked + 1 > (required + 1) / 2)
}

/**
 * The progress of the own change published as `seq`; undefined for a seq without a publication, or one that is forgotten.
 *
 * A host whose lease ended meanwhile is still required: this host cannot know whether it has the change. A host that
 * said goodbye serves nothing, and fetches every change before it serves again.
 */
export function replication(state: RegistryState, seq: bigint): ReplicationProgress | undefined {
  const publication = state.publications.findLast(candidate => candidate.seq === seq)
  if (publication === undefined) return undefined
  const missing: string[] = []
  let required = 0
  for (const [peer, machine] of publication.required) {
    if (state.highWaterMarks.get(peer)?.left === true) continue
    required += 1
    // A head of an unchanged set is not acknowledged; a host that has the set needs nothing more.
    if ((state.acks.get(peer) ?? 0n) < publication.recordSeq) missing.push(machine)
  }
  return {
    acked: required - missing.length,
    required,
    missing: missing.sort()
  }
}

/** Whether a host that is live and not suspected has not acknowledged the newest set. */
export function lacksLive(state: RegistryState): boolean {
  const last = state.publications.at(-1)
  if (last === undefined) return false
  return last.required
    .keys()
    .some(peer => state.entries.get(peer)?.suspect === false && (state.acks.get(peer) ?? 0n) < last.recordSeq)
}

/**
 * Records who must have the state published as `seq`: all owners that are live here now, also suspected ones.
 *
 * An owner that has been suspected for `SILENT_MS`, and has renewed and acknowledged nothing meanwhile, is not waited for: above 32 hosts a lease lasts
 * minutes, and each change would wait for a host that is gone.
 */
export function notePublication(state: RegistryState, seq: bigint, now: Now): void {
  const silent = silentSuspects(state, now)
  const audience = `${state.membership} ${silent.join(' ')}`
  const last = state.publications.at(-1)
  // Publications with the same audience share it: a burst of changes must not copy the membership for each.
  const required = last?.audience === audience ? last.required : audienceWithout(state, new Set(silent))
  state.publications.push({ seq, recordSeq: state.own.recordSeq, audience, required })
  if (state.publications.length > state.limits.maxPublications) state.publications.shift()
}

/** About as long as a lease of the smallest meshes, and as the suspicion of a host that only stands still for a while. */
const SILENT_MS = 30_000

function silentSuspects({ entries }: RegistryState, { monotonicMs }: Now): PeerKey[] {
  const silent: PeerKey[] = []
  for (const { owner, suspectMonotonicMs, receivedMonotonicMs } of entries.values()) {
    if (suspectMonotonicMs === undefined) continue
    if (monotonicMs - Math.max(suspectMonotonicMs, receivedMonotonicMs) >= SILENT_MS) silent.push(owner)
  }
  return silent
}

function audienceWithout(state: RegistryState, silent: ReadonlySet<PeerKey>): Map<PeerKey, string> {
  const required = new Map<PeerKey, string>()
  for (const [peer, { sealed }] of state.entries) {
    if (peer !== state.own.peer && !silent.has(peer)) required.set(peer, sealed.head.machine)
  }
  return required
}
