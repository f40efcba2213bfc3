import type { Logger } from '../../core/index.ts'

export interface RoundsOptions {
  /** Does what is due, and returns how long nothing else will be, in milliseconds. */
  readonly round: () => number
  /** Shortest time between two rounds, in milliseconds; each differs by up to a tenth. */
  readonly tickMs: number
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Repeats a round while there is something to do, and else rests: an idle agent must not be woken ten times a second. */
export class Rounds {
  readonly #options: RoundsOptions
  #timer: NodeJS.Timeout | undefined
  #isResting = false

  constructor(options: RoundsOptions) {
    this.#options = options
  }

  /** Runs the first round. The rounds end when the signal aborts. */
  start(): void {
    const { signal } = this.#options
    signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true })
    if (!signal.aborted) this.#run()
  }

  /** Something has happened: the next round is soon. */
  wake(): void {
    if (!this.#isResting || this.#options.signal.aborted) return
    this.#isResting = false
    clearTimeout(this.#timer)
    this.#after(this.#options.tickMs)
  }

  #run(): void {
    const { round, tickMs, log, signal } = this.#options
    let restMs = 0
    this.#isResting = false
    try {
      restMs = round()
    } catch (err) {
      log.warn('periodic task failed', { component: 'redial', err })
    }
    // The round may have ended the mesh.
    if (signal.aborted) return
    this.#isResting = restMs > tickMs
    this.#after(Math.max(restMs, tickMs))
  }

  #after(delayMs: number): void {
    this.#timer = setTimeout(() => this.#run(), delayMs * (0.9 + Math.random() * 0.2))
  }
}
