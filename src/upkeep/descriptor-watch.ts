import type { Clock, Logger } from '../core/index.ts'
import { openFiles } from './resources.ts'

export interface DescriptorWatchOptions {
  /** Most descriptors of this process; undefined if unknown: then nothing is watched. */
  readonly max: number | undefined
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly log: Logger
}

const LOOK_MS = 2_000
/** The same state that comes and goes is logged once in that time. */
const LINE_MS = 60_000
const MIN_RESERVE = 16
const MAX_RESERVE = 256

/**
 * Watches the file descriptors of this process. Without any left, the system closes new connections at once and unanswered, and
 * Node reports nothing: the operator would see only the failures of others.
 */
export class DescriptorWatch {
  readonly #options: DescriptorWatchOptions
  #timer: NodeJS.Timeout | undefined
  #isLow = false
  #toldMs = Number.NEGATIVE_INFINITY

  constructor(options: DescriptorWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** What an operator should know now; empty if enough are left. */
  get alarm(): string {
    const used = this.look()
    if (!this.#isLow) return ''
    const { max } = this.#options
    return `${used} of ${max} file descriptors are in use: without any left, new connections are closed unanswered; LimitNOFILE= of the unit or ulimit -n allows more`
  }

  /** Counts them, and logs when few are left or enough are left again. */
  look(): number {
    const { max, clock, log } = this.#options
    if (max === undefined) return 0
    const used = openFiles()
    const isLow = used > max - Math.min(MAX_RESERVE, Math.max(MIN_RESERVE, Math.floor(max / 20)))
    if (isLow === this.#isLow) return used
    this.#isLow = isLow
    const nowMs = clock.monotonicMs()
    if (isLow && nowMs - this.#toldMs >= LINE_MS) {
      this.#toldMs = nowMs
      log.error('almost no file descriptors are left: new connections are closed soon', { count: used, limit: max })
    } else if (!isLow) log.info('enough file descriptors are left again', { count: used, limit: max })
    return used
  }
}
