import { basename } from 'node:path'
import { ChangeSignal, detach, raceAbort, TokenBuckets, within } from '../core/index.ts'
import {
  AUDITED_EVENTS,
  type AuditRecordFields,
  type AuditRecordName,
  type EventFields,
  type EventName,
  type EventSource
} from '../events/index.ts'
import { AuditFile } from './file.ts'
import type { ChainEnd, PendingRecord } from './line.ts'
import { LineBuffer } from './line-buffer.ts'
import { Losses } from './losses.ts'
import type { AuditLogOptions } from './options.ts'
import { AuditSearches } from './searches.ts'

/** The size of all files together, in MiB: the default. */
export const DEFAULT_AUDIT_MEBIBYTES = 1_024
/** Records that wait to be written; further ones are lost and counted. A record takes about 1 KiB of memory. */
export const MAX_WAITING = 16_384
/** Refusals of one source that are recorded, so that nobody can push the records of others out. */
export const REFUSALS = Object.freeze({ burst: 1_000, perSecond: 100, maxKeys: 1_024 })
/** A log has about this many files, so that the oldest sixteenth of it is removed at once. */
const FILES = 16
/** Records of this time are written together. */
const FLUSH_MS = 100
/** Time, and number of lines, after which a line is signed at the latest. */
const CHECKPOINT_MS = 10_000
const CHECKPOINT_LINES = 10_000
/** Pause after a failure to write; doubles up to the longest. */
const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 5_000
/** How long the last lines may take to be written when the agent stops. */
const CLOSE_MS = 2_000

/**
 * Writes the audited events to a log whose lines form a chain: each has the hash of the one before, and the lines that the log
 * writes about itself are signed.
 *
 * It never waits and never throws while it runs: records are queued, and what cannot be written is counted, and becomes a record itself.
 */
export class AuditLog {
  /** Searches for others. */
  readonly searches: AuditSearches
  /** Fires when lines were written. */
  readonly written = new ChangeSignal()
  readonly #options: AuditLogOptions
  readonly #file: AuditFile
  readonly #queue: PendingRecord[] = []
  readonly #lines: LineBuffer
  readonly #losses: Losses
  readonly #refusals = new TokenBuckets<string>(REFUSALS)
  /** The file is used by one task at a time. */
  #last: Promise<void> = Promise.resolve()
  #flush: NodeJS.Timeout | undefined
  #checkpoint: NodeJS.Timeout | undefined
  #isCheckpointDue = true
  /** The newest signed line that was written, and the newest that is on the disk. */
  #signed: ChainEnd
  #onDisk: ChainEnd | undefined
  #retryMs = FIRST_RETRY_MS
  #isFailing = false
  #isClosed = false

  private constructor(options: AuditLogOptions, file: AuditFile) {
    this.#options = options
    this.#file = file
    this.#lines = new LineBuffer(options.sign)
    this.searches = new AuditSearches(options)
    this.#losses = new Losses(options.metrics)
    this.#signed = file.end
  }

  /** Opens the log, and repairs its end. Throws STATE_UNUSABLE. */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const file = await AuditFile.open(options.path)
    const log = new AuditLog(options, file)
    if (file.cut !== undefined) {
      options.log.warn('a line of the audit log was cut off and is removed', { path: options.path })
      log.#own('audit-repaired', file.cut)
    }
    const { machine, trustDomain } = options.host
    log.#own('audit-opened', { machine, trustDomain, version: options.version })
    await log.#work()
    return log
  }

  /** The newest signed line that is on the disk. */
  get checkpoint(): ChainEnd | undefined {
    return this.#onDisk
  }

  /** The last line that was written. */
  get end(): ChainEnd {
    return this.#file.end
  }

  /** Records that wait to be written. */
  get waiting(): number {
    return this.#queue.length
  }

  /** Records the audited events from now on. Call it after what has to take effect first has subscribed. */
  follow(events: EventSource): void {
    for (const name of AUDITED_EVENTS) events.on(name, fields => this.add(name, fields))
  }

  /** Queues a record. */
  add<N extends EventName>(name: N, fields: EventFields[N]): void {
    const { clock, metrics } = this.#options
    const atMs = clock.wallMs()
    const source = refusedSource(name, fields)
    if (source !== undefined && !this.#refusals.take(source, clock.monotonicMs())) {
      this.#losses.add('source', atMs)
      this.#checkpointLater()
      metrics.hit('audit_refusals', { source })
    } else if (this.#queue.length >= MAX_WAITING || this.#losses.isFull) {
      this.#losses.add(this.#isFailing ? 'disk' : 'queue', atMs)
      metrics.hit('audit_waiting', { path: this.#options.path })
    } else {
      this.#queue.push({ name, atMs, fields })
    }
    this.#flushAfter(FLUSH_MS)
  }

  /** Writes what waits, signs the last line, and ends. Resolves in time, also if nothing can be written. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#flush)
    clearTimeout(this.#checkpoint)
    const { log, path } = this.#options
    this.#own('audit-closed', {})
    try {
      await within(CLOSE_MS, [], signal => raceAbort(this.#work(), signal))
    } catch (err) {
      log.debug('the audit log did not end in time', { path, err })
    }
    if (this.#queue.length > 0)
      log.error('the last records of the audit log are lost', { path, count: this.#queue.length })
    clearTimeout(this.#flush)
    clearTimeout(this.#checkpoint)
    await this.#file.close().catch(() => {})
  }

  /** Queues a record about the log, which is signed. */
  note<N extends AuditRecordName>(name: N, fields: Omit<AuditRecordFields[N], 'peer'>): void {
    if (this.#isClosed) return
    this.#own(name, fields)
    this.#flushAfter(FLUSH_MS)
  }

  #own<N extends AuditRecordName>(name: N, fields: Omit<AuditRecordFields[N], 'peer'>): void {
    this.#queue.push(this.#ownRecord(name, fields))
  }

  #ownRecord<N extends AuditRecordName>(name: N, fields: Omit<AuditRecordFields[N], 'peer'>): PendingRecord {
    const { clock, host } = this.#options
    const all = { peer: host.peer, ...fields } as AuditRecordFields[N]
    return { name, atMs: clock.wallMs(), fields: all }
  }

  #flushAfter(ms: number): void {
    this.#flush ??= setTimeout(() => {
      this.#flush = undefined
      detach(this.#options.log, 'audit log', this.#work())
    }, ms).unref()
  }

  #checkpointLater(): void {
    this.#checkpoint ??= setTimeout(() => {
      this.#checkpoint = undefined
      this.#isCheckpointDue = true
      this.#flushAfter(0)
    }, CHECKPOINT_MS).unref()
  }

  /** Writes all that waits, and what is due. Never rejects: after a failure it is tried again. */
  #work(): Promise<void> {
    const work = this.#last.then(async () => {
      try {
        await this.#writeAll()
        if (this.#isCheckpointDue || this.#isClosed) await this.#makeCheckpoint()
        this.#succeeded()
      } catch (err) {
        this.#failed(err)
      }
    })
    this.#last = work
    return work
  }

  async #writeAll(): Promise<void> {
    const maxFileBytes = this.#options.maxBytes / FILES
    // What comes meanwhile is written the next time: a batch of a few records costs as much as one of many.
    for (let left = this.#queue.length; left > 0 || this.#losses.isDue; ) {
      if (this.#file.bytes >= maxFileBytes) await this.#rotate(maxFileBytes)
      // In the order in which it happened: what waits is older than what was lost.
      if (this.#losses.isDue) left = this.#queue.length
      if (left > 0) left -= await this.#writeFirst(left)
      else await this.#writeGaps('due')
      if (this.#file.end.seq - this.#signed.seq >= CHECKPOINT_LINES) await this.#sign()
    }
  }

  /** Writes some of the first records. Resolves with their number. */
  async #writeFirst(most: number): Promise<number> {
    const count = await this.#write(this.#queue, most)
    this.#queue.splice(0, count)
    return count
  }

  async #writeGaps(which: 'due' | 'source'): Promise<void> {
    const gaps = this.#losses.take(which)
    const toMs = this.#options.clock.wallMs()
    try {
      await this.#write(gaps.map(([, gap]) => this.#ownRecord('audit-gap', { ...gap, toMs })))
    } catch (err) {
      this.#losses.giveBack(gaps)
      throw err
    }
  }

  /** Writes the first records, as many as fit into one batch. Resolves with their number. */
  async #write(records: readonly PendingRecord[], most = records.length): Promise<number> {
    if (records.length === 0) return 0
    const { bytes, count, end, signed } = this.#lines.fill(records, most, this.#file.end)
    await this.#file.append(bytes, end)
    this.#signed = signed ?? this.#signed
    this.written.fire()
    this.#options.metrics.count('warren_audit_records_total', {}, count)
    if (end.seq > (this.#onDisk?.seq ?? 0)) this.#checkpointLater()
    return count
  }

  /** The new file begins with a signed line, and only then the oldest files are removed. */
  async #rotate(maxFileBytes: number): Promise<void> {
    const { maxBytes, metrics } = this.#options
    const former = basename(await this.#file.rotate())
    const surplus = await this.#file.surplus(maxBytes, maxFileBytes)
    const { seq, sha256 } = surplus.removedThrough
    await this.#write([this.#ownRecord('audit-rotated', { former, removedThrough: seq, removedHash: sha256 })])
    await this.#file.sync()
    await this.#file.remove(surplus)
    for (const path of surplus.paths) metrics.hit('audit_mebibytes', { path })
  }

  async #makeCheckpoint(): Promise<void> {
    await this.#writeGaps('source')
    if (this.#signed.seq < this.#file.end.seq) await this.#sign()
    const signed = this.#signed
    if (signed.seq > (this.#onDisk?.seq ?? 0)) {
      await this.#file.sync()
      this.#onDisk = signed
      this.#options.onCheckpoint()
    }
    this.#isCheckpointDue = false
  }

  async #sign(): Promise<void> {
    await this.#write([this.#ownRecord('audit-checkpoint', {})])
  }

  #failed(err: unknown): void {
    const { log, path, metrics, clock } = this.#options
    metrics.count('warren_audit_write_failures_total', {})
    if (!this.#isFailing) {
      log.error('the audit log cannot be written: records wait, and those that find no room are counted', { path, err })
    }
    this.#isFailing = true
    this.#losses.stall(path, err, clock.wallMs())
    if (this.#isClosed) return
    clearTimeout(this.#flush)
    this.#flush = undefined
    this.#flushAfter(this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS)
  }

  #succeeded(): void {
    if (this.#isFailing) this.#options.log.warn('the audit log is written again', { path: this.#options.path })
    this.#isFailing = false
    this.#retryMs = FIRST_RETRY_MS
  }
}

/** Whose flow was refused, if the event says that. */
function refusedSource(name: EventName, fields: EventFields[EventName]): string | undefined {
  if (name === 'flow-refused') return (fields as EventFields['flow-refused']).source
  return name === 'join-refused' ? (fields as EventFields['join-refused']).remote : undefined
}
