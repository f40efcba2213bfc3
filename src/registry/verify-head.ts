import type { PeerKey } from '../identity/index.ts'
import { compareAge, type SealedHead } from './head.ts'
import { leaseLeftMs, type Now } from './lease.ts'
import { MAX_SKEW_MS, QUARANTINE_MS } from './limits.ts'
import type { Admitted, RegistryState } from './state.ts'

/** The verdict on a head that arrived. `forged` and `invalid` are the sender's fault; `ignored` is not a fault. */
export type HeadVerdict =
  | { readonly is: 'newer' }
  /** Signed with our own key. */
  | { readonly is: 'own' }
  /** Its owner's certificate is not known; the signature was not verified. */
  | { readonly is: 'unknown' }
  /** Exactly the head that is held. */
  | { readonly is: 'duplicate' }
  | { readonly is: 'ignored'; readonly reason: 'stale' | 'future' | 'expired' | 'quarantined' }
  | { readonly is: 'forged' }
  | { readonly is: 'invalid'; readonly reason: string }
  /** Its owner signed two statements that exclude each other. */
  | { readonly is: 'equivocation'; readonly reason: string }

/**
 * Verifies a head for a replica, with the facts that its owner's certificate proves.
 *
 * Changes nothing. A head is `newer` only if its signature is valid, its owner is the one in the certificate, its lease has
 * time left, and both the state held and the high-water mark are older.
 */
export function verifyHead(
  state: RegistryState,
  sealed: SealedHead,
  identity: Admitted | undefined,
  now: Now
): HeadVerdict {
  const { head } = sealed
  if (head.owner === state.own.peer) return verifies(state, sealed) ? { is: 'own' } : { is: 'forged' }
  const quarantine = state.quarantines.get(head.owner)
  if (quarantine !== undefined) {
    const served = now.monotonicMs - quarantine.sinceMonotonicMs >= QUARANTINE_MS
    if (!served || head.epoch <= quarantine.epoch) return { is: 'ignored', reason: 'quarantined' }
  }
  const highWaterMark = state.highWaterMarks.get(head.owner)
  const held = state.entries.get(head.owner)
  const age = highWaterMark === undefined ? 1 : compareAge(head, highWaterMark)
  if (age < 0) return { is: 'ignored', reason: 'stale' }
  if (age === 0 && held !== undefined) {
    if (held.sealed.digest === sealed.digest) return { is: 'duplicate' }
    return verifies(state, sealed) ? { is: 'equivocation', reason: 'two heads of one seq' } : { is: 'forged' }
  }
  if (age === 0 && highWaterMark?.spent === true) return { is: 'ignored', reason: 'stale' }
  if (identity === undefined) return { is: 'unknown' }
  if (identity.peer !== head.owner) return { is: 'forged' }
  if (!verifies(state, sealed)) return { is: 'forged' }
  if (identity.machine !== head.machine) return { is: 'invalid', reason: `the owner is not machine ${head.machine}` }
  // Not punished: our own clock may be the wrong one.
  if (head.issuedAtMs > now.wallMs + MAX_SKEW_MS) return { is: 'ignored', reason: 'future' }
  if (leaseLeftMs(head, now.monotonicMs, now) <= 0) return { is: 'ignored', reason: 'expired' }
  if (held !== undefined && held.sealed.head.epoch === head.epoch) {
    const before = held.sealed.head
    const sameSet = head.root === before.root && head.count === before.count
    if (head.recordSeq === before.recordSeq) {
      if (!sameSet) return { is: 'equivocation', reason: 'two sets of one record_seq' }
    } else if (head.recordSeq <= before.seq) {
      return { is: 'equivocation', reason: 'two histories of the set' }
    }
  }
  return { is: 'newer' }
}

/** Whether to ask for a state of `owner` that a digest mentions. */
export function isWanted(state: RegistryState, owner: PeerKey, epoch: bigint, seq: bigint, digest: string): boolean {
  if (owner === state.own.peer) {
    const age = compareAge({ epoch, seq }, state.own)
    const ours = state.entries.get(owner)?.sealed.digest
    return age > 0 || (age === 0 && ours !== digest)
  }
  const quarantine = state.quarantines.get(owner)
  if (quarantine !== undefined && epoch <= quarantine.epoch) return false
  const highWaterMark = state.highWaterMarks.get(owner)
  const held = state.entries.get(owner)
  const age = highWaterMark === undefined ? 1 : compareAge({ epoch, seq }, highWaterMark)
  if (age !== 0) return age > 0
  // At equal age it is wanted when only its high-water mark is known from disk, or when it contradicts the state held.
  return held === undefined ? highWaterMark?.spent !== true : held.sealed.digest !== digest
}

function verifies(state: RegistryState, { head, bytes, signature }: SealedHead): boolean {
  return state.verify(head.ownerKey, bytes, signature)
}
