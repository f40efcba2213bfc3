import { ErrorCode, type Logger, WarrenError } from '../core/index.ts'

/** Pause after a failure, doubled by each further one up to the second figure. */
const PAUSES = { firstMs: 500, longestMs: 10_000 } as const

/** What runs for an item. */
export interface Running {
  /** Its registration, or that of its source; the item is over when it ends. */
  readonly registrationId: string
  readonly close: (reason: string) => Promise<void>
}

/** What a file says of an item. */
export interface Spec {
  readonly name: string
  readonly user: string
  readonly place: string
}

export interface ItemDeps {
  readonly kind: 'service' | 'forward'
  readonly begin: () => Promise<Running>
  readonly isRegistered: (registrationId: string) => boolean
  readonly log: Logger
}

/** A service or forward of a file: it runs, or it waits for the next attempt. */
export class Item<S extends Spec> {
  readonly spec: S
  readonly #deps: ItemDeps
  #running: Running | undefined
  #problem = ''
  #pauseMs: number = PAUSES.firstMs
  #timer: NodeJS.Timeout | undefined
  #attempt: Promise<void> | undefined
  #isStale = false
  #isStopped = false

  constructor(spec: S, deps: ItemDeps) {
    this.spec = spec
    this.#deps = deps
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Why it waits; empty if it runs, or was not tried yet. */
  get problem(): string {
    return this.#problem
  }

  /** Tries now, unless it runs or is being tried. Never rejects. */
  async try(): Promise<void> {
    if (this.#isStopped || this.#running !== undefined) return
    clearTimeout(this.#timer)
    // What is under way may have seen the policy before the change that this call is for.
    if (this.#attempt !== undefined) this.#isStale = true
    this.#attempt ??= this.#begin().finally(() => {
      this.#attempt = undefined
    })
    await this.#attempt
  }

  /** Whether it runs by this registration. */
  runsBy(registrationId: string): boolean {
    return this.#running?.registrationId === registrationId
  }

  /** Its registration has ended, which was not asked for. */
  async lost(reason: string): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    this.#running = undefined
    this.#problem = `its registration was ended: ${reason}`
    await running.close(reason)
    // Says what is missing now.
    await this.try()
  }

  /** Ends it. Never rejects. */
  async stop(reason: string): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#attempt
    const running = this.#running
    this.#running = undefined
    await running
      ?.close(reason)
      .catch((err: unknown) => this.#deps.log.warn('declared item did not end cleanly', { err }))
  }

  async #begin(): Promise<void> {
    const { kind, begin, isRegistered, log } = this.#deps
    const { name, place } = this.spec
    try {
      const running = await begin()
      if (!isRegistered(running.registrationId)) {
        await running.close('its registration has ended')
        throw new WarrenError(ErrorCode.NotReady, 'its registration was ended at once')
      }
      this.#running = running
      if (this.#problem !== '') log.info('declared item runs now', { component: kind, reason: name, path: place })
      this.#problem = ''
      this.#pauseMs = PAUSES.firstMs
    } catch (err) {
      const problem = problemOf(err)
      // Once for each reason: it is tried often.
      if (problem !== this.#problem)
        log.warn('declared item waits', { component: kind, path: place, reason: `${name}: ${problem}` })
      this.#problem = problem
      if (this.#isStopped) return
      this.#timer = setTimeout(() => void this.try(), this.#isStale ? 0 : this.#pauseMs)
      this.#isStale = false
      this.#pauseMs = Math.min(PAUSES.longestMs, this.#pauseMs * 2)
    }
  }
}

function problemOf(err: unknown): string {
  const { code, reason, hint } = WarrenError.from(err)
  return `${code}: ${reason}${hint === undefined ? '' : ` (${hint.replace(/\.$/, '')})`}`
}
