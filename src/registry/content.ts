import type { PeerKey } from '../identity/index.ts'
import { create, registryPb } from '../wire/index.ts'
import { type SealedHead, toWire } from './head.ts'
import { leaseLeftMs, type Now } from './lease.ts'
import type { RegistryState } from './state.ts'

/** The capability of a host that answers content digests. */
export const CONTENT_DIGEST_CAPABILITY = 'content-digest'
/** Renewals in one response: each costs a verification. The next session fetches the rest. */
export const MAX_RENEWALS = 256
/** One byte of a seq. */
const CYCLE = 256

/** Whether a session with `peer` compares contents: there are many owners, and it can. */
export function comparesContent(state: RegistryState, peer: PeerKey): boolean {
  const head = state.entries.get(peer)?.sealed.head
  return state.entries.size > state.contentSyncAbove && head?.capabilities.includes(CONTENT_DIGEST_CAPABILITY) === true
}

/** "These are my contents, and this is how far my renewals are." */
export function contentRequest(state: RegistryState): registryPb.DigestRequest {
  const seqs = state.contents.ordered().map(group => Uint8Array.from(group, ({ sealed }) => lowByte(sealed)))
  return create(registryPb.DigestRequestSchema, { contentHashes: state.contents.hashes(), seqs })
}

/**
 * The heads that are newer than those of the host whose request this is, of the groups with equal contents: there both hold the
 * same owners.
 *
 * A seq counts as newer if it is less than half a cycle ahead. An owner that is further ahead has changed more than its lease, or
 * its lease has ended there.
 */
export function renewalsFor(
  state: RegistryState,
  { contentHashes, seqs }: registryPb.DigestRequest,
  now: Now
): registryPb.SignedHead[] {
  const groups = state.contents.ordered()
  const newer: registryPb.SignedHead[] = []
  for (const number of state.contents.equal(contentHashes)) {
    const group = groups[number] ?? []
    const theirs = seqs[number]
    if (theirs?.length !== group.length) continue
    for (const [at, { owner, sealed }] of group.entries()) {
      if (newer.length === MAX_RENEWALS) return newer
      if (isAhead(lowByte(sealed), theirs[at] ?? 0) && isLive(state, owner, now)) newer.push(toWire(sealed))
    }
  }
  return newer
}

function isAhead(ours: number, theirs: number): boolean {
  const ahead = (ours - theirs + CYCLE) % CYCLE
  return ahead > 0 && ahead < CYCLE / 2
}

function isLive(state: RegistryState, owner: PeerKey, now: Now): boolean {
  const entry = state.entries.get(owner)
  if (entry === undefined) return false
  return owner === state.own.peer || leaseLeftMs(entry.sealed.head, entry.receivedMonotonicMs, now) > 0
}

function lowByte({ head }: SealedHead): number {
  return Number(head.seq % BigInt(CYCLE))
}
