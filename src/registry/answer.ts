import { ErrorCode, WarrenError } from '../core/index.ts'
import { type PeerKey, peerKeyOf } from '../identity/index.ts'
import { create, registryPb } from '../wire/index.ts'
import { renewalsFor } from './content.ts'
import { GROUP_HASH_BYTES, GROUPS } from './digest-table.ts'
import { toWire } from './head.ts'
import { leaseLeftMs, type Now } from './lease.ts'
import { ENVELOPE_BYTES, type Limits } from './limits.ts'
import { BUCKETS, type RecordSet } from './record-set.ts'
import type { Entry, RegistryState } from './state.ts'
import { decodeRequest, encodeResponse, MAX_WANTS } from './wire-bounds.ts'

// A tag and a length of up to three bytes.
const FIELD_OVERHEAD_BYTES = 4

export interface AnswerListeners {
  /** The request was refused. @default no notification */
  readonly onRefused?: ((err: WarrenError) => void) | undefined
  /** The peer holds something else than this host: it may be behind, or ahead. @default no notification */
  readonly onDifference?: () => void
}

/**
 * Answers a sync request from the state held. Changes nothing, and never throws: an unreadable request is answered
 * with a refusal. The answer fits `maxResponseBytes`.
 */
export function answer(
  state: RegistryState,
  request: Uint8Array,
  now: Now,
  { onRefused, onDifference }: AnswerListeners = {}
): Uint8Array {
  try {
    const { ask } = decodeRequest(request, state.limits)
    switch (ask.case) {
      case 'digest':
        return answerDigest(state, ask.value, now, onDifference)
      case 'fetch':
        return answerFetch(state, ask.value, now)
      case 'buckets':
        return answerBuckets(state, ask.value)
      default:
        throw malformed('it asks for nothing known')
    }
  } catch (err) {
    const refusal = WarrenError.from(err)
    onRefused?.(refusal)
    const { code, reason } = refusal
    return encodeResponse({ case: 'refused', value: create(registryPb.SyncRefusedSchema, { code, reason }) })
  }
}

function answerDigest(
  state: RegistryState,
  request: registryPb.DigestRequest,
  now: Now,
  onDifference: AnswerListeners['onDifference']
): Uint8Array {
  const { groupHashes, contentHashes } = request
  const isOfContent = groupHashes.length === 0
  const hashes = isOfContent ? contentHashes : groupHashes
  if (hashes.length !== GROUPS * GROUP_HASH_BYTES) throw malformed('its digest has another size')
  const lines = isOfContent ? state.contents.differing(hashes) : state.digests.differing(hashes)
  const owners = [...lines].map(({ owner, ownerKey }) => ownerDigest(state, owner, ownerKey))
  const renewals = isOfContent ? renewalsFor(state, request, now) : []
  if (owners.length > 0) onDifference?.()
  return encodeResponse({ case: 'digest', value: create(registryPb.DigestResponseSchema, { owners, renewals }) })
}

function ownerDigest(state: RegistryState, owner: PeerKey, ownerKey: Uint8Array): registryPb.OwnerDigest {
  const sealed = state.entries.get(owner)?.sealed
  const { epoch = 0n, seq = 0n } = sealed?.head ?? {}
  const headDigest = Buffer.from(sealed?.digest ?? '', 'hex')
  return create(registryPb.OwnerDigestSchema, { owner: ownerKey, epoch, seq, headDigest })
}

function answerFetch(state: RegistryState, { wants }: registryPb.FetchRequest, now: Now): Uint8Array {
  if (wants.length > MAX_WANTS) throw malformed(`it asks for more than ${MAX_WANTS} owners`)
  const states: registryPb.OwnerState[] = []
  let left = state.limits.maxResponseBytes - ENVELOPE_BYTES
  for (const want of wants) {
    if (want.owner.length !== 32) throw malformed('an owner is not a key')
    const entry = state.entries.get(peerKeyOf(want.owner))
    if (entry === undefined || !isLive(state, entry, now)) continue
    const { message, bytes } = stateOf(entry, want, state.limits)
    if (bytes > left) break
    left -= bytes
    states.push(message)
  }
  return encodeResponse({ case: 'fetch', value: create(registryPb.FetchResponseSchema, { states }) })
}

function answerBuckets(state: RegistryState, request: registryPb.BucketsRequest): Uint8Array {
  if (request.owner.length !== 32 || request.buckets.length > BUCKETS) throw malformed('it asks for no buckets')
  const entry = state.entries.get(peerKeyOf(request.owner))
  const buckets: registryPb.Bucket[] = []
  const head = entry?.sealed.head
  if (entry !== undefined && head?.epoch === request.epoch && head.recordSeq === request.recordSeq) {
    let left = state.limits.maxResponseBytes - ENVELOPE_BYTES
    for (const number of request.buckets) {
      if (number >= BUCKETS) throw malformed(`there is no bucket ${number}`)
      const { records, bytes } = entry.set.bucket(number)
      left -= bytes + (records.length + 2) * FIELD_OVERHEAD_BYTES
      if (left < 0 && buckets.length > 0) break
      buckets.push(create(registryPb.BucketSchema, { number, records: records.map(record => record.bytes) }))
    }
  }
  return encodeResponse({ case: 'buckets', value: create(registryPb.BucketsResponseSchema, { buckets }) })
}

function stateOf(
  entry: Entry,
  want: registryPb.Want,
  limits: Limits
): { message: registryPb.OwnerState; bytes: number } {
  const { sealed, set, chain, certificateSha256 } = entry
  const hasChain = Buffer.from(want.certificateSha256).toString('hex') === certificateSha256
  const hasSet = Buffer.from(want.root).toString('hex') === sealed.head.root
  const nodeChain = hasChain ? [] : [...chain]
  const { content, bytes } = hasSet ? { content: { case: undefined }, bytes: 0 } : contentOf(set, limits)
  const message = create(registryPb.OwnerStateSchema, { head: toWire(sealed), nodeChain, set: content })
  const chainBytes = nodeChain.reduce((sum, certificate) => sum + certificate.length + FIELD_OVERHEAD_BYTES, 0)
  return {
    message,
    bytes: sealed.bytes.length + sealed.signature.length + chainBytes + bytes + 16 * FIELD_OVERHEAD_BYTES
  }
}

function contentOf(set: RecordSet, limits: Limits): { content: registryPb.OwnerState['set']; bytes: number } {
  const bytes = set.bytes + set.count * FIELD_OVERHEAD_BYTES
  if (bytes > limits.maxInlineBytes) {
    const hashes = set.bucketHashes()
    const value = create(registryPb.BucketHashesSchema, { hashes })
    return { content: { case: 'bucketHashes', value }, bytes: hashes.length }
  }
  const records = [...set].map(record => record.bytes)
  return { content: { case: 'records', value: create(registryPb.RecordSetSchema, { records }) }, bytes }
}

function isLive(state: RegistryState, entry: Entry, now: Now): boolean {
  return entry.owner === state.own.peer || leaseLeftMs(entry.sealed.head, entry.receivedMonotonicMs, now) > 0
}

function malformed(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `a sync request is not usable: ${why}`)
}
