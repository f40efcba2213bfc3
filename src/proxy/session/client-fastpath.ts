import type { ClientHttp2Stream } from 'node:http2'
import { type Logger, type Metrics, raceAbort, within } from '../../core/index.ts'
import type { Exporter } from '../aead/index.ts'
import type { Path } from '../carriers/index.ts'
import {
  canTakeOver,
  dialFastPath,
  type FastPathBudget,
  type FastPathCuts,
  FIRST_BYTES_VERSION,
  MAX_POOLED_PER_SESSION,
  noteCarrier,
  PooledConnection,
  type RecordConnection,
  type UpgradePath,
  type UpgradeThresholds
} from '../fastpath/index.ts'
import {
  DIRECT_BACKOFF_MS,
  FAST_PATH_BACKOFF_MAX_MS,
  FAST_PATH_BACKOFF_MS,
  FAST_PATH_TIMEOUT_MS,
  POOLED_IDLE_MS
} from '../timing.ts'
import type { Dialled } from '../tls/index.ts'
import { askForCuts } from './ask-for-cuts.ts'
import { type Beside, besideOf, type FindBeside } from './beside.ts'

const WINDOW_MS = 1_000
/** A flow that a third host carries waits so long for a better path, in milliseconds, before it takes the fast path there. */
const BETTER_TIMEOUT_MS = 1_000
/** The largest even number that fits in a preamble. */
const LAST_ID = 0xffff_fffe

/** A pooled connection without a flow. */
export interface IdleConnection {
  readonly pooled: PooledConnection
  /** By the monotonic clock. */
  readonly sinceMs: number
}

export interface ClientFastPathOptions {
  readonly dialled: Dialled
  readonly path: Path
  /** Finds another path for these connections, if that of the session is not TCP, or leads over a third host. */
  readonly beside: FindBeside | undefined
  /** Places for fast-path connections of this agent. */
  readonly budget: FastPathBudget
  readonly thresholds: UpgradeThresholds
  readonly machine: string
  readonly nowMs: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

/** The fast-path connections of a session, at the end that opened both. */
export class ClientFastPath {
  readonly #options: ClientFastPathOptions
  /** Aborts when the session has closed. */
  readonly #onClosed = new AbortController()
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #pauseMs = 0
  #pending: Promise<FastPathCuts> | undefined
  #cuts: FastPathCuts | undefined
  readonly #pooled = new Map<number, PooledConnection>()
  /** Connections without a flow, the most recently used one last. */
  readonly #idle: IdleConnection[] = []
  #nextId = 2
  #dialling = 0
  #missed = 0
  #windowFromMs = Number.NEGATIVE_INFINITY

  constructor(options: ClientFastPathOptions) {
    this.#options = options
  }

  /** How a flow on `stream` may get a fast-path connection; undefined if it cannot now. */
  upgradePathFor(stream: ClientHttp2Stream): UpgradePath | undefined {
    const { budget, thresholds } = this.#options
    if (!this.#isKnown()) return undefined
    const dial = (isOver: () => boolean) => this.#dial(stream.id, isOver)
    return { budget, thresholds, dial, retryMs: () => this.#retryMs }
  }

  /** Removes and returns an idle pooled connection, if there is one. */
  take(): IdleConnection | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.pooled.connection.isIdle) return last
    }
    return undefined
  }

  /** Whether the first bytes of a flow may travel with the request for it on such a connection. */
  takesFirstBytes({ sinceMs }: IdleConnection): boolean {
    const { dialled, nowMs, thresholds } = this.#options
    const { fastPath = 0 } = dialled.versions
    return fastPath >= FIRST_BYTES_VERSION && nowMs() - sinceMs < thresholds.freshMs
  }

  /** Counts a flow for which there was none: if there are many, fast-path connections are pooled for later flows. */
  missed(): void {
    const { nowMs, thresholds } = this.#options
    const now = nowMs()
    if (now - this.#windowFromMs >= WINDOW_MS) {
      this.#windowFromMs = now
      this.#missed = 0
    }
    this.#missed += 1
    if (this.#missed <= thresholds.flowsPerSecond || this.#pooled.size + this.#dialling >= MAX_POOLED_PER_SESSION)
      return
    if (!this.#isPossible() || this.#nextId > LAST_ID || !this.#options.budget.takePooled()) return
    this.#dialling += 1
    this.#keepOne()
      .catch(() => this.#options.budget.releasePooled())
      .finally(() => {
        this.#dialling -= 1
      })
  }

  /** Closes connections that have been idle for long. */
  sweep(): void {
    const before = this.#options.nowMs() - POOLED_IDLE_MS
    // The least recently used one is the first.
    while ((this.#idle[0]?.sinceMs ?? Number.POSITIVE_INFINITY) < before)
      this.#idle.shift()?.pooled.connection.destroy()
  }

  /** Closes idle connections and pools none from now on, so that the session can end. */
  releaseIdle(): void {
    this.#notBeforeMs = Number.POSITIVE_INFINITY
    this.#closeIdle()
    this.#cuts?.close()
  }

  /** The session has closed. */
  onSessionClosed(): void {
    this.#notBeforeMs = Number.POSITIVE_INFINITY
    this.#onClosed.abort(new Error('the session has ended'))
    for (const pooled of [...this.#pooled.values()]) pooled.onSessionClosed()
  }

  #isPossible(): boolean {
    return this.#isKnown() && this.#options.nowMs() >= this.#notBeforeMs
  }

  #isKnown(): boolean {
    return canTakeOver() && this.#options.dialled.versions.fastPath !== undefined
  }

  /** Until another attempt may work. */
  get #retryMs(): number {
    return Math.max(0, this.#notBeforeMs - this.#options.nowMs())
  }

  /** Rejects when there can be none; the place for it must be given back then. */
  async #keepOne(): Promise<void> {
    const cuts = this.#cuts ?? (await this.#ask())
    const { budget } = this.#options
    const id = this.#nextId
    this.#nextId += 2
    const connection = await budget.dial(() => this.#dial(id, () => false))
    // A connection that was lost since then would never report its end.
    if (connection === undefined || connection.isClosed) {
      budget.releasePooled()
      return
    }
    const pooled = new PooledConnection(connection, id, cuts)
    connection.whenIdle({ onIdle: () => this.#onIdle(pooled), closed: () => {} }, () => {
      budget.releasePooled()
      pooled.onClosed(() => this.#pooled.delete(id))
    })
    this.#pooled.set(id, pooled)
    this.#onIdle(pooled)
  }

  #ask(): Promise<FastPathCuts> {
    this.#pending ??= askForCuts(this.#options.dialled.session, (connectionId, number, code) => {
      this.#pooled.get(connectionId)?.cutBy(number, code)
    })
      .then(cuts => {
        this.#cuts = cuts
        // Without this stream the other end could not report why it cuts a flow.
        cuts.onClose(() => {
          this.#cuts = undefined
          this.#closeIdle()
        })
        return cuts
      })
      .catch((err: unknown) => {
        this.#pause(err)
        throw err
      })
      .finally(() => {
        this.#pending = undefined
      })
    return this.#pending
  }

  #closeIdle(): void {
    for (const { pooled } of this.#idle.splice(0)) pooled.connection.destroy()
  }

  #onIdle(pooled: PooledConnection): void {
    pooled.onReleased()
    const isEnding = this.#notBeforeMs === Number.POSITIVE_INFINITY
    if (!isEnding && this.#cuts !== undefined) this.#idle.push({ pooled, sinceMs: this.#options.nowMs() })
    else pooled.connection.destroy()
  }

  async #dial(streamId: number | undefined, isOver: () => boolean): Promise<RecordConnection> {
    const { dialled, metrics } = this.#options
    const { fastPath: version } = dialled.versions
    if (streamId === undefined || version === undefined) throw new Error('the session has ended')
    if (this.#retryMs > 0) throw new Error('there was no path a moment ago')
    const exporter: Exporter = (...args) => dialled.socket.exportKeyingMaterial(...args)
    try {
      const connection = await within(FAST_PATH_TIMEOUT_MS, [this.#onClosed.signal], async signal => {
        const { to, carrier } = await this.#find(signal)
        const made = await dialFastPath({ exporter, streamId, version, to }, signal)
        noteCarrier(made, carrier)
        return made
      })
      this.#pauseMs = 0
      metrics.count('warren_fastpath_connections_total', { role: 'client', result: 'ok' })
      return connection
    } catch (err) {
      metrics.count('warren_fastpath_connections_total', { role: 'client', result: 'failed' })
      // The other end answers nothing for a flow that has ended there, which says nothing about the next one.
      if (!isOver()) this.#pause(err)
      throw err
    }
  }

  /** The path of the session itself, where it has one, is the second choice beside a better one. */
  async #find(signal: AbortSignal): Promise<Beside> {
    const { dialled, path, beside } = this.#options
    if (beside === undefined) return besideOf(dialled, path)
    if (!path.allows.fastPath) return await raceAbort(beside(signal), signal)
    try {
      return await within(BETTER_TIMEOUT_MS, [signal], limit => raceAbort(beside(limit), limit))
    } catch (err) {
      if (signal.aborted) throw err
      return besideOf(dialled, path)
    }
  }

  #pause(err: unknown): void {
    const { nowMs, log, machine, beside } = this.#options
    // Many flows dial at once, and what fails for one mostly fails for all: that is one failure.
    if (this.#retryMs === 0) {
      const firstMs = beside === undefined ? FAST_PATH_BACKOFF_MS : DIRECT_BACKOFF_MS
      this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, firstMs), FAST_PATH_BACKOFF_MAX_MS)
      this.#notBeforeMs = nowMs() + this.#pauseMs
    }
    log.debug('no fast-path connection beside a session', { machine, err })
  }
}
