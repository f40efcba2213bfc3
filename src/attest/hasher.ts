import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { type Clock, ErrorCode, type LimitName, LruMap, TokenBuckets, WarrenError } from '../core/index.ts'

export interface HasherLimits {
  /** A larger executable is not hashed, bytes. */
  readonly maxBytes: number
  /** Bytes that may be hashed for one user at once, and again each second. */
  readonly burstBytes: number
  readonly bytesPerSecond: number
  /** Requests that wait while another file is hashed. */
  readonly maxWaiting: number
}

const MIB = 1024 * 1024
export const DEFAULT_LIMITS: HasherLimits = Object.freeze({
  maxBytes: 512 * MIB,
  burstBytes: 1024 * MIB,
  bytesPerSecond: 16 * MIB,
  maxWaiting: 16
})
const MAX_USERS = 1_024
const MAX_CACHED = 256
const CHUNK_BYTES = MIB
/** A file changed this lately may change again without a new time stamp, so its hash is not kept. */
const SETTLED_MS = 2_000

/**
 * SHA-256 of executables: one file at a time, each once, with a limit for each user.
 *
 * A hash is kept for as long as device, inode, both times and size stay the same.
 */
export class ExecutableHasher {
  readonly #clock: Clock
  readonly #limits: HasherLimits
  readonly #used: TokenBuckets<number>
  readonly #cache = new LruMap<string, string>(MAX_CACHED)
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(clock: Clock, limits: HasherLimits = DEFAULT_LIMITS) {
    this.#clock = clock
    this.#limits = limits
    const { burstBytes, bytesPerSecond } = limits
    this.#used = new TokenBuckets({ burst: burstBytes, perSecond: bytesPerSecond, maxKeys: MAX_USERS })
  }

  /** Hex SHA-256 of an open file, on the account of `uid`. Throws LIMIT_EXCEEDED, or INVALID_SOURCE if it changes. */
  async hash(file: FileHandle, uid: number): Promise<string> {
    if (this.#waiting >= this.#limits.maxWaiting)
      throw exceeded('too many executables wait to be hashed', 'hash_waiting')
    this.#waiting += 1
    const turn = this.#last.then(() => this.#hash(file, uid))
    this.#last = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#waiting -= 1
    }
  }

  async #hash(file: FileHandle, uid: number): Promise<string> {
    const before = await version(file)
    const cached = this.#cache.get(before.key)
    if (cached !== undefined) return cached
    const now = this.#clock.monotonicMs()
    if (before.size > this.#limits.maxBytes) {
      throw exceeded(`the executable has ${before.size} bytes, more than are hashed`, 'hash_file_bytes')
    }
    if (this.#used.left(uid, now) < before.size) {
      throw exceeded(`too much to hash for uid ${uid} in a short time`, 'hash_bytes_per_second')
    }
    this.#used.use(uid, before.size, now)
    const digest = await digestOf(file, before.size)
    const after = await version(file)
    if (digest === undefined || after.key !== before.key) {
      throw new WarrenError(ErrorCode.InvalidSource, 'the executable changed while it was hashed')
    }
    if (this.#clock.wallMs() - after.changedAtMs > SETTLED_MS) this.#cache.set(after.key, digest)
    return digest
  }
}

async function version(file: FileHandle): Promise<{ key: string; size: number; changedAtMs: number }> {
  const { dev, ino, mtimeNs, ctimeNs, mtimeMs, ctimeMs, size } = await file.stat({ bigint: true })
  const changedAtMs = Math.max(Number(mtimeMs), Number(ctimeMs))
  return { key: [dev, ino, mtimeNs, ctimeNs, size].join(), size: Number(size), changedAtMs }
}

async function digestOf(file: FileHandle, size: number): Promise<string | undefined> {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(CHUNK_BYTES)
  // Never more than was counted for it, if the file grows.
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK_BYTES, size - at), at)
    if (bytesRead === 0) return undefined
    hash.update(chunk.subarray(0, bytesRead))
    at += bytesRead
  }
  return hash.digest('hex')
}

function exceeded(reason: string, limit: LimitName): WarrenError {
  return new WarrenError(ErrorCode.LimitExceeded, reason, { limit, hint: 'Try again in a minute.' })
}
