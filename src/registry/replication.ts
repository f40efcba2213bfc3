import type { PeerKey } from '../identity/index.ts'
import type { RegistryState } from './state.ts'

/** How far an own change has come. */
export interface ReplicationProgress {
  readonly acked: number
  /** Hosts whose lease was live here when the change was published. */
  readonly required: number
  /** Machine names of those that have not acknowledged, sorted. */
  readonly missing: readonly string[]
}

/** Which hosts must have applied a change before its caller is answered. */
export type WaitMode = 'all' | 'quorum' | 'local'

/** Whether a change has come as far as `wait` asks for. One that nobody else needs to have has. */
export function isEnough(wait: WaitMode, { required, missing }: Omit<ReplicationProgress, 'acked'>): boolean {
  const acked = required - missing.length
  // A quorum is a majority of all hosts, of which this one has the change already.
  return wait === 'local' || missing.length === 0 || (wait === 'quorum' && acked + 1 > (required + 1) / 2)
}

/**
 * How far the own change published as `seq` has come; undefined for a seq of no publication, or one long forgotten.
 *
 * A host that ended meanwhile stays required: that it has the change cannot be known.
 */
export function replication(state: RegistryState, seq: bigint): ReplicationProgress | undefined {
  const publication = state.publications.findLast(candidate => candidate.seq === seq)
  if (publication === undefined) return undefined
  const missing: string[] = []
  for (const [peer, machine] of publication.required) {
    // A head of an unchanged set is not acknowledged; who has the set has what matters.
    if ((state.acks.get(peer) ?? 0n) < publication.recordSeq) missing.push(machine)
  }
  return {
    acked: publication.required.size - missing.length,
    required: publication.required.size,
    missing: missing.sort()
  }
}

/** Notes who must have the state published as `seq`: all owners that are live here now, suspects among them. */
export function notePublication(state: RegistryState, seq: bigint): void {
  const last = state.publications.at(-1)
  // Shared between publications with the same audience: a burst of changes must not cost a copy of the membership each.
  const required = last?.membership === state.membership ? last.required : audience(state)
  state.publications.push({ seq, recordSeq: state.own.recordSeq, membership: state.membership, required })
  if (state.publications.length > state.limits.maxPublications) state.publications.shift()
}

function audience(state: RegistryState): Map<PeerKey, string> {
  const required = new Map<PeerKey, string>()
  for (const [peer, { sealed }] of state.entries) {
    if (peer !== state.own.peer) required.set(peer, sealed.head.machine)
  }
  return required
}
