import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import { create, registryPb } from '../wire/index.ts'
import type { IncomingState } from './apply.ts'
import type { Limits } from './limits.ts'
import { openRecords, type StoredRecord } from './record.ts'
import { BUCKETS, type Bucket, bucketNumber, bucketOf, RecordSet, rootOf } from './record-set.ts'

const HASH_BYTES = 32

/** A verified head whose set is not there yet. */
export type IncomingHead = Omit<IncomingState, 'set'>

/**
 * A large set that is being fetched: its bucket hashes, checked against the root that the owner signed, and the buckets so far.
 * Buckets that are held already are not fetched.
 */
export class Assembly {
  readonly candidate: IncomingHead
  /** The first thing wrong with a record that the owner committed to. */
  fault: WarrenError | undefined
  readonly #base: RecordSet
  readonly #hashes: Buffer
  readonly #missing: number[] = []
  readonly #fetched = new Map<number, Bucket>()
  readonly #trustDomain: string
  readonly #limits: Limits
  #bytes = 0

  /** Throws MESSAGE_MALFORMED if the hashes are not those of the root. */
  constructor(candidate: IncomingHead, base: RecordSet, hashes: Uint8Array, trustDomain: string, limits: Limits) {
    if (hashes.length !== BUCKETS * HASH_BYTES || rootOf(hashes) !== candidate.sealed.head.root) {
      throw malformed('bucket hashes do not match the root')
    }
    this.candidate = candidate
    this.#base = base
    this.#hashes = Buffer.from(hashes)
    this.#trustDomain = trustDomain
    this.#limits = limits
    for (let number = 0; number < BUCKETS; number += 1) {
      if (base.bucket(number).sha256.equals(this.#hash(number))) continue
      const empty = RecordSet.empty.bucket(number)
      if (empty.sha256.equals(this.#hash(number))) this.#fetched.set(number, empty)
      else this.#missing.push(number)
    }
  }

  isComplete(): boolean {
    return this.#missing.length === 0
  }

  /** The request for the missing buckets. */
  request(): registryPb.BucketsRequest {
    const { ownerKey, epoch, recordSeq } = this.candidate.sealed.head
    return create(registryPb.BucketsRequestSchema, { owner: ownerKey, epoch, recordSeq, buckets: [...this.#missing] })
  }

  /** Accepts the first buckets of those asked for, in order. Throws MESSAGE_MALFORMED for anything else. */
  take(buckets: readonly registryPb.Bucket[]): void {
    const scope = { trustDomain: this.#trustDomain, machine: this.candidate.sealed.head.machine }
    for (const { number, records: list } of buckets) {
      if (number !== this.#missing[0]) throw malformed('a bucket was not asked for')
      const { records, fault } = openRecords(list, scope, this.#limits)
      const byId = new Map<string, StoredRecord>(records.map(record => [record.id, record]))
      const bucket = bucketOf([...byId.values()])
      if (!bucket.sha256.equals(this.#hash(number))) throw malformed('a bucket does not match its hash')
      if (records.some(({ id }) => bucketNumber(id) !== number)) throw malformed('a record is in the wrong bucket')
      this.fault ??= fault
      this.#bytes += bucket.bytes
      if (this.#bytes > this.#limits.maxSetBytes) throw malformed('a set is too large', 'registry_set_bytes')
      this.#fetched.set(number, bucket)
      this.#missing.shift()
    }
  }

  /** Reuses buckets of an earlier attempt where their hashes still match. */
  reuse({
    fetched,
    fault
  }: {
    readonly fetched: ReadonlyMap<number, Bucket>
    readonly fault: WarrenError | undefined
  }): void {
    // Buckets with a faulty record are fetched again, so that the fault is found in the set that it belongs to.
    if (fault !== undefined) return
    for (const number of [...this.#missing]) {
      const bucket = fetched.get(number)
      if (bucket === undefined || !bucket.sha256.equals(this.#hash(number))) continue
      this.#bytes += bucket.bytes
      this.#fetched.set(number, bucket)
      this.#missing.splice(this.#missing.indexOf(number), 1)
    }
  }

  /** The buckets fetched so far, for `reuse`. */
  get salvage(): { readonly fetched: ReadonlyMap<number, Bucket>; readonly fault: WarrenError | undefined } {
    return { fetched: this.#fetched, fault: this.fault }
  }

  /** The whole set, once complete. */
  set(): RecordSet {
    return this.#base.withBuckets(this.#fetched)
  }

  #hash(number: number): Buffer {
    return this.#hashes.subarray(number * HASH_BYTES, (number + 1) * HASH_BYTES)
  }
}

function malformed(why: string, limit?: LimitName): WarrenError {
  const reason = `a sync response is not usable: ${why}`
  return new WarrenError(ErrorCode.MessageMalformed, reason, limit === undefined ? {} : { limit })
}
