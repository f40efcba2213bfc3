import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace'
import type { Receiver, Take } from '../collectors/index.ts'
import { type Logger, type Metrics, raceAbort, sleep, WarrenError } from '../core/index.ts'

/** Spans that wait; further ones are lost. One takes about 1 KiB of memory. */
export const MAX_WAITING_SPANS = 4_096
/** Spans of this time go together. */
const GATHER_MS = 1_000
/** Pause after a failure; doubles up to the longest. */
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000
/** How long the last spans may take when the agent stops. */
const CLOSE_MS = 2_000
/** How often a failure that stays is a line of the log. */
const REMIND_MS = 600_000

export interface SpanQueueOptions {
  readonly receiver: Receiver<ReadableSpan>
  /** For people. */
  readonly name: string
  readonly monotonicMs: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

/**
 * Holds spans until they are sent. It never waits: what finds no room is counted. The batch processor of the SDK gives up what a
 * collector that is away did not take.
 */
export class SpanQueue implements SpanProcessor {
  readonly #options: SpanQueueOptions
  readonly #spans: ReadableSpan[] = []
  readonly #stopping = new AbortController()
  readonly #closing = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #isFailing = false
  #rejected = 0
  #remindAtMs = Number.NEGATIVE_INFINITY

  constructor(options: SpanQueueOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = this.#run()
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#spans.length < MAX_WAITING_SPANS) this.#spans.push(span)
    else this.#count('lost', 1)
  }

  /** So many spans of the present request are refused for ever, as the collector has answered. */
  rejected(count: number): void {
    this.#rejected = count
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {
    this.#closing.abort()
    const timer = setTimeout(() => this.#stopping.abort(), CLOSE_MS)
    await this.#running
    clearTimeout(timer)
    this.#options.receiver.close()
    this.#count('lost', this.#spans.length)
  }

  async #run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS
    for (;;) {
      await this.#pause(this.#isFailing ? retryMs * (0.5 + Math.random() / 2) : GATHER_MS)
      try {
        while (this.#spans.length > 0) await this.#send()
        this.#succeeded()
        retryMs = FIRST_RETRY_MS
      } catch (err) {
        if (this.#isFailing) retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)
        this.#failed(err)
      }
      if (this.#closing.signal.aborted) return
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#closing
    await raceAbort(sleep(ms, signal), signal).catch(() => {})
  }

  async #send(): Promise<void> {
    let count = 0
    const take: Take<ReadableSpan> = async maxItems => {
      const spans = this.#spans.slice(0, maxItems)
      count = spans.length
      return spans
    }
    this.#rejected = 0
    await this.#options.receiver.deliver(take, this.#stopping.signal)
    this.#spans.splice(0, count)
    const rejected = Math.min(this.#rejected, count)
    this.#count('lost', rejected)
    this.#count('sent', count - rejected)
  }

  #count(result: 'sent' | 'lost', count: number): void {
    if (count > 0) this.#options.metrics.count('warren_spans_total', { result }, count)
  }

  #failed(err: unknown): void {
    this.#isFailing = true
    const { log, name, monotonicMs } = this.#options
    const nowMs = monotonicMs()
    if (nowMs < this.#remindAtMs) return
    this.#remindAtMs = nowMs + REMIND_MS
    log.warn('traces cannot be sent: those that find no room are lost', {
      address: name,
      reason: WarrenError.from(err).reason
    })
  }

  #succeeded(): void {
    if (!this.#isFailing) return
    this.#isFailing = false
    this.#remindAtMs = Number.NEGATIVE_INFINITY
    this.#options.log.warn('traces are sent again', { address: this.#options.name })
  }
}
