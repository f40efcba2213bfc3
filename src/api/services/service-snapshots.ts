import { createHash } from 'node:crypto'
import { LruMap } from '../../core/index.ts'
import type { Pattern } from '../../identity/index.ts'
import { apiPb, create, toBinary } from '../../wire/index.ts'
import type { ServiceFields } from './workload.ts'

/** The services that match a pattern, at one moment. Never changed. */
export interface ServiceSnapshot {
  readonly message: apiPb.WatchServicesResponse
  /** Equal for equal services. */
  readonly key: string
}

/** Beyond it, watchers of other patterns make theirs again. */
const MAX_PATTERNS = 16

/** One snapshot per pattern and change, shared by all watchers. */
export class ServiceSnapshots {
  readonly #services: (pattern: Pattern | undefined) => ServiceFields[]
  readonly #snapshots = new LruMap<string, ServiceSnapshot>(MAX_PATTERNS)
  #until: Promise<void> | undefined

  constructor(services: (pattern: Pattern | undefined) => ServiceFields[]) {
    this.#services = services
  }

  /** The services until the next change, which `change` announces. Undefined if they are not known yet: then `make` them. */
  known(pattern: Pattern | undefined, change: Promise<void>): ServiceSnapshot | undefined {
    if (this.#until !== change) this.#snapshots.clear()
    this.#until = change
    return this.#snapshots.get(pattern?.text ?? '')
  }

  make(pattern: Pattern | undefined): ServiceSnapshot {
    const message = create(apiPb.WatchServicesResponseSchema, { services: this.#services(pattern) })
    const key = createHash('sha256').update(toBinary(apiPb.WatchServicesResponseSchema, message)).digest('base64')
    const snapshot = { message, key }
    this.#snapshots.set(pattern?.text ?? '', snapshot)
    return snapshot
  }
}
