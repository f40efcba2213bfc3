import type { Receiver, Take } from '../../collectors/index.ts'
import type { AuditTarget } from '../../config/index.ts'
import { type Clock, detach, type Logger, type Metrics, raceAbort, sleep, WarrenError } from '../../core/index.ts'
import { EMPTY_CHAIN } from '../line.ts'
import type { AuditLog } from '../log.ts'
import type { PushingHost } from './host.ts'
import { type PositionStore, positionOf, savePosition } from './position.ts'
import { type LogPlace, type PushedLine, READ_LINES, readBehind } from './reader.ts'
import { receiverOf } from './receivers.ts'

export interface PusherOptions {
  readonly target: AuditTarget
  /** Its place among the targets, from 1 on: the label of its metrics. */
  readonly label: '1' | '2' | '3' | '4'
  /** The path of the log. */
  readonly path: string
  readonly audit: Pick<AuditLog, 'end' | 'checkpoint' | 'written' | 'note'>
  readonly host: PushingHost
  readonly store: PositionStore
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** How far a receiver is. */
export interface PushStatus {
  readonly target: string
  /** Number of the last line that it has got. */
  readonly through: number
  /** Lines that it has not got yet. */
  readonly behind: number
  /** Since when it fails; zero if it does not. */
  readonly failingSinceMs: number
  /** Why; empty if it does not. */
  readonly problem: string
}

/** Lines of this time go together. */
const GATHER_MS = 1_000
/** Pause after a failure; doubles up to the longest. A part of it is random, so that many hosts do not return at once. */
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 60_000
/** How often a failure that stays is a line of the log. */
const REMIND_MS = 600_000
/** Each save waits for the disk. */
const SAVE_MS = 5_000

/**
 * Pushes the lines of the audit log to one receiver, in their order, from where it stopped before.
 *
 * It reads behind the log and holds some hundred lines at most. A line that may not have arrived is sent again.
 */
export class Pusher {
  readonly #options: PusherOptions
  readonly #receiver: Receiver<PushedLine>
  readonly #stopping = new AbortController()
  readonly #closing = new AbortController()
  #place: LogPlace
  /** The number of the last line that was saved. */
  #saved: number
  #running: Promise<void> = Promise.resolve()
  #save: NodeJS.Timeout | undefined
  #failingSinceMs = 0
  #problem = ''
  #remindAtMs = 0
  #retryMs = FIRST_RETRY_MS

  constructor(options: PusherOptions) {
    const { target, host, clock, metrics, label, log, store } = options
    this.#options = options
    this.#place = positionOf(store, target)
    this.#saved = this.#place.seq
    this.#receiver = receiverOf(target, {
      host,
      nowMs: clock.wallMs,
      onRejected: count => {
        metrics.count('warren_audit_push_skipped_total', { target: label }, count)
        log.warn('a receiver of the audit log refuses lines for ever', { address: target.name, count })
      }
    })
  }

  get status(): PushStatus {
    return {
      target: this.#options.target.name,
      through: this.#place.seq,
      behind: Math.max(0, this.#options.audit.end.seq - this.#place.seq),
      failingSinceMs: this.#failingSinceMs,
      problem: this.#problem
    }
  }

  start(): void {
    const { log, target } = this.#options
    log.info('the audit log is pushed', { address: target.name, count: this.status.behind })
    this.#running = this.#run()
    detach(log, 'audit push', this.#running)
  }

  /** Tries once more to push what is left, saves how far it came, and ends within `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#closing.abort()
    const timer = setTimeout(() => this.#stopping.abort(), timeoutMs)
    await this.#running.catch(() => {})
    clearTimeout(timer)
    clearTimeout(this.#save)
    this.#receiver.close()
    this.#saveNow()
    const { log, target } = this.#options
    const { behind } = this.status
    if (behind > 0)
      log.warn('the audit log is not pushed to its end: the next start continues', {
        address: target.name,
        count: behind
      })
  }

  async #run(): Promise<void> {
    const { audit, clock } = this.#options
    await this.#findPlace()
    while (!this.#stopping.signal.aborted) {
      const changed = audit.written.changed()
      const { behind } = this.status
      if (behind === 0 && this.#closing.signal.aborted) return
      if (behind === 0) await this.#unlessClosing(changed)
      if (behind < READ_LINES) await this.#unlessClosing(sleep(GATHER_MS, this.#closing.signal))
      try {
        if (this.status.behind > 0) await this.#push()
        this.#succeeded()
      } catch (err) {
        if (this.#stopping.signal.aborted) return
        this.#failed(err, clock.wallMs())
        if (this.#closing.signal.aborted) return
        const pauseMs = this.#retryMs * (0.5 + Math.random() / 2)
        this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS)
        await this.#unlessClosing(sleep(pauseMs, this.#closing.signal))
      }
    }
  }

  // Of another log, which may have fewer lines than the one before.
  async #findPlace(): Promise<void> {
    const { path } = this.#options
    try {
      const { place, isOther } = await readBehind(path, this.#place, 0, 0)
      if (isOther) this.#beginAnew()
      else this.#place = place
    } catch {
      // It is looked for again with the first lines, and the failure said then.
    }
  }

  async #unlessClosing(work: Promise<unknown>): Promise<void> {
    await raceAbort(work, this.#closing.signal).catch(() => {})
  }

  async #push(): Promise<void> {
    const { audit, path, metrics, label } = this.#options
    let place = this.#place
    let count = 0
    const gaps: Gap[] = []
    const take: Take<PushedLine> = async (maxLines = READ_LINES) => {
      const read = await readBehind(path, place, audit.end.seq, maxLines)
      if (read.isOther) this.#beginAnew()
      gaps.push(...gapsIn(read.isOther ? 0 : place.seq, read.lines))
      count += read.lines.length
      place = read.place
      return read.lines
    }
    await this.#receiver.deliver(take, this.#stopping.signal)
    this.#place = place
    metrics.count('warren_audit_pushed_total', { target: label }, count)
    if (gaps.length > 0) this.#noteGaps(gaps)
    this.#saveLater()
  }

  #beginAnew(): void {
    const { log, target } = this.#options
    log.warn('the audit log is another one than before: it is pushed from its beginning', { address: target.name })
    this.#place = EMPTY_CHAIN
    this.#saved = 0
  }

  #noteGaps(gaps: readonly Gap[]): void {
    const { audit, target, log, metrics, label } = this.#options
    const lost = gaps.reduce((sum, { first, last }) => sum + last - first + 1, 0)
    const [first, last] = [gaps[0]?.first ?? 0, gaps.at(-1)?.last ?? 0]
    metrics.count('warren_audit_push_skipped_total', { target: label }, lost)
    log.error('lines of the audit log were removed before they were pushed', {
      address: target.name,
      seq: String(first),
      count: lost
    })
    audit.note('audit-push-gap', { target: target.name, lost, first, last })
  }

  #saveLater(): void {
    this.#save ??= setTimeout(() => {
      this.#save = undefined
      this.#saveNow()
      if (this.#saved < this.#place.seq) this.#saveLater()
    }, SAVE_MS).unref()
  }

  // Never beyond what is on the disk: after a crash of the machine the log would be shorter, and seem to be another one.
  #saveNow(): void {
    const { store, target, audit, log } = this.#options
    const [place, checkpoint] = [this.#place, audit.checkpoint]
    const end = checkpoint === undefined || place.seq <= checkpoint.seq ? place : checkpoint
    if (checkpoint === undefined || end.seq <= this.#saved) return
    try {
      savePosition(store, target, end)
      this.#saved = end.seq
    } catch (err) {
      log.warn('how far the audit log was pushed cannot be saved', { address: target.name, err })
    }
  }

  #failed(err: unknown, nowMs: number): void {
    const { log, metrics, label, target } = this.#options
    metrics.count('warren_audit_push_failures_total', { target: label })
    if (this.#failingSinceMs === 0) this.#failingSinceMs = nowMs
    this.#problem = problemOf(err)
    if (nowMs < this.#remindAtMs) return
    this.#remindAtMs = nowMs + REMIND_MS
    const { behind } = this.status
    log.warn('the audit log cannot be pushed: lines wait in the file', {
      address: target.name,
      count: behind,
      reason: this.#problem
    })
  }

  #succeeded(): void {
    const { log, target } = this.#options
    this.#retryMs = FIRST_RETRY_MS
    if (this.#failingSinceMs === 0) return
    this.#failingSinceMs = 0
    this.#problem = ''
    this.#remindAtMs = 0
    log.warn('the audit log is pushed again', { address: target.name, count: this.status.behind })
  }
}

/** Lines that are missing. */
interface Gap {
  readonly first: number
  readonly last: number
}

/** What is missing between these lines, and before them, if one was pushed before. */
function gapsIn(before: number, lines: readonly PushedLine[]): Gap[] {
  return lines.flatMap(({ line: { seq } }, index) => {
    const former = lines[index - 1]?.line.seq ?? (before === 0 ? seq - 1 : before)
    return seq > former + 1 ? [{ first: former + 1, last: seq - 1 }] : []
  })
}

function problemOf(err: unknown): string {
  if (err instanceof AggregateError && err.errors.length > 0) return problemOf(err.errors[0])
  const { reason, hint } = WarrenError.from(err)
  return hint === undefined ? reason : `${reason}. ${hint}`
}
