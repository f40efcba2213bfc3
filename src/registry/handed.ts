import { create, decode, registryPb, toBinary } from '../wire/index.ts'
import { handleState } from './handle-state.ts'
import { openHead, toWire } from './head.ts'
import { leaseLeftMs, type Now } from './lease.ts'
import { MAX_HEAD_BYTES } from './limits.ts'
import type { Effect } from './message.ts'
import type { Entry, RegistryState } from './state.ts'

/** What one process of an agent knows of one other host, for the next process. */
export interface HandedState {
  /** As its owner signed it, with the whole set and the chain: an OwnerState of the protocol. */
  readonly bytes: Uint8Array
  /** How long ago the head was received. */
  readonly ageMs: number
}

/** Other hosts whose states are handed over. Each costs the next process a verification before it can do anything else. */
const MAX_HANDED_STATES = 256
/** Sizes of sets, in all. */
const MAX_HANDED_BYTES = 16 * 1024 * 1024
/**
 * At least this part of a lease must be left: a flow that continues by it would be cut if it ended before the mesh brings the next
 * head.
 */
const MIN_LEASE_PART = 4
/** The head, its signature and a chain. */
const OTHER_BYTES = 4 * MAX_HEAD_BYTES

/**
 * What is held of other hosts, for the next process of this agent: of at most `most`, and those named by `first` before others.
 * Suspects are left out: that process looks itself. @default for `most`: 256
 */
export function handedStates(
  state: RegistryState,
  first: ReadonlySet<string>,
  now: Now,
  most = MAX_HANDED_STATES
): HandedState[] {
  const live = (entry: Entry): boolean =>
    entry.owner !== state.own.peer &&
    !entry.suspect &&
    leaseLeftMs(entry.sealed.head, entry.receivedMonotonicMs, now) > 0
  const isFirst = ({ sealed }: Entry): boolean => first.has(sealed.head.machine)
  const all = [...state.entries.values()].filter(live).sort((a, b) => Number(isFirst(b)) - Number(isFirst(a)))
  let left = MAX_HANDED_BYTES
  const some = all.slice(0, most).filter(({ set }) => {
    if (set.bytes > left) return false
    left -= set.bytes
    return true
  })
  return some.map(({ sealed, chain, set, receivedMonotonicMs }) => {
    const records = [...set].map(record => record.bytes)
    const message = create(registryPb.OwnerStateSchema, {
      head: toWire(sealed),
      nodeChain: [...chain],
      set: { case: 'records', value: create(registryPb.RecordSetSchema, { records }) }
    })
    return { bytes: toBinary(registryPb.OwnerStateSchema, message), ageMs: now.monotonicMs - receivedMonotonicMs }
  })
}

/**
 * Takes in what the process before knew, each with the verification of a state that a peer sends; what does not pass is left out.
 * Nothing is acknowledged: that process has done it.
 *
 * A lease goes on: the head counts as received when the process before received it. One that is about to end is left out.
 */
export function takeHanded(state: RegistryState, handed: readonly HandedState[], now: Now): Effect[] {
  return handed.flatMap(({ bytes, ageMs }) => {
    const received = { ...now, monotonicMs: now.monotonicMs - Math.max(0, ageMs) }
    try {
      const message = decode(registryPb.OwnerStateSchema, bytes, MAX_HANDED_BYTES + OTHER_BYTES)
      const { head } = openHead(message.head, state.trustDomain, state.limits)
      if (leaseLeftMs(head, received.monotonicMs, now) < head.leaseMs / MIN_LEASE_PART) return []
      const { effects } = handleState(state, state.own.peer, message, received)
      return effects.filter(({ type }) => type !== 'send-ack')
    } catch {
      // The next synchronisation brings it.
      return []
    }
  })
}
