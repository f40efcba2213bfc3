/** Lines that the sink does not take are kept up to this size, and dropped beyond. */
export const MAX_LOG_BACKLOG_BYTES = 1024 * 1024

/** Time until lines that were not taken are tried again, in milliseconds; doubles up to the second. */
const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 1_000
/** Interval of the attempts of `flush`, in milliseconds. */
const FLUSH_STEP_MS = 10

/** Takes the beginning of `bytes` and returns its length. Never waits: throws EAGAIN if nothing can be taken now. */
export type TryWrite = (bytes: Uint8Array) => number

/** The line that says how many were dropped, with its end of line. */
export type DropNotice = (dropped: number) => string

/**
 * Lines for a reader that may stand still. `write` never waits.
 *
 * A line goes out at once if the sink takes it: the line that explains a crash is not lost in a buffer. Else it is kept, up
 * to a bound, beyond which lines are dropped and counted until all kept ones are out. Then one line says how many were.
 */
export class LineSink {
  notice: DropNotice = dropped => `${dropped} lines dropped\n`
  readonly #tryWrite: TryWrite
  readonly #maxBytes: number
  readonly #kept: Uint8Array[] = []
  #keptBytes = 0
  #dropped = 0
  #unsaid = 0
  #retry: NodeJS.Timeout | undefined
  #retryMs = FIRST_RETRY_MS
  /** Since when the sink takes nothing; infinite while it does. */
  #stalledMs = Number.POSITIVE_INFINITY

  constructor(tryWrite: TryWrite, maxBytes = MAX_LOG_BACKLOG_BYTES) {
    this.#tryWrite = tryWrite
    this.#maxBytes = maxBytes
  }

  /** Lines dropped since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /** Writes, keeps or drops `text`, which is one line or several with their ends. Never throws. */
  write(text: string): void {
    if (text === '') return
    // Between two attempts the lines only gather: a failed one costs more than a line.
    if (this.#retry === undefined) this.#drain()
    const bytes = Buffer.from(text)
    const isFull = this.#kept.length > 0 && this.#keptBytes + bytes.length > this.#maxBytes
    if (isFull || this.#unsaid > 0) {
      this.#dropped += 1
      this.#unsaid += 1
      return
    }
    this.#keep(bytes)
    if (this.#kept.length === 1) this.#drain()
  }

  /** Tries once more to write what is kept. */
  tryAgain(): void {
    this.#drain()
  }

  /**
   * Resolves when nothing is kept, if the sink fails, or when it has taken nothing for `patienceMs`, be it before the call.
   */
  async flush(patienceMs: number): Promise<void> {
    while (this.#drain() && performance.now() - this.#stalledMs < patienceMs) {
      await new Promise(resolve => setTimeout(resolve, FLUSH_STEP_MS))
    }
  }

  #keep(bytes: Uint8Array): void {
    this.#kept.push(bytes)
    this.#keptBytes += bytes.length
  }

  /** Writes what it can; returns whether the sink may take the rest later. */
  #drain(): boolean {
    try {
      this.#writeKept()
      if (this.#unsaid === 0) return false
      this.#keep(Buffer.from(this.notice(this.#unsaid)))
      this.#unsaid = 0
      this.#writeKept()
      return false
    } catch (err) {
      // Any other failure (the terminal is gone, the disk is full) is tried again with the next line: it may last for days.
      if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') return false
      this.#stalledMs = Math.min(this.#stalledMs, performance.now())
      this.#retryLater()
      return true
    }
  }

  #writeKept(): void {
    for (let first = this.#kept[0]; first !== undefined; first = this.#kept[0]) {
      const taken = this.#tryWrite(first)
      this.#keptBytes -= taken
      if (taken < first.length) this.#kept[0] = first.subarray(taken)
      else this.#kept.shift()
      this.#retryMs = FIRST_RETRY_MS
      this.#stalledMs = Number.POSITIVE_INFINITY
    }
  }

  #retryLater(): void {
    if (this.#retry !== undefined) return
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#drain()
    }, this.#retryMs)
    this.#retry.unref()
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS)
  }
}
