import { hash } from 'node:crypto'
import { LruMap } from '../../core/index.ts'
import type { Pattern } from '../../identity/index.ts'
import { apiPb, create } from '../../wire/index.ts'
import { packedBytes } from '../packed.ts'

/** The services that match a pattern, at one moment. Never changed. */
export interface ServiceSnapshot {
  readonly message: apiPb.WatchServicesResponse
  /** Equal for equal services. */
  readonly key: string
  /** Resolves at the first change after that moment. */
  readonly change: Promise<void>
  readonly madeMs: number
}

/** Beyond it, watchers of other patterns make theirs again. */
const MAX_PATTERNS = 16

/**
 * One snapshot per pattern and change, shared by all watchers; and in a time of many changes one in `freshMs`.
 *
 * A state of 650 services takes 5 ms to make: made for each change, as soon as one of 512 watchers had its turn, it took most of
 * the agent's time.
 */
export class ServiceSnapshots {
  readonly #services: (pattern: Pattern | undefined) => apiPb.Service[]
  readonly #freshMs: number
  readonly #snapshots = new LruMap<string, ServiceSnapshot>(MAX_PATTERNS)

  constructor(services: (pattern: Pattern | undefined) => apiPb.Service[], freshMs: number) {
    this.#services = services
    this.#freshMs = freshMs
  }

  /** The services until the next change, which `change` announces. Undefined if they are not known yet: then `make` them. */
  current(pattern: Pattern | undefined, change: Promise<void>): ServiceSnapshot | undefined {
    const snapshot = this.#snapshots.get(keyOf(pattern))
    return snapshot?.change === change ? snapshot : undefined
  }

  /** The services at a moment of the last `freshMs`. Its `change` may have resolved. */
  fresh(pattern: Pattern | undefined, nowMs: number): ServiceSnapshot | undefined {
    const snapshot = this.#snapshots.get(keyOf(pattern))
    return snapshot !== undefined && nowMs - snapshot.madeMs < this.#freshMs ? snapshot : undefined
  }

  make(pattern: Pattern | undefined, change: Promise<void>, nowMs: number): ServiceSnapshot {
    const message = create(apiPb.WatchServicesResponseSchema, { services: this.#services(pattern) })
    const key = hash('sha256', packedBytes(apiPb.WatchServicesResponseSchema, message), 'base64')
    const snapshot = { message, key, change, madeMs: nowMs }
    this.#snapshots.set(keyOf(pattern), snapshot)
    return snapshot
  }
}

function keyOf(pattern: Pattern | undefined): string {
  return pattern?.text ?? ''
}
