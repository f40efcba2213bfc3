import { hash } from 'node:crypto'
import type { StoredRecord } from './record.ts'

export const BUCKETS = 256

/** The records of a set whose registration ids hash to one number, sorted by id, with their hash. Immutable. */
export interface Bucket {
  readonly records: readonly StoredRecord[]
  /** SHA-256 over the SHA-256 of each record, in order. */
  readonly sha256: Buffer
  readonly bytes: number
}

export interface SetDifference {
  readonly added: StoredRecord[]
  readonly removed: StoredRecord[]
}

/** Makes a bucket of these records, which may be in any order. */
export function bucketOf(records: readonly StoredRecord[]): Bucket {
  if (records.length === 0) return EMPTY_BUCKET
  const sorted = [...records].sort(byId)
  return {
    records: sorted,
    sha256: hash('sha256', Buffer.from(sorted.map(({ sha256 }) => sha256).join(''), 'latin1'), 'buffer'),
    bytes: sorted.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }
}

const EMPTY_BUCKET: Bucket = Object.freeze({ records: [], sha256: hash('sha256', '', 'buffer'), bytes: 0 })

// Each connection looks for the same few ids, and a hash costs as much as all of the rest of it.
const numbers = new Map<string, number>()
const MAX_NUMBERS = 4_096

/** The number of the bucket of a registration id. */
export function bucketNumber(id: string): number {
  const known = numbers.get(id)
  if (known !== undefined) return known
  const number = hash('sha256', Buffer.from(id, 'hex'), 'buffer')[0] ?? 0
  if (numbers.size >= MAX_NUMBERS) numbers.clear()
  numbers.set(id, number)
  return number
}

/** The root that commits to bucket hashes, 32 bytes each, in order. */
export function rootOf(hashes: Uint8Array): string {
  return hash('sha256', hashes, 'hex')
}

/**
 * One owner's complete set of records. Immutable: a change makes a new set that shares the unchanged buckets, so
 * that a change can be tried, verified by its root, and kept or dropped.
 */
export class RecordSet {
  static readonly empty = new RecordSet(new Array<Bucket>(BUCKETS).fill(EMPTY_BUCKET), 0, 0)

  readonly #buckets: readonly Bucket[]
  readonly count: number
  readonly bytes: number
  #root: string | undefined
  #servers: number | undefined

  private constructor(buckets: readonly Bucket[], count: number, bytes: number) {
    this.#buckets = buckets
    this.count = count
    this.bytes = bytes
  }

  /** 64 hex digits that commit to the complete set; see docs/protocol/registry.md. */
  get root(): string {
    this.#root ??= rootOf(this.bucketHashes())
    return this.#root
  }

  /** Number of records that serve anything. */
  get servers(): number {
    if (this.#servers === undefined) {
      this.#servers = 0
      for (const { value } of this) if (value.protocols.length > 0) this.#servers += 1
    }
    return this.#servers
  }

  /** The 256 bucket hashes, 32 bytes each. */
  bucketHashes(): Buffer {
    return Buffer.concat(this.#buckets.map(({ sha256 }) => sha256))
  }

  bucket(number: number): Bucket {
    return this.#buckets[number] ?? EMPTY_BUCKET
  }

  get(id: string): StoredRecord | undefined {
    const { records } = this.bucket(bucketNumber(id))
    let low = 0
    let high = records.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const candidate = records[middle]
      if (candidate === undefined) return undefined
      if (candidate.id === id) return candidate
      if (candidate.id < id) low = middle + 1
      else high = middle
    }
    return undefined
  }

  *[Symbol.iterator](): Generator<StoredRecord, void, undefined> {
    for (const { records } of this.#buckets) if (records.length > 0) yield* records
  }

  /** The set after `deletes` and then `puts`; a put replaces the record of its id. */
  with(puts: readonly StoredRecord[], deletes: readonly string[]): RecordSet {
    const touched = new Map<number, Map<string, StoredRecord>>()
    const open = (id: string): Map<string, StoredRecord> => {
      const number = bucketNumber(id)
      let records = touched.get(number)
      if (records === undefined) {
        records = new Map(this.bucket(number).records.map(record => [record.id, record]))
        touched.set(number, records)
      }
      return records
    }
    for (const id of deletes) open(id).delete(id)
    for (const record of puts) open(record.id).set(record.id, record)
    return this.withBuckets(new Map([...touched].map(([number, records]) => [number, bucketOf([...records.values()])])))
  }

  /** The set with some of its buckets replaced. */
  withBuckets(replaced: ReadonlyMap<number, Bucket>): RecordSet {
    const buckets = [...this.#buckets]
    let { count, bytes } = this
    for (const [number, bucket] of replaced) {
      const old = this.bucket(number)
      count += bucket.records.length - old.records.length
      bytes += bucket.bytes - old.bytes
      buckets[number] = bucket
    }
    return new RecordSet(buckets, count, bytes)
  }

  /** The records that only `next` or only this set holds; a changed record is in both lists. */
  difference(next: RecordSet): SetDifference {
    const difference: SetDifference = { added: [], removed: [] }
    if (next === this) return difference
    for (let number = 0; number < BUCKETS; number += 1) {
      const before = this.bucket(number)
      const after = next.bucket(number)
      if (before === after || before.sha256.equals(after.sha256)) continue
      const held = new Map(before.records.map(record => [record.id, record]))
      for (const record of after.records) {
        const old = held.get(record.id)
        held.delete(record.id)
        if (old?.sha256 === record.sha256) continue
        difference.added.push(record)
        if (old !== undefined) difference.removed.push(old)
      }
      difference.removed.push(...held.values())
    }
    return difference
  }
}

function byId(a: StoredRecord, b: StoredRecord): number {
  if (a.id === b.id) return 0
  return a.id < b.id ? -1 : 1
}
