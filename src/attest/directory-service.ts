import { execFile } from 'node:child_process'
import { type Clock, LruMap } from '../core/index.ts'

export type NameKind = 'passwd' | 'group'

/** One question to the name service: the lines of the ids or names that it knows. Rejects when it cannot be asked. */
export type AskNames = (kind: NameKind, keys: ReadonlyArray<number | string>) => Promise<string>

const KEPT_MS = 60_000
/** Pause after a question without an answer. */
const REST_MS = 10_000
const TIMEOUT_MS = 2_000
const MAX_OUTPUT_BYTES = 1024 * 1024
const MAX_CACHED = 4_096
const MAX_ASKED = 1_024
const MAX_WAITING = 64

/**
 * The names of users and groups that a directory service (sssd, LDAP, NIS, systemd-homed) knows, through the system's own
 * name service switch.
 *
 * One question at a time, in a process of its own: a directory that does not answer costs two seconds every ten, and no
 * thread of ours. An id without an answer has no name.
 */
export class DirectoryService {
  readonly #clock: Clock
  readonly #ask: AskNames
  readonly #cache = new LruMap<string, { readonly name: string | undefined; readonly untilMs: number }>(MAX_CACHED)
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #restUntilMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, ask: AskNames = getent) {
    this.#clock = clock
    this.#ask = ask
  }

  /** The names of those of the ids that have one. Never rejects. */
  async namesOf(kind: NameKind, ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const unknown = ids.filter(id => this.#known(kind, id) === undefined).slice(0, MAX_ASKED)
    if (unknown.length > 0 && this.#waiting < MAX_WAITING) {
      this.#waiting += 1
      this.#last = this.#last.then(() => this.#learn(kind, unknown))
      await this.#last
      this.#waiting -= 1
    }
    return new Map(ids.flatMap(id => namedBy(id, this.#known(kind, id)?.name)))
  }

  /** The user of this name; undefined if there is none, or the directory does not answer. Never rejects. */
  async userIdOf(name: string): Promise<number | undefined> {
    if (this.#waiting >= MAX_WAITING) return undefined
    let found: number | undefined
    this.#waiting += 1
    this.#last = this.#last.then(async () => {
      found = await this.#find(name)
    })
    await this.#last
    this.#waiting -= 1
    return found
  }

  async #find(name: string): Promise<number | undefined> {
    if (this.#clock.monotonicMs() < this.#restUntilMs) return undefined
    try {
      // The directory may spell the name in another way.
      return parse(await this.#ask('passwd', [name]))
        .keys()
        .next().value
    } catch {
      this.#restUntilMs = this.#clock.monotonicMs() + REST_MS
      return undefined
    }
  }

  #known(kind: NameKind, id: number): { readonly name: string | undefined } | undefined {
    const found = this.#cache.get(`${kind} ${id}`)
    return found !== undefined && this.#clock.monotonicMs() < found.untilMs ? found : undefined
  }

  async #learn(kind: NameKind, ids: readonly number[]): Promise<void> {
    // Looked up again, since an earlier question may have found it.
    const unknown = ids.filter(id => this.#known(kind, id) === undefined)
    if (unknown.length === 0 || this.#clock.monotonicMs() < this.#restUntilMs) return
    try {
      const names = parse(await this.#ask(kind, unknown))
      const untilMs = this.#clock.monotonicMs() + KEPT_MS
      for (const id of unknown) this.#cache.set(`${kind} ${id}`, { name: names.get(id), untilMs })
    } catch {
      this.#restUntilMs = this.#clock.monotonicMs() + REST_MS
    }
  }
}

function namedBy(id: number, name: string | undefined): Array<readonly [number, string]> {
  return name === undefined ? [] : [[id, name]]
}

/** Lines of "name:password:id:…"; the first name of each id. */
function parse(lines: string): Map<number, string> {
  const names = new Map<number, string>()
  for (const line of lines.split('\n')) {
    const [name = '', , id = ''] = line.split(':')
    if (name !== '' && /^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}

const NOT_ALL_FOUND = 2

function getent(kind: NameKind, keys: ReadonlyArray<number | string>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const options = { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES } as const
  execFile('getent', [kind, ...keys.map(String)], options, (err, stdout) => {
    if (err === null || err.code === NOT_ALL_FOUND) resolve(stdout)
    else reject(err)
  })
  return promise
}
