import { createHash } from 'node:crypto'
import {
  type Clock,
  ErrorCode,
  type KeyedRate,
  raceAbort,
  TokenBuckets,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { MAX_BUNDLE_BYTES } from '../../policy/index.ts'

/** What a question names in place of what it asks. */
export interface LongAskName {
  readonly sha256: Uint8Array
  readonly size: number
}

export interface LongAsksDeps {
  readonly isMember: (peer: PeerKey) => boolean
  /** Asks a host for what has this hash. */
  readonly request: (peer: PeerKey, sha256: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  readonly clock: Pick<Clock, 'monotonicMs'>
}

const HASH_BYTES = 32
/** The bound of a policy, which is the longest that is asked about. */
export const LONG_ASK_LIMITS = Object.freeze({ maxRequestBytes: HASH_BYTES, maxResponseBytes: MAX_BUNDLE_BYTES })
/** Long questions of this host at a time. */
const MAX_OWN = 4
/** Those of others that are held here, and fetched at a time. */
const MAX_HELD = 4
const HELD_MS = 60_000
const FETCH_MS = 8_000
/** Each costs up to a megabyte. */
const SERVED: KeyedRate = { perSecond: 1, burst: 8, maxKeys: 1_024 }

/**
 * What is asked, where that is too long for a question: the question has its hash, and whoever answers fetches it from the host that
 * passed the question on, or else from the one that asks.
 */
export class LongAsks {
  readonly #deps: LongAsksDeps
  readonly #own = new Map<string, Uint8Array>()
  readonly #held = new Map<string, Uint8Array>()
  readonly #fetching = new Map<string, { readonly requester: PeerKey; readonly bytes: Promise<Uint8Array> }>()
  readonly #served = new TokenBuckets<PeerKey>(SERVED)

  constructor(deps: LongAsksDeps) {
    this.#deps = deps
  }

  /** The hashes of what is held, for tests. */
  get size(): number {
    return this.#own.size + this.#held.size + this.#fetching.size
  }

  /** Lets others fetch `bytes` until `release` is called. Throws INVALID_ARGUMENT or LIMIT_EXCEEDED. */
  offer(bytes: Uint8Array): { readonly name: LongAskName; readonly release: () => void } {
    if (bytes.length > MAX_BUNDLE_BYTES) {
      throw new WarrenError(ErrorCode.InvalidArgument, `the question is longer than ${MAX_BUNDLE_BYTES} bytes`, {
        hint: 'No policy may be so long: make it shorter, by several names in one pattern for example: {a,b}.'
      })
    }
    if (this.#own.size >= MAX_OWN) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many long questions of this host are open', {
        hint: 'Wait until another dry run with --mesh has ended.'
      })
    }
    const sha256 = hashOf(bytes)
    const key = textOf(sha256)
    this.#own.set(key, bytes)
    return { name: { sha256, size: bytes.length }, release: () => this.#own.delete(key) }
  }

  /** What another host asks, from the first of `hosts` that has it. Throws LIMIT_EXCEEDED, NOT_FOUND or MESSAGE_MALFORMED. */
  async fetch(
    { sha256, size }: LongAskName,
    requester: PeerKey,
    hosts: readonly PeerKey[],
    signal: AbortSignal
  ): Promise<Uint8Array> {
    if (sha256.length !== HASH_BYTES || size > MAX_BUNDLE_BYTES) {
      throw new WarrenError(ErrorCode.MessageMalformed, 'a long question is not usable')
    }
    const key = textOf(sha256)
    const known = this.#known(key)
    if (known !== undefined) return await known
    const fetches = [...this.#fetching.values()]
    if (fetches.length >= MAX_HELD || fetches.some(one => one.requester === requester)) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many long questions', { limit: 'mesh_questions' })
    }
    const bytes = this.#fetch(sha256, size, hosts, signal)
    this.#fetching.set(key, { requester, bytes })
    try {
      const fetched = await bytes
      this.#hold(key, fetched)
      return fetched
    } finally {
      this.#fetching.delete(key)
    }
  }

  /** Gives a host what has this hash; waits for it while it is fetched. Throws NOT_READY, NOT_FOUND or LIMIT_EXCEEDED. */
  async serve(from: PeerKey, sha256: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    if (!this.#deps.isMember(from)) throw new WarrenError(ErrorCode.NotReady, 'the host that asks is not known here')
    const key = textOf(sha256)
    const known = this.#known(key)
    if (known === undefined) throw new WarrenError(ErrorCode.NotFound, 'this host has no such question')
    if (!this.#served.take(from, this.#deps.clock.monotonicMs())) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many long questions', { limit: 'mesh_questions' })
    }
    return known instanceof Promise ? await raceAbort(known, signal) : known
  }

  async #fetch(sha256: Uint8Array, size: number, hosts: readonly PeerKey[], signal: AbortSignal): Promise<Uint8Array> {
    for (const host of new Set(hosts)) {
      try {
        const bytes = await within(FETCH_MS, [signal], limit => this.#deps.request(host, sha256, limit))
        if (bytes.length === size && hashOf(bytes).equals(sha256)) return bytes
      } catch (err) {
        // An older program, or a host that is gone: the next one may have it.
        signal.throwIfAborted()
        if (!(err instanceof WarrenError || err instanceof DOMException)) throw err
      }
    }
    throw new WarrenError(ErrorCode.NotFound, 'what is asked could not be fetched from the host that asks')
  }

  #known(key: string): Uint8Array | Promise<Uint8Array> | undefined {
    return this.#own.get(key) ?? this.#held.get(key) ?? this.#fetching.get(key)?.bytes
  }

  #hold(key: string, bytes: Uint8Array): void {
    this.#held.set(key, bytes)
    const [oldest] = this.#held.keys()
    if (oldest !== undefined && this.#held.size > MAX_HELD) this.#held.delete(oldest)
    setTimeout(() => {
      if (this.#held.get(key) === bytes) this.#held.delete(key)
    }, HELD_MS).unref()
  }
}

function hashOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

function textOf(sha256: Uint8Array): string {
  return Buffer.from(sha256).toString('hex')
}
