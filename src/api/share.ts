import { accountOf, type LocalUser } from '../attest/index.ts'
import { type Clock, type LimitName, LruMap, type Metrics, type Rate, TokenBucket } from '../core/index.ts'

/** What a call costs at least, in bytes. */
export const CALL_COST_BYTES = 16_384
/** What a millisecond of the event loop costs, in bytes. */
const COST_PER_MS_BYTES = 32_768
/** The answers of this many seconds may be given at once. */
const BURST_SECONDS = 4
/** An answer that its caller has not read for this long makes room for those of other calls. */
const PATIENCE_MS = 5_000
/** Beyond it the user who called least recently starts anew. */
const MAX_SHARES = 4_096
/** The longest time between two looks at calls that wait. */
const LOOK_MS = 100
/** Less rest than this is saved up: a timer is no finer than a millisecond. */
const LEAST_REST_MS = 2
/** The longest rest after one turn, whatever it cost. */
const MOST_REST_MS = 50

/** An answer that waits for its reader. */
interface Answer {
  readonly bytes: number
  readonly sinceMs: number
  readonly cut: () => void
}

export interface ShareLimits {
  readonly bytesPerSecond: number
  readonly waitingBytes: number
}

/**
 * The part of the agent's time and memory that the calls of one user get.
 *
 * A call waits for its turn: turns are given in order, at most one in a turn of the event loop, while the user has bytes left of
 * the rate, and fewer than the maximum wait for readers. While another user's call works, turns also rest for as long as the last
 * ones cost: else a burst of answers would come between any two steps of that call. So a user who asks for more than his share
 * delays himself alone.
 */
export class Share {
  readonly #limits: ShareLimits
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #onLimit: (limit: LimitName) => void
  readonly #rate: Rate
  readonly #bucket: TokenBucket
  readonly #turns = new Set<() => void>()
  readonly #answers = new Set<Answer>()
  #waitingBytes = 0
  readonly #working: Working
  /** Its calls that work. */
  #works = 0
  /** Until when turns rest, if somebody else's call works. */
  #restUntilMs = 0
  /** A turn was given in this turn of the event loop. */
  #hasGiven = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    limits: ShareLimits,
    clock: Pick<Clock, 'monotonicMs'>,
    onLimit: (limit: LimitName) => void,
    working: Working = { calls: 0 }
  ) {
    this.#limits = limits
    this.#clock = clock
    this.#onLimit = onLimit
    this.#working = working
    this.#rate = { burst: limits.bytesPerSecond * BURST_SECONDS, perSecond: limits.bytesPerSecond }
    this.#bucket = new TokenBucket(this.#rate, clock.monotonicMs())
  }

  /** Resolves when a call may work. Rejects with the signal's reason; then it has no turn. */
  async turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#turns.delete(resolve)
      if (this.#turns.size === 0) this.#rest()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#turns.add(resolve)
    if (!this.#hasGiven && this.#timer === undefined) this.#look()
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Counts a call as one that works, until the function returned is called. Others rest between their turns meanwhile. */
  work(): () => void {
    this.#works += 1
    this.#working.calls += 1
    let isWorking = true
    return () => {
      if (!isWorking) return
      isWorking = false
      this.#works -= 1
      this.#working.calls -= 1
    }
  }

  /** Runs `work` at once, and charges its time. */
  timed<T>(work: () => T): T {
    const fromMs = this.#clock.monotonicMs()
    try {
      return work()
    } finally {
      this.charge((this.#clock.monotonicMs() - fromMs) * COST_PER_MS_BYTES)
    }
  }

  charge(bytes: number): void {
    const nowMs = this.#clock.monotonicMs()
    this.#bucket.use(bytes, nowMs)
    this.#restUntilMs = Math.min(Math.max(this.#restUntilMs, nowMs) + bytes / COST_PER_MS_BYTES, nowMs + MOST_REST_MS)
  }

  /**
   * Charges a part of an answer, and counts it as waiting until the function returned is called. `cut` ends the call, if others
   * wait and its caller does not read.
   */
  hold(bytes: number, cut: () => void): () => void {
    this.charge(bytes)
    const answer: Answer = { bytes, sinceMs: this.#clock.monotonicMs(), cut }
    this.#answers.add(answer)
    this.#waitingBytes += bytes
    return () => {
      if (!this.#answers.delete(answer)) return
      this.#waitingBytes -= bytes
    }
  }

  #look(): void {
    const [grant] = this.#turns
    if (grant === undefined) return
    const nowMs = this.#clock.monotonicMs()
    const isFull = this.#waitingBytes >= this.#limits.waitingBytes
    const restMs = this.#working.calls > this.#works ? this.#restUntilMs - nowMs : 0
    if (restMs >= LEAST_REST_MS) {
      this.#timer = setTimeout(this.#next, restMs)
      return
    }
    if (isFull) this.#cutUnread(nowMs)
    else if (this.#bucket.left(nowMs) > 0) {
      this.#turns.delete(grant)
      this.charge(CALL_COST_BYTES)
      this.#hasGiven = true
      setImmediate(this.#next)
      grant()
      return
    } else this.#onLimit('api_bytes_per_second')
    this.#timer = setTimeout(this.#next, LOOK_MS)
  }

  readonly #next = (): void => {
    this.#hasGiven = false
    this.#rest()
    this.#look()
  }

  #rest(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #cutUnread(nowMs: number): void {
    for (const answer of this.#answers) {
      // They are in the order of their time.
      if (nowMs - answer.sinceMs < PATIENCE_MS) return
      this.#onLimit('api_waiting_bytes')
      this.#answers.delete(answer)
      this.#waitingBytes -= answer.bytes
      answer.cut()
      if (this.#waitingBytes < this.#limits.waitingBytes) return
    }
  }
}

/** Calls of all users that work, and do not wait for a change. */
interface Working {
  calls: number
}

/** The share of each user. */
export class Shares {
  readonly #shares = new LruMap<string, Share>(MAX_SHARES)
  readonly #limits: ShareLimits
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #metrics: Pick<Metrics, 'hit'>
  readonly #working: Working = { calls: 0 }

  constructor(limits: ShareLimits, clock: Pick<Clock, 'monotonicMs'>, metrics: Pick<Metrics, 'hit'>) {
    this.#limits = limits
    this.#clock = clock
    this.#metrics = metrics
  }

  of(user: LocalUser): Share {
    const account = accountOf(user)
    const found = this.#shares.get(account)
    const onLimit = (limit: LimitName): void => this.#metrics.hit(limit, { uid: user.uid })
    const share = found ?? new Share(this.#limits, this.#clock, onLimit, this.#working)
    this.#shares.set(account, share)
    return share
  }
}
