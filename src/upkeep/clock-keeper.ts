import { type Clock, type Logger, MonotoneClock } from '../core/index.ts'
import { CLOCK_SETTING, type Store } from '../state/index.ts'

export interface ClockKeeperDeps {
  readonly store: Pick<Store, 'setting' | 'setSetting'>
  /** The clock of the host. */
  readonly clock: Clock
  readonly log: Logger
}

const LOOK_MS = 10_000
/** The mark on disk may be this much older than the time. */
const SAVE_MS = 60_000
/** The alarm is repeated in the log after this long. */
const REPEAT_MS = 3_600_000

/** Keeps the high-water mark of time on disk, so that a clock that is set back revives nothing over a restart either. */
export class ClockKeeper {
  /** The time by which dates are verified. */
  readonly clock: MonotoneClock
  readonly #deps: ClockKeeperDeps
  #savedMs: number
  #saidAtMs: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(deps: ClockKeeperDeps) {
    this.#deps = deps
    const stored = deps.store.setting(CLOCK_SETTING)
    const markMs = stored === undefined ? Number.NaN : Number(Buffer.from(stored).toString())
    this.#savedMs = Number.isFinite(markMs) ? markMs : 0
    this.clock = new MonotoneClock(deps.clock, this.#savedMs === 0 ? undefined : this.#savedMs)
  }

  start(): void {
    this.#look()
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.save()
  }

  /** Writes the mark now: something has ended by its dates, and must stay so. */
  save(): void {
    try {
      this.#write()
    } catch (err) {
      this.#deps.log.warn('the high-water mark of time was not written', { err })
    }
  }

  /** Takes the time of the host's clock as it is, and the mark with it. Throws STATE_UNUSABLE. */
  accept(): void {
    const behindMs = this.clock.behindMs
    this.clock.accept()
    this.#write()
    this.#deps.log.warn('the time of the clock is accepted', { durationMs: behindMs })
    this.#saidAtMs = undefined
  }

  #write(): void {
    const nowMs = this.clock.wallMs()
    this.#deps.store.setSetting(CLOCK_SETTING, Buffer.from(String(nowMs)))
    this.#savedMs = nowMs
  }

  #look(): void {
    const { log, clock } = this.#deps
    // Lower than the mark if a step forward was taken back.
    if (Math.abs(this.clock.wallMs() - this.#savedMs) >= SAVE_MS) this.save()
    const { behindMs } = this.clock
    const now = clock.monotonicMs()
    if (behindMs === 0) {
      if (this.#saidAtMs !== undefined) log.info('the clock of this host is no longer behind')
      this.#saidAtMs = undefined
      return
    }
    if (this.#saidAtMs !== undefined && now - this.#saidAtMs < REPEAT_MS) return
    this.#saidAtMs = now
    log.error('clock alarm: the clock of this host was set back; what has ended stays ended', {
      durationMs: behindMs,
      reason: 'set it; if it is right, and was ahead before: `warren clock accept`'
    })
  }
}
