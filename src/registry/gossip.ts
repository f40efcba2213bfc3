import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { registryPb } from '../wire/index.ts'
import { apply, quarantine } from './apply.ts'
import { noteRefusedClock, noteTakenClock } from './clock-check.ts'
import { type Head, openHead, type SealedHead } from './head.ts'
import type { Now } from './lease.ts'
import { alarm, type Effect, type GossipVerdict, limitReached } from './message.ts'
import { handleOwnHead } from './own.ts'
import { openRecords } from './record.ts'
import { RecordSet } from './record-set.ts'
import { chainIsStale, noteChainTry, wasChainTried } from './renewal.ts'
import { announcesSame, type Entry, type RegistryState } from './state.ts'
import { validate } from './validate.ts'
import { verifyHead } from './verify-head.ts'
import { decodeGossip } from './wire-bounds.ts'

const ID_BYTES = 32
const TOO_MANY_INVALID = 'too many invalid messages'

/**
 * Applies one message of the registry topic. The effects always begin with a `verdict`; never throws.
 *
 * The verdict is `accept` for a message that is new and signed by its owner, even when we lack the state that it builds on;
 * `reject` only for a message that no honest host forwards.
 */
export function takeGossip(state: RegistryState, from: PeerKey, bytes: Uint8Array, now: Now): Effect[] {
  // A neighbour that keeps sending forgeries must not keep us verifying them.
  if (state.rates.check(`invalid ${from}`, now.monotonicMs) !== 'allowed') {
    return [verdict('ignore', 'rate'), limitReached('registry_invalid_rate', from, TOO_MANY_INVALID)]
  }
  try {
    const { event, sentToAll } = decodeGossip(bytes, state.limits)
    if (event.case === undefined) return blame(state, from, 'empty', now)
    const delta = event.case === 'delta' ? event.value : undefined
    const sealed = openHead(event.case === 'delta' ? event.value.head : event.value, state.trustDomain, state.limits)
    // A message from the owner itself counts against no other quota, so a flood costs no verification.
    const { owner } = sealed.head
    const left = from === owner ? state.rates.check(`owner ${owner}`, now.monotonicMs) : 'allowed'
    if (left !== 'allowed') return tooManyHeads(owner, left)
    if (delta !== undefined && !agrees(delta, sealed.head))
      return blame(state, from, 'a change that does not match its head', now)
    return handleHead(state, { from, sealed, delta, sentToAll: sentToAll && from === owner }, now)
  } catch (err) {
    const { reason, limit } = WarrenError.from(err, ErrorCode.MessageMalformed)
    return blame(state, from, reason, now, limit)
  }
}

interface Arrival {
  readonly from: PeerKey
  readonly sealed: SealedHead
  readonly delta: registryPb.Delta | undefined
  /** The message comes from its owner, which sends it to every host. */
  readonly sentToAll: boolean
}

function handleHead(state: RegistryState, arrival: Arrival, now: Now): Effect[] {
  const { from, sealed } = arrival
  const { owner } = sealed.head
  const held = state.entries.get(owner)
  const found = verifyHead(state, sealed, held?.identity, now)
  switch (found.is) {
    case 'duplicate':
      return [verdict('ignore', 'duplicate')]
    case 'ignored':
      return [verdict('ignore', found.reason), ...noteRefusedClock(state, from, sealed.head, found.reason, now)]
    case 'unknown':
      return [verdict('ignore', 'unknown owner'), { type: 'sync-with', peer: from, owner, reason: 'unknown owner' }]
    case 'forged':
      return blame(state, from, 'forged', now)
    case 'invalid':
      return [verdict('ignore', found.reason)]
    case 'own':
      return [verdict('ignore', 'own'), ...handleOwnHead(state, sealed, now)]
    case 'equivocation':
      // Forwarded, so that the other hosts see both as well.
      return [verdict('accept', 'equivocation'), ...quarantine(state, sealed, 'equivocation', found.reason, now)]
    case 'newer':
      // verifyHead returns this for known owners only.
      if (held === undefined) return [verdict('ignore', 'unknown owner')]
      return [...takeNewer(state, arrival, held, now), ...noteTakenClock(state, from, sealed.head, now)]
  }
}

function takeNewer(state: RegistryState, arrival: Arrival, held: Entry, now: Now): Effect[] {
  const { from, sealed, delta } = arrival
  const { head } = sealed
  const { owner } = head
  // Counted only now: before the signature is verified, anybody could use up an owner's quota.
  const quota = state.rates.take(`owner ${owner}`, now.monotonicMs)
  if (quota !== 'allowed') return tooManyHeads(owner, quota)
  const { identity, chain } = held
  const keep = (set: RecordSet): Effect[] => [
    verdict(handOn(arrival), 'applied'),
    ...apply(state, { sealed, set, identity, chain, from }, now),
    ...askForChain(state, from, owner)
  ]
  if (head.root === held.set.root && head.count === held.set.count) {
    const effects = keep(held.set)
    // Its neighbours have it from the owner, and other hosts get it from them by synchronisation, long before a lease ends.
    // Forwarded, it would reach every host many times.
    return isRenewal(held.sealed.head, head) ? [verdict('ignore', 'applied'), ...effects.slice(1)] : effects
  }
  if (head.root === RecordSet.empty.root && head.count === 0) return keep(RecordSet.empty)
  const base = delta === undefined ? undefined : baseOf(delta, held)
  if (delta === undefined || base === undefined) {
    return [
      verdict(arrival.sentToAll ? 'ignore' : 'accept', 'gap'),
      { type: 'sync-with', peer: from, owner, reason: 'gap' }
    ]
  }
  const scope = { trustDomain: state.trustDomain, machine: head.machine }
  const { records, fault } = openRecords(delta.puts, scope, state.limits)
  const set = base.with(
    records,
    delta.deletes.map(id => Buffer.from(id).toString('hex'))
  )
  const fit = validate(head, set, fault, state.limits)
  if (fit.is === 'fits') return keep(set)
  if (fit.is === 'invalid') {
    return [verdict('ignore', 'invalid set'), ...quarantine(state, sealed, 'invalid-set', fit.reason, now, fit.limit)]
  }
  return [verdict('ignore', 'mismatch'), { type: 'sync-with', peer: from, owner, reason: 'mismatch' }]
}

// An owner tells all that it is connected to. If that is everybody, copies would only compete with the first of the next
// message, and who missed it asks a neighbour soon.
function handOn({ from, sealed, sentToAll }: Arrival): GossipVerdict {
  if (sentToAll) return 'ignore'
  return from === sealed.head.owner ? 'accept-later' : 'accept'
}

function tooManyHeads(owner: PeerKey, quota: 'first-refused' | 'refused'): Effect[] {
  const detail = 'too many heads'
  return [
    verdict('ignore', 'rate'),
    limitReached('registry_gossip_rate', owner, detail),
    ...(quota === 'first-refused' ? [alarm('rate-exceeded', owner, detail)] : [])
  ]
}

/** Whether a head shows nothing new except that its owner is alive, and asks for nothing. */
function isRenewal(before: Head, head: Head): boolean {
  return (
    !head.leaving &&
    head.acks !== 'wanted' &&
    before.epoch === head.epoch &&
    before.recordSeq === head.recordSeq &&
    announcesSame(before, head)
  )
}

/** The set that a delta builds on, if it is held: the set of its from_seq, or the empty set if from_seq is zero. */
function baseOf(delta: registryPb.Delta, held: Entry): RecordSet | undefined {
  if (delta.fromSeq === 0n) return RecordSet.empty
  const before = held.sealed.head
  return before.epoch === delta.epoch && before.recordSeq === delta.fromSeq ? held.set : undefined
}

/** Whether a change is one that the owner of the head could have sent with it. */
function agrees(delta: registryPb.Delta, head: Head): boolean {
  return (
    head.ownerKey.length === delta.owner.length &&
    head.ownerKey.every((byte, at) => byte === delta.owner[at]) &&
    delta.epoch === head.epoch &&
    delta.toSeq === head.recordSeq &&
    delta.fromSeq < delta.toSeq &&
    delta.deletes.every(id => id.length === ID_BYTES)
  )
}

function askForChain(state: RegistryState, from: PeerKey, owner: PeerKey): Effect[] {
  const entry = state.entries.get(owner)
  if (entry === undefined || !chainIsStale(state, entry) || wasChainTried(state, entry)) return []
  noteChainTry(state, entry)
  return [{ type: 'sync-with', peer: from, owner, reason: 'renewed certificate', prefersOwner: true }]
}

function blame(state: RegistryState, from: PeerKey, reason: string, now: Now, limit?: LimitName): Effect[] {
  const first = state.rates.take(`invalid ${from}`, now.monotonicMs) === 'first-refused'
  return [
    verdict('reject', reason),
    ...(limit === undefined ? [] : [limitReached(limit, from, reason)]),
    ...(first ? [alarm('rate-exceeded', from, TOO_MANY_INVALID)] : [])
  ]
}

function verdict(value: GossipVerdict, reason: string): Effect {
  return { type: 'verdict', verdict: value, reason }
}
