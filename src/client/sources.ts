import { definedOnly, LruMap, raceAbort } from '../core/index.ts'
import type { AgentClient } from './agent-client.ts'
import { register } from './register.ts'
import type { RegisterOptions, Registration } from './registration.ts'

/** How long a source registration outlives its last connection, in milliseconds: it is a start-up cost of the next one. */
const LINGER_MS = 1_000
/** Endpoints remembered for one source. The oldest gives way: to ask again costs one call. */
const MAX_ENDPOINTS = 1_024

/** What a connection needs of the registration that it comes from. Give it back with `release`, once. */
export interface Source {
  readonly registration: Registration
  /** Endpoint paths by protocol and destination. */
  readonly endpoints: Pick<LruMap<string, string>, 'get'>
  remember(key: string, path: string): void
  forget(key: string): void
  release(): void
}

interface Entry {
  readonly registration: Promise<Registration>
  readonly endpoints: LruMap<string, string>
  users: number
  linger: NodeJS.Timeout | undefined
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

  /** The source registration of `as`, made if need be. Rejects as `register`, or with the signal's reason. */
  async acquire(as: string, options: SourceOptions, signal: AbortSignal): Promise<Source> {
    const entry = this.#entries.get(as) ?? this.#open(as, options)
    entry.users += 1
    clearTimeout(entry.linger)
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      entry.users -= 1
      if (entry.users === 0 && this.#entries.get(as) === entry)
        entry.linger = setTimeout(() => void this.#end(as, entry), LINGER_MS)
    }
    try {
      // Not cancelled by this signal, since others may wait for the same registration.
      const registration = await raceAbort(entry.registration, signal)
      return Object.freeze({
        registration,
        endpoints: entry.endpoints,
        remember: (key: string, path: string) => void entry.endpoints.set(key, path),
        forget: (key: string) => void entry.endpoints.delete(key),
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
    // Named one by one: the signal of the connection that comes first must not end what others share.
    const { log, application, wait } = options
    // `local`: a destination that has not heard of this source yet asks our agent before it refuses.
    const shared = definedOnly({ log, application, wait: wait ?? 'local' })
    const registration = register(as, { ...shared, client: this.#client })
    const entry: Entry = { registration, endpoints: new LruMap(MAX_ENDPOINTS), users: 0, linger: undefined }
    const drop = (): void => {
      clearTimeout(entry.linger)
      if (this.#entries.get(as) === entry) this.#entries.delete(as)
    }
    // One that could not be made, or that the agent ended, must not be handed out again.
    registration.then(live => live.closed.then(drop), drop)
    this.#entries.set(as, entry)
    return entry
  }

  async #end(as: string, entry: Entry): Promise<void> {
    clearTimeout(entry.linger)
    if (this.#entries.get(as) === entry) this.#entries.delete(as)
    // One that could not be made has told those who waited for it.
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
