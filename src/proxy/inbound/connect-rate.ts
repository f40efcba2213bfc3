import { TokenBucket, type WarrenError } from '../../core/index.ts'
import { CONNECT_WAIT_MS } from '../timing.ts'
import { TurnQueue } from '../turn-queue.ts'

/**
 * Connections in a second, and at once. Beyond it they wait, each source in turn, so that a source that opens many does not keep
 * others out. None waits longer than `CONNECT_WAIT_MS`, and no more of one source than pass in a second.
 */
export class ConnectRate {
  readonly #nowMs: () => number
  readonly #waiting = new TurnQueue<() => void>()
  #perSecond: number
  #bucket: TokenBucket
  #timer: NodeJS.Timeout | undefined

  constructor(perSecond: number, nowMs: () => number) {
    this.#nowMs = nowMs
    this.#perSecond = perSecond
    this.#bucket = new TokenBucket({ perSecond, burst: perSecond }, nowMs())
  }

  /** Follows a change of the limit. */
  set(perSecond: number): void {
    if (perSecond === this.#perSecond) return
    const nowMs = this.#nowMs()
    // One that is raised, or cut, gives no second burst.
    const left = Math.min(perSecond, this.#bucket.left(nowMs))
    this.#perSecond = perSecond
    this.#bucket = new TokenBucket({ perSecond, burst: perSecond }, nowMs)
    this.#bucket.use(perSecond - left, nowMs)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#arm()
  }

  /**
   * Counts a connection of `source`. Returns undefined if it may pass at once, else a promise of its turn, which rejects with
   * `refused()` or the signal's reason. Throws `refused()` if too many of this source wait.
   */
  pass(source: string, signal: AbortSignal, refused: () => WarrenError): Promise<void> | undefined {
    if (this.#waiting.size === 0 && this.#bucket.takeLazily(this.#nowMs)) return undefined
    if (this.#waiting.sizeOf(source) >= this.#perSecond) throw refused()
    return this.#wait(source, signal, refused)
  }

  async #wait(source: string, signal: AbortSignal, refused: () => WarrenError): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = (reason: unknown): void => {
      this.#waiting.remove(source, resolve)
      reject(reason)
    }
    const expiry = setTimeout(() => leave(refused()), CONNECT_WAIT_MS)
    const onAbort = (): void => leave(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(source, resolve)
    this.#arm()
    try {
      await promise
    } finally {
      clearTimeout(expiry)
      signal.removeEventListener('abort', onAbort)
      if (this.#waiting.size === 0) {
        clearTimeout(this.#timer)
        this.#timer = undefined
      }
    }
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0) return
    const lacking = Math.max(0, 1 - this.#bucket.left(this.#nowMs()))
    this.#timer = setTimeout(() => this.#advance(), Math.ceil((lacking / this.#perSecond) * 1_000))
  }

  #advance(): void {
    this.#timer = undefined
    while (this.#waiting.size > 0 && this.#bucket.take(this.#nowMs())) this.#waiting.shift()?.()
    this.#arm()
  }
}
