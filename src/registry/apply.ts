import type { LimitName } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { registryPb, toBinary } from '../wire/index.ts'
import { isInStep } from './clock-check.ts'
import { type SealedHead, toWire } from './head.ts'
import type { Now } from './lease.ts'
import { type AlarmKind, alarm, type ChangeCause, type Effect, encodeAck, limitReached } from './message.ts'
import type { StoredRecord } from './record.ts'
import { RecordSet, type SetDifference } from './record-set.ts'
import { type Admitted, announcesSame, certificateDigest, type Entry, type RegistryState } from './state.ts'
import { viewOf } from './view.ts'

/** A verified state of an owner, on its way in. */
export interface IncomingState {
  readonly sealed: SealedHead
  readonly set: RecordSet
  readonly identity: Admitted
  readonly chain: readonly Uint8Array[]
  /** The peer that sent it. */
  readonly from: PeerKey
}

/**
 * Replaces the held state of another owner by a verified one, all at once: set, head and high-water mark.
 *
 * The last head of an owner that stops removes it. The caller has verified that the head is `newer` and that the set hashes to its root. Refuses a state, with an alarm, if
 * there is no room for it.
 */
export function apply(state: RegistryState, candidate: IncomingState, now: Now): Effect[] {
  const { sealed, set, identity, chain, from } = candidate
  const { head } = sealed
  const { owner, epoch, seq } = head
  const held = state.entries.get(owner)
  const full = overflow(state, candidate, held)
  if (full !== undefined) {
    const { limit, detail } = full
    const told = state.repeats.take('full', now.monotonicMs) === 'allowed'
    return [limitReached(limit, owner, detail), ...(told ? [alarm('registry-full', owner, detail)] : [])]
  }
  state.quarantines.delete(owner)
  if (isInStep(head, now)) state.clocks.set(owner, 'agrees')
  const entry: Entry = {
    owner,
    ownerKey: head.ownerKey,
    sealed,
    set,
    identity,
    chain,
    certificateSha256: certificateDigest(chain),
    receivedMonotonicMs: now.monotonicMs,
    suspect: held?.suspect ?? false,
    ...(held?.suspectMonotonicMs === undefined ? {} : { suspectMonotonicMs: held.suspectMonotonicMs })
  }
  const { added, removed } = replace(state, entry)
  // Deleted first, so that the order of the map is the order of use.
  state.highWaterMarks.delete(owner)
  state.highWaterMarks.set(owner, { epoch, seq, untilMs: identity.notAfterMs, spent: false, left: head.leaving })
  const before = held?.sealed.head
  const setChanged = before === undefined || before.epoch !== epoch || before.recordSeq !== head.recordSeq
  const announced = before === undefined || !announcesSame(before, head)
  const effects: Effect[] = boundHighWaterMarks(state)
  if (head.leaving) {
    effects.push({ type: 'persist', highWaterMark: { owner, epoch, seq, untilMs: identity.notAfterMs } })
    return [...effects, ...drop(state, owner, 'left', true)]
  }
  // An acknowledgement is not sent before what it says is on disk.
  if (setChanged || announced || head.acks === 'wanted') {
    effects.push({ type: 'persist', highWaterMark: { owner, epoch, seq, untilMs: identity.notAfterMs } })
  }
  if (announced || added.length > 0 || removed.length > 0) {
    effects.push(changed(entry, added.length + removed.length === 0 ? 'head' : 'set', added, removed))
  }
  const ack = { type: 'send-ack', to: owner, bytes: encodeAck(epoch, seq), epoch, seq } as const
  if (head.acks === 'wanted') {
    const again = !setChanged && before.acks === 'wanted'
    effects.push({ ...ack, wanted: { via: from, again } })
  } else if (head.acks === 'direct' && setChanged) {
    effects.push(ack)
  }
  return effects
}

/** Replaces the entry held, and everything that is derived from it. */
export function replace(state: RegistryState, entry: Entry): SetDifference {
  const { owner, ownerKey, sealed, set } = entry
  const held = state.entries.get(owner)
  const before = held?.set ?? RecordSet.empty
  const difference = before.difference(set)
  for (const record of difference.removed) state.names.remove(owner, record)
  for (const record of difference.added) state.names.add(owner, record)
  state.totalBytes += set.bytes - before.bytes
  if (held === undefined) state.membership += 1
  const { machine } = sealed.head
  if (held?.sealed.head.machine !== machine) {
    if (held !== undefined) state.machines.remove(held.sealed.head.machine, owner)
    state.machines.add(machine, owner)
  }
  state.entries.set(owner, entry)
  state.digests.set({ owner, ownerKey, epoch: sealed.head.epoch, seq: sealed.head.seq, digest: sealed.digest })
  state.contents.set({ owner, ownerKey, sealed })
  return difference
}

/**
 * Removes another owner's state. Its high-water mark stays; with `spent`, this same state is not accepted again.
 */
export function drop(state: RegistryState, owner: PeerKey, cause: ChangeCause, spent: boolean): Effect[] {
  const entry = state.entries.get(owner)
  if (entry === undefined) return []
  const { added, removed } = entry.set.difference(RecordSet.empty)
  for (const record of removed) state.names.remove(owner, record)
  state.totalBytes -= entry.set.bytes
  state.entries.delete(owner)
  state.machines.remove(entry.sealed.head.machine, owner)
  state.membership += 1
  state.chainTries.delete(owner)
  state.clocks.delete(owner)
  state.digests.delete(owner, entry.ownerKey)
  state.contents.delete(owner, entry.ownerKey)
  const highWaterMark = state.highWaterMarks.get(owner)
  if (highWaterMark !== undefined && spent) state.highWaterMarks.set(owner, { ...highWaterMark, spent: true })
  const last = viewOf(state, entry)
  return [{ ...changed(entry, cause, added, removed), last }]
}

/** Keeps the proof against an owner, hides its records, and ignores it until a later epoch. */
export function quarantine(
  state: RegistryState,
  sealed: SealedHead,
  kind: Extract<AlarmKind, 'equivocation' | 'invalid-set'>,
  detail: string,
  now: Now,
  limit?: LimitName
): Effect[] {
  const { owner, epoch } = sealed.head
  const held = state.entries.get(owner)
  const heads = held === undefined || held.sealed.digest === sealed.digest ? [sealed] : [held.sealed, sealed]
  const proof = heads.map(head => toBinary(registryPb.SignedHeadSchema, toWire(head)))
  const mostRecent = held !== undefined && held.sealed.head.epoch > epoch ? held.sealed.head.epoch : epoch
  state.quarantines.set(owner, { epoch: mostRecent, sinceMonotonicMs: now.monotonicMs, reason: detail })
  return [...drop(state, owner, 'quarantined', true), alarm(kind, owner, detail, proof, limit)]
}

export function changed(
  { owner, sealed }: Entry,
  cause: ChangeCause,
  added: readonly StoredRecord[] = [],
  removed: readonly StoredRecord[] = []
): Extract<Effect, { type: 'changed' }> {
  return {
    type: 'changed',
    owner,
    machine: sealed.head.machine,
    cause,
    added: added.map(({ value }) => value),
    removed: removed.map(({ value }) => value)
  }
}

function overflow(
  state: RegistryState,
  { set }: IncomingState,
  held: Entry | undefined
): { readonly limit: LimitName; readonly detail: string } | undefined {
  const { maxOwners, maxTotalBytes } = state.limits
  if (held === undefined && state.entries.size >= maxOwners) {
    return { limit: 'registry_owners', detail: `${maxOwners} owners are held` }
  }
  const total = state.totalBytes + set.bytes - (held?.set.bytes ?? 0)
  if (total <= maxTotalBytes || set.bytes === 0) return undefined
  return { limit: 'registry_total_bytes', detail: `${maxTotalBytes} bytes of records are held` }
}

// A high-water mark lasts as long as a certificate, so an authority that admits ever new hosts could fill our memory with them.
function boundHighWaterMarks(state: RegistryState): Effect[] {
  const effects: Effect[] = []
  for (const owner of state.highWaterMarks.keys()) {
    if (state.highWaterMarks.size <= 4 * state.limits.maxOwners) break
    if (state.entries.has(owner)) continue
    state.highWaterMarks.delete(owner)
    effects.push({ type: 'forget', owner })
  }
  return effects
}
