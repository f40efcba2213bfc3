import type { Clock, Logger } from '../../core/index.ts'
import { lookEverySeconds } from './looks.ts'

/** Looks in a row that found the process at rest. */
const CALM_LOOKS = 2
/** The same after which pages that were used once more are given back, without a collection: five minutes. */
const LONG_LOOKS = 60
/** More bytes of flows, or a larger share of a processor, between two looks: then the process is not at rest. */
const QUIET_BYTES = 1024 * 1024
const QUIET_SHARE = 0.1
/** Less garbage is not worth a collection, and not known before it. Growth since the last one is taken for it. */
const WORTH_BYTES = 6 * 1024 * 1024

export interface RestOptions {
  /** Collects the whole heap. Returns whether it could. */
  readonly collect: () => boolean
  /** Gives back what the collection has freed outside of the heap, and pages of code that only the start has used. */
  readonly release: () => void
  /** Bytes that all flows have carried. */
  readonly movedBytes: () => number
  readonly log: Logger
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Bytes of the heap and of what it holds. @default those of this process */
  readonly heapBytes?: () => number
  /** Processor time so far, in milliseconds. @default that of this process */
  readonly cpuMs?: () => number
}

/**
 * Collects the garbage of a process that has come to rest: of its start, of many bytes, of a large change of the registry.
 *
 * V8 does that too, after each marking and for any amount: a process that rests for days marks its heap again and again. Here it
 * is done once, and again only when the heap has grown.
 */
export class Rest {
  readonly #options: RestOptions
  readonly #heapBytes: () => number
  readonly #cpuMs: () => number
  #calmLooks = 0
  #movedBytes = 0
  #usedMs = 0
  #lookedMs: number
  #settledBytes = 0

  constructor(options: RestOptions) {
    this.#options = options
    this.#heapBytes = options.heapBytes ?? heapOfProcess
    this.#cpuMs = options.cpuMs ?? cpuOfProcess
    this.#usedMs = this.#cpuMs()
    this.#lookedMs = options.clock.monotonicMs()
  }

  /** Looks every few seconds, until the signal. Never rejects. */
  async run(): Promise<void> {
    const { signal, log } = this.#options
    await lookEverySeconds(() => this.look(), { log, signal, failure: 'garbage was not collected' })
  }

  /** Collects if the process rests and it is worth it. Returns false if nothing can be collected here. */
  look(): boolean {
    const { collect, release, log, clock } = this.#options
    this.#calmLooks = this.#isCalm() ? this.#calmLooks + 1 : 0
    if (this.#calmLooks > 0 && this.#calmLooks % LONG_LOOKS === 0) release()
    const before = this.#heapBytes()
    if (this.#calmLooks < CALM_LOOKS || before - this.#settledBytes < WORTH_BYTES) return true
    this.#calmLooks = 0
    const startedMs = clock.monotonicMs()
    if (!collect()) return false
    release()
    this.#settledBytes = this.#heapBytes()
    const reason = `${Math.round((before - this.#settledBytes) / 1024 / 1024)} MiB`
    log.debug('garbage collected at rest', { reason, durationMs: Math.round(clock.monotonicMs() - startedMs) })
    return true
  }

  #isCalm(): boolean {
    const { movedBytes, clock } = this.#options
    const moved = movedBytes()
    const usedMs = this.#cpuMs()
    const nowMs = clock.monotonicMs()
    const isQuiet = moved - this.#movedBytes < QUIET_BYTES
    const isIdle = usedMs - this.#usedMs < QUIET_SHARE * (nowMs - this.#lookedMs)
    this.#movedBytes = moved
    this.#usedMs = usedMs
    this.#lookedMs = nowMs
    return isQuiet && isIdle
  }
}

function heapOfProcess(): number {
  const { heapTotal, external } = process.memoryUsage()
  return heapTotal + external
}

function cpuOfProcess(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
