import { asOwn, ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { create, registryPb, toBinary } from '../wire/index.ts'
import { changed, replace } from './apply.ts'
import { boundChain } from './chain.ts'
import { type AckMode, compareAge, type Head, type SealedHead, sealOwnHead, toWire } from './head.ts'
import { leaseFor, MIN_LEASE_MS, type Now } from './lease.ts'
import { MAX_COUNTER, MAX_DELTA_CHANGES, MAX_EPOCH_LEAD_MS } from './limits.ts'
import { alarm, type Effect, type Profile, SENT_TO_ALL_BYTES } from './message.ts'
import { type LocalRecord, sealRecord } from './record.ts'
import { bucketNumber } from './record-set.ts'
import { lacksLive, notePublication } from './replication.ts'
import { type Admitted, certificateDigest, type Entry, type RegistryState } from './state.ts'

interface SetChange {
  readonly fromSeq: bigint
  readonly puts: readonly Uint8Array[]
  readonly deletes: readonly string[]
}

/**
 * Changes our own set and publishes the change.
 *
 * Throws INVALID_ARGUMENT or LIMIT_EXCEEDED; then nothing has changed.
 */
export function changeOwnSet(
  state: RegistryState,
  puts: readonly LocalRecord[],
  deletes: readonly string[],
  now: Now
): Effect[] {
  const { own, limits } = state
  const sealed = puts.map(record =>
    sealRecord(record, { trustDomain: state.trustDomain, machine: own.machine }, limits)
  )
  const next = own.set.with(sealed, deletes)
  if (next.count > limits.maxRecords) {
    throw exceeded(`${limits.maxRecords} records of this host`, 'registry_records')
  }
  if (next.bytes > limits.maxSetBytes) {
    throw exceeded(`${limits.maxSetBytes} bytes of records of this host`, 'registry_set_bytes')
  }
  for (const { id } of sealed) {
    if (next.bucket(bucketNumber(id)).bytes > limits.maxBucketBytes) {
      throw exceeded('the bucket of a record', 'registry_bucket_bytes')
    }
  }
  const { added, removed } = own.set.difference(next)
  if (added.length === 0 && removed.length === 0) return []
  const change: SetChange = {
    fromSeq: own.recordSeq,
    puts: added.map(({ bytes }) => bytes),
    deletes: removed.filter(({ id }) => next.get(id) === undefined).map(({ id }) => id)
  }
  const before = own.set
  own.set = next
  try {
    return own.profile === undefined ? [] : publish(state, { profile: own.profile, change }, now)
  } catch (err) {
    own.set = before
    throw err
  }
}

/**
 * Changes the profile of this host.
 *
 * Throws CERTIFICATE_REFUSED if our own chain is not valid, INVALID_ARGUMENT or LIMIT_EXCEEDED for a profile that others would
 * refuse; then the previous profile stays.
 */
export function changeProfile(state: RegistryState, profile: Profile, now: Now): Effect[] {
  const { own } = state
  const first = own.profile === undefined
  if (own.profile !== undefined && sameProfile(own.profile, profile)) return []
  if (own.profile !== undefined && waitsForRenewal(state, own.profile, profile)) {
    own.profile = Object.freeze({ ...profile })
    return []
  }
  asOwn(() => boundChain(profile.nodeChain, state.limits))
  const identity = state.admit(profile.nodeChain, now.wallMs)
  if (identity?.peer !== own.peer || identity.machine !== own.machine) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate chain of this host is not valid')
  }
  // Records that were registered before we could publish are in the first head.
  const change = { fromSeq: 0n, puts: [...own.set].map(({ bytes }) => bytes), deletes: [] }
  const begun = first ? [persistOwn(state)] : []
  const effects = publish(state, { profile, identity, ...(first ? { change } : {}) }, now)
  own.profile = Object.freeze({ ...profile })
  own.identity = identity
  return [...begun, ...effects]
}

/** The mesh is so large that a head of each host in ten seconds would be most of its traffic: the next renewal says it. */
const AUDIT_WITH_RENEWALS_ABOVE = 512

function waitsForRenewal({ entries }: RegistryState, before: Profile, after: Profile): boolean {
  return entries.size > AUDIT_WITH_RENEWALS_ABOVE && sameProfile({ ...before, audit: after.audit }, after)
}

/** Signs a new head, so that our lease continues. */
export function refresh(state: RegistryState, now: Now): Effect[] {
  return state.own.profile === undefined ? [] : publish(state, { profile: state.own.profile }, now)
}

/**
 * Signs the last head of this run, which says that this host stops. Other hosts drop its state at once. Its lease is the
 * shortest one, for those that do not know such heads.
 */
export function leave(state: RegistryState, now: Now): Effect[] {
  return state.own.profile === undefined ? [] : publish(state, { profile: state.own.profile, leaving: true }, now)
}

/**
 * Reacts to a head that our own key signed.
 *
 * If it is newer than every head of this run, our disk is older than our past, or another host has our key; in both cases
 * our next head must outrank it. So the epoch is raised above it, on disk first.
 */
export function handleOwnHead(state: RegistryState, { head, digest }: SealedHead, now: Now): Effect[] {
  const { own } = state
  const age = compareAge(head, own)
  const ours = state.entries.get(own.peer)?.sealed
  if (age < 0 || (age === 0 && (ours === undefined || ours.digest === digest))) return []
  const detail = `epoch ${head.epoch} seq ${head.seq} was signed with our key; we are at ${own.epoch} ${own.seq}`
  return outrank(state, head.epoch, detail, now)
}

/**
 * Reacts to a peer that claims to have held a state of ours from our future: our disk and our clock are older than our
 * past, and other hosts ignore us until our next head outranks it.
 *
 * The claim has no proof, so it can raise our epoch to a day ahead of our clock and no further: a liar gains nothing.
 */
export function handleOwnPast(state: RegistryState, from: PeerKey, epoch: bigint, now: Now): Effect[] {
  const { own } = state
  const detail = `${from} has held epoch ${epoch} of ours; we are at ${own.epoch} ${own.seq}`
  if (epoch <= BigInt(Math.trunc(now.wallMs + MAX_EPOCH_LEAD_MS))) return outrank(state, epoch, detail, now)
  const quota = state.repeats.take('own past', now.monotonicMs)
  return quota === 'allowed' ? [alarm('own-state-ahead', own.peer, detail)] : []
}

function outrank(state: RegistryState, epoch: bigint, detail: string, now: Now): Effect[] {
  const { own } = state
  const quota = state.repeats.take('own', now.monotonicMs)
  // Two hosts with one key would outbid each other without end.
  if (quota === 'refused') return []
  if (quota === 'first-refused' || epoch + 1n >= MAX_COUNTER) return [alarm('duplicate-identity', own.peer, detail)]
  own.epoch = epoch + 1n
  const published = own.profile === undefined ? [] : publish(state, { profile: own.profile, newEpoch: true }, now)
  return [persistOwn(state), alarm('own-state-ahead', own.peer, detail), ...published]
}

interface Next {
  readonly profile: Profile
  /** The facts that the chain in the profile proves. @default those held */
  readonly identity?: Admitted
  readonly change?: SetChange
  readonly newEpoch?: boolean
  readonly leaving?: boolean
}

/** Throws like `sealOwnHead`; then nothing has changed. */
function publish(state: RegistryState, next: Next, now: Now): Effect[] {
  const { own, limits } = state
  const { profile, identity = own.identity, change, newEpoch = false, leaving = false } = next
  // Set together with the profile.
  if (identity === undefined) return []
  const before = state.entries.get(own.peer)
  const { seq, recordSeq } = own
  own.seq += 1n
  if (change !== undefined || newEpoch || before === undefined) own.recordSeq = own.seq
  const lease = leaseFor(state.leases, state.entries.size)
  const leaseMs = leaving ? MIN_LEASE_MS : lease.leaseMs
  const isAwaited = !leaving && now.monotonicMs < own.acksUntilMonotonicMs
  const acks: AckMode = isAwaited && (change !== undefined || lacksLive(state)) ? 'wanted' : 'none'
  let sealed: SealedHead
  try {
    sealed = sealOwnHead(headOf(state, profile, { leaseMs, leaving, acks }, now), state.trustDomain, limits, state.sign)
  } catch (err) {
    Object.assign(own, { seq, recordSeq })
    throw err
  }
  if (acks === 'wanted') own.askedAtMonotonicMs = now.monotonicMs
  own.refreshAtMonotonicMs = now.monotonicMs + early(state, lease.refreshMs)
  const entry: Entry = {
    owner: own.peer,
    ownerKey: own.ownerKey,
    sealed,
    set: own.set,
    identity,
    chain: profile.nodeChain,
    certificateSha256: sealed.head.certificateSha256,
    receivedMonotonicMs: now.monotonicMs,
    suspect: false
  }
  const { added, removed } = replace(state, entry)
  notePublication(state, own.seq, now)
  const effects: Effect[] = []
  if (added.length > 0 || removed.length > 0) effects.push(changed(entry, 'set', added, removed))
  effects.push({ type: 'publish', bytes: gossipOf(sealed, change, limits.maxGossipBytes), seq: own.seq })
  return effects
}

function headOf(
  { own }: RegistryState,
  profile: Profile,
  said: Pick<Head, 'leaseMs' | 'leaving' | 'acks'>,
  now: Now
): Head {
  const { peer: owner, ownerKey, machine, epoch, seq, recordSeq, set } = own
  const { nodeChain, ...profiled } = profile
  const certificateSha256 = certificateDigest(nodeChain)
  const { count, root } = set
  return {
    ...profiled,
    ...said,
    owner,
    ownerKey,
    machine,
    epoch,
    seq,
    recordSeq,
    issuedAtMs: now.wallMs,
    count,
    root,
    certificateSha256
  }
}

// Up to a tenth early, at random, so that hosts that started at the same time do not refresh at the same time.
function early(state: RegistryState, refreshMs: number): number {
  const { own } = state
  const byte = own.ownerKey[Number(own.seq % 32n)] ?? 0
  return refreshMs * (1 - byte / 2_560)
}

function gossipOf(sealed: SealedHead, change: SetChange | undefined, maxBytes: number): Uint8Array {
  const { ownerKey: owner, epoch, recordSeq } = sealed.head
  const head = toWire(sealed)
  const headOnly = (): Uint8Array =>
    toBinary(registryPb.GossipSchema, create(registryPb.GossipSchema, { event: { case: 'head', value: head } }))
  if (change === undefined) return headOnly()
  const { fromSeq, puts, deletes } = change
  const delta = create(registryPb.DeltaSchema, {
    owner,
    epoch,
    fromSeq,
    toSeq: recordSeq,
    puts: [...puts],
    deletes: deletes.map(id => Buffer.from(id, 'hex')),
    head
  })
  const bytes = toBinary(
    registryPb.GossipSchema,
    create(registryPb.GossipSchema, { event: { case: 'delta', value: delta } })
  )
  // The head alone shows other hosts that there is something to fetch.
  return bytes.length <= maxBytes - SENT_TO_ALL_BYTES && puts.length + deletes.length <= MAX_DELTA_CHANGES
    ? bytes
    : headOnly()
}

function persistOwn(state: RegistryState): Effect {
  const { peer: owner, epoch, seq } = state.own
  return { type: 'persist', highWaterMark: { owner, epoch, seq } }
}

function sameProfile(a: Profile, b: Profile): boolean {
  const text = ({ nodeChain, policyVersion, trustVersion, ...rest }: Profile): string =>
    JSON.stringify([
      rest.meshAddresses,
      rest.dataAddresses,
      rest.capabilities,
      rest.draining,
      rest.jwtKeys,
      rest.softwareVersion,
      rest.protocolVersions,
      rest.audit ?? null,
      String(policyVersion),
      String(trustVersion),
      rest.policySets ?? '',
      nodeChain.map(certificate => Buffer.from(certificate).toString('base64'))
    ])
  return text(a) === text(b)
}

function exceeded(what: string, limit: LimitName): WarrenError {
  return new WarrenError(ErrorCode.LimitExceeded, `the limit for ${what} is reached`, {
    limit,
    hint: 'Deregister workloads that are no longer needed, or run some on another host.'
  })
}
