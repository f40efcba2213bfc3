import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { registryPb } from '../wire/index.ts'
import { apply, changed, quarantine, replace } from './apply.ts'
import { Assembly, type IncomingHead } from './assembly.ts'
import { boundChain } from './chain.ts'
import { noteRefusedClock, noteTakenClock } from './clock-check.ts'
import { openHead, type SealedHead } from './head.ts'
import type { Now } from './lease.ts'
import type { Effect } from './message.ts'
import { handleOwnHead } from './own.ts'
import { openRecords, type StoredRecord } from './record.ts'
import { RecordSet } from './record-set.ts'
import { type Admitted, certificateDigest, type Entry, type RegistryState } from './state.ts'
import { validate } from './validate.ts'
import { verifyHead } from './verify-head.ts'

/** The result for one owner's state that a peer sent. */
export interface Taken {
  readonly owner: PeerKey
  readonly effects: Effect[]
  /** Set when the set is too large for one message: its buckets must still be fetched. */
  readonly assembly?: Assembly
}

/**
 * Verifies one owner's state and applies it if it is newer and complete.
 *
 * Throws MESSAGE_MALFORMED, MESSAGE_TOO_LARGE or SIGNATURE_INVALID for faults that only the sending peer can have caused.
 */
export function handleState(state: RegistryState, from: PeerKey, message: registryPb.OwnerState, now: Now): Taken {
  const sealed = openHead(message.head, state.trustDomain, state.limits)
  const { owner } = sealed.head
  const held = state.entries.get(owner)
  const admitted = owner === state.own.peer ? undefined : identify(state, sealed, message.nodeChain, held, now)
  const found = verifyHead(state, sealed, admitted?.identity, now)
  switch (found.is) {
    case 'own':
      return { owner, effects: handleOwnHead(state, sealed, now) }
    case 'forged':
    case 'invalid':
      throw new WarrenError(ErrorCode.SignatureInvalid, `a head in a sync response is not signed by its owner`)
    case 'unknown':
      // The peer admits a host that we do not: its trust or ours is older, and neither is at fault.
      return { owner, effects: [] }
    case 'ignored':
      return { owner, effects: noteRefusedClock(state, from, sealed.head, found.reason, now) }
    case 'equivocation':
      return { owner, effects: quarantine(state, sealed, 'equivocation', found.reason, now) }
    case 'duplicate':
      return { owner, effects: renewChain(state, held, admitted) }
    case 'newer':
      return admitted === undefined
        ? { owner, effects: [] }
        : withClock(
            noteTakenClock(state, from, sealed.head, now),
            takeContent(state, { sealed, from, ...admitted }, message.set, held, now)
          )
  }
}

function withClock(effects: readonly Effect[], taken: Taken): Taken {
  return effects.length === 0 ? taken : { ...taken, effects: [...effects, ...taken.effects] }
}

/** Applies a complete set, if its head is still newer than what is held. Throws like `handleState`. */
export function takeSet(
  state: RegistryState,
  candidate: IncomingHead,
  set: RecordSet,
  fault: WarrenError | undefined,
  now: Now
): Effect[] {
  const { sealed, identity } = candidate
  // While the buckets of a large set were fetched, gossip may have overtaken them.
  if (verifyHead(state, sealed, identity, now).is !== 'newer') return []
  const fit = validate(sealed.head, set, fault, state.limits)
  if (fit.is === 'mismatch') throw malformed('a set does not match its root')
  if (fit.is === 'invalid') return quarantine(state, sealed, 'invalid-set', fit.reason, now, fit.limit)
  return apply(state, { ...candidate, set }, now)
}

function takeContent(
  state: RegistryState,
  candidate: IncomingHead,
  content: registryPb.OwnerState['set'],
  held: Entry | undefined,
  now: Now
): Taken {
  const { head } = candidate.sealed
  const { owner } = head
  if (content.case === 'bucketHashes') {
    const base = held?.set ?? RecordSet.empty
    const assembly = new Assembly(candidate, base, content.value.hashes, state.trustDomain, state.limits)
    return { owner, effects: [], assembly }
  }
  if (content.case === undefined) {
    const known = [held?.set, RecordSet.empty].find(set => set?.root === head.root)
    if (known === undefined) throw malformed('it leaves out a set that is not held')
    return { owner, effects: takeSet(state, candidate, known, undefined, now) }
  }
  const list = content.value.records
  if (list.length > state.limits.maxRecords) throw malformed('a set has too many records', 'registry_records')
  const known = new Map<string, StoredRecord>()
  for (const record of held?.set ?? []) known.set(record.sha256, record)
  const scope = { trustDomain: state.trustDomain, machine: head.machine }
  const { records, fault } = openRecords(list, scope, state.limits, sha256 => known.get(sha256))
  return { owner, effects: takeSet(state, candidate, RecordSet.empty.with(records, []), fault, now) }
}

/** The identity of an owner, from the chain in the message or else from the chain held. */
function identify(
  state: RegistryState,
  { head }: SealedHead,
  chain: readonly Uint8Array[],
  held: Entry | undefined,
  now: Now
): { identity: Admitted; chain: readonly Uint8Array[] } | undefined {
  const known = held === undefined ? undefined : { identity: held.identity, chain: held.chain }
  if (chain.length === 0) return known
  boundChain(chain, state.limits)
  const digest = certificateDigest(chain)
  // A chain that the head does not name is no reason to drop the chain held.
  if (known !== undefined && (digest === held?.certificateSha256 || digest !== head.certificateSha256)) return known
  const copy = chain.map(certificate => Uint8Array.from(certificate))
  const identity = state.admit(copy, now.wallMs)
  return identity?.peer === head.owner ? { identity, chain: copy } : known
}

/** Applies the chain of a renewed certificate whose head is held already. */
function renewChain(
  state: RegistryState,
  held: Entry | undefined,
  admitted: { identity: Admitted; chain: readonly Uint8Array[] } | undefined
): Effect[] {
  if (held === undefined || admitted === undefined || admitted.chain === held.chain) return []
  const { identity, chain } = admitted
  if (identity.machine !== held.identity.machine) return []
  const { owner, sealed } = held
  const entry = { ...held, identity, chain, certificateSha256: certificateDigest(chain) }
  replace(state, entry)
  const { epoch, seq } = sealed.head
  const untilMs = identity.notAfterMs
  state.highWaterMarks.set(owner, { epoch, seq, untilMs, spent: false })
  return [{ type: 'persist', highWaterMark: { owner, epoch, seq, untilMs } }, changed(entry, 'head')]
}

function malformed(why: string, limit?: LimitName): WarrenError {
  const reason = `a sync response is not usable: ${why}`
  return new WarrenError(ErrorCode.MessageMalformed, reason, limit === undefined ? {} : { limit })
}
