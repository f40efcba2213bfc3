import { definedOnly, LruMap, raceAbort } from '../core/index.ts'
import type { AgentClient } from './agent-client.ts'
import { linger } from './linger.ts'
import { holdAddress } from './register.ts'
import type { RegisterOptions, Registration } from './registration.ts'

/**
 * Time that a source registration outlives its last connection, in milliseconds, unless the program ends before: the next
 * connection then starts faster.
 */
const LINGER_MS = 1_000
/** Endpoints remembered for one source. The oldest is removed: asking again costs one call. */
const MAX_ENDPOINTS = 1_024

/** The registration that a connection comes from. Give it back with `release`, once. */
export interface Source {
  readonly registration: Registration
  /** Endpoint paths by protocol and destination. */
  readonly endpoints: Pick<LruMap<string, string>, 'get'>
  remember(key: string, path: string): void
  forget(key: string): void
  /** Makes the process stay while this connection is there, as at first; or not. */
  ref(): void
  unref(): void
  release(): void
}

interface Entry {
  readonly registration: Promise<Registration>
  readonly endpoints: LruMap<string, string>
  users: number
  cancelLinger: () => void
}

export type SourceOptions = Pick<RegisterOptions, 'log' | 'wait' | 'application'>

/** The source registrations of one process with one agent: one for each address, shared by its connections. */
export class Sources {
  readonly #client: AgentClient
  readonly #entries = new Map<string, Entry>()

  constructor(client: AgentClient) {
    this.#client = client
    client.onClose(() => this.close())
  }

  /**
   * Returns the source registration of `as`; makes it if there is none. Rejects as `register`, or with the signal's
   * reason.
   */
  async acquire(as: string, options: SourceOptions, signal: AbortSignal): Promise<Source> {
    const entry = this.#entries.get(as) ?? this.#open(as, options)
    entry.users += 1
    entry.cancelLinger()
    let held = true
    let releaseHold: (() => void) | undefined = this.#client.hold()
    const unref = (): void => {
      releaseHold?.()
      releaseHold = undefined
    }
    const ref = (): void => {
      if (held) releaseHold ??= this.#client.hold()
    }
    const release = (): void => {
      if (!held) return
      held = false
      unref()
      entry.users -= 1
      if (entry.users === 0 && this.#entries.get(as) === entry)
        entry.cancelLinger = linger(LINGER_MS, () => void this.#end(as, entry))
    }
    try {
      // Not cancelled by this signal, since others may wait for the same registration.
      const registration = await raceAbort(entry.registration, signal)
      return Object.freeze({
        registration,
        endpoints: entry.endpoints,
        remember: (key: string, path: string) => void entry.endpoints.set(key, path),
        forget: (key: string) => void entry.endpoints.delete(key),
        ref,
        unref,
        release
      })
    } catch (err) {
      release()
      throw err
    }
  }

  /** Deregisters all of them; their connections end. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#entries].map(([as, entry]) => this.#end(as, entry)))
  }

  #open(as: string, options: SourceOptions): Entry {
    // Only these options are shared: the signal of the first connection must not end the registration of the others.
    const { log, application, wait } = options
    // `local` suffices: a destination that does not know this source yet asks our agent before it refuses.
    const shared = definedOnly({ log, application, wait: wait ?? 'local' })
    const registration = holdAddress(as, { ...shared, client: this.#client }, false)
    const entry: Entry = { registration, endpoints: new LruMap(MAX_ENDPOINTS), users: 0, cancelLinger: () => {} }
    const drop = (): void => {
      entry.cancelLinger()
      if (this.#entries.get(as) === entry) this.#entries.delete(as)
    }
    // A registration that failed, or that the agent ended, must not be returned again.
    registration.then(live => live.closed.then(drop), drop)
    this.#entries.set(as, entry)
    return entry
  }

  async #end(as: string, entry: Entry): Promise<void> {
    entry.cancelLinger()
    if (this.#entries.get(as) === entry) this.#entries.delete(as)
    // The callers that waited have received the failure.
    const registration = await entry.registration.catch(() => undefined)
    await registration?.close()
  }
}

const byClient = new WeakMap<AgentClient, Sources>()

/** The sources of this process over `client`. */
export function sourcesOf(client: AgentClient): Sources {
  const known = byClient.get(client)
  if (known !== undefined) return known
  const sources = new Sources(client)
  byClient.set(client, sources)
  return sources
}
