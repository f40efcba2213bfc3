import { stat } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type Clock,
  ErrorCode,
  type KeyedRate,
  type LimitName,
  type Metrics,
  Quota,
  TokenBuckets,
  WarrenError
} from '../core/index.ts'
import { AUDIT_RECORDS, AUDITED_EVENTS } from '../events/index.ts'
import { filesOf } from './files.ts'
import { parseSelection, type SelectionInput } from './input.ts'
import { type AuditLine, parseLine } from './line.ts'
import { linesOf } from './lines.ts'
import { isSelected, type Selection } from './select.ts'

/** What somebody who asks over the mesh gets. */
export interface Search<T> {
  readonly selection: SelectionInput
  /** The newest ones are kept, this many and of this size at most. */
  readonly last: number
  readonly maxBytes: number
  /** What is found of a line, and its size; undefined if it is not to be found. */
  readonly view: (line: AuditLine) => { readonly value: T; readonly bytes: number } | undefined
}

export interface Found<T> {
  /** Oldest first. */
  readonly values: readonly T[]
  /** All that were found, also those that are not kept. */
  readonly total: number
  /** The log has older lines than were looked at: when the oldest one happened that was. */
  readonly searchedFromMs: number | undefined
}

/** Of a log, the newest lines of this size are looked at. */
export const SEARCHED_BYTES = 8 * 1_024 * 1_024
/** Searches that wait or run, of all who ask, and of one of them. One runs at a time. */
export const MAX_SEARCHES = 8
export const MAX_SEARCHES_PER_ADMIN = 2
/** Searches of one admin: this many a second, after a burst. */
export const SEARCHES: KeyedRate = Object.freeze({ perSecond: 1, burst: 20, maxKeys: 256 })
/** Lines after which other work has its turn. */
const LINES_PER_TURN = 128
const NAMES: readonly string[] = [...AUDITED_EVENTS, ...AUDIT_RECORDS]
const NOTHING = Object.freeze({ values: [], total: 0, searchedFromMs: undefined })

export interface SearchesOptions {
  readonly path: string
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly metrics: Metrics
}

/** Searches the end of an audit log for others, without holding up its host. */
export class AuditSearches {
  readonly #path: string
  readonly #metrics: Metrics
  readonly #places = new Quota<string>(MAX_SEARCHES_PER_ADMIN, MAX_SEARCHES)
  readonly #rates = new TokenBuckets<string>(SEARCHES)
  readonly #clock: Pick<Clock, 'monotonicMs'>
  #last: Promise<unknown> = Promise.resolve()

  constructor({ path, metrics, clock }: SearchesOptions) {
    this.#path = path
    this.#metrics = metrics
    this.#clock = clock
  }

  /** The newest records. `admin`: on whose share it counts. Throws LIMIT_EXCEEDED, INVALID_ARGUMENT. */
  async newest<T>(search: Search<T>, admin: string, signal: AbortSignal): Promise<Found<T>> {
    const { events } = search.selection
    // Records of a later program are in no log of this one.
    const known = events?.filter(name => NAMES.includes(name))
    const selection = parseSelection({ ...search.selection, events: known })
    if (known?.length === 0) return NOTHING
    if (!this.#rates.take(admin, this.#clock.monotonicMs())) throw this.#tooMany('audit_search_rate')
    const release = this.#places.take(admin)
    if (release === undefined)
      throw this.#tooMany(this.#places.size >= MAX_SEARCHES ? 'audit_searches' : 'audit_searches_per_admin')
    try {
      const turn = this.#last.then(() => newestOf(this.#path, selection, search, signal))
      this.#last = turn.catch(() => {})
      return await turn
    } finally {
      release()
    }
  }

  #tooMany(limit: LimitName): WarrenError {
    this.#metrics.hit(limit)
    return new WarrenError(ErrorCode.LimitExceeded, 'too many searches of its audit log; ask again later')
  }
}

async function newestOf<T>(
  path: string,
  selection: Selection,
  { last, maxBytes, view }: Search<T>,
  signal: AbortSignal
): Promise<Found<T>> {
  const kept: Array<{ readonly value: T; readonly bytes: number }> = []
  let [total, bytes, lines] = [0, 0, 0]
  let searchedFromMs: number | undefined
  const { parts, isWhole } = await endOf(path)
  for (const part of parts) {
    // Where a file is not read from its begin, the first line is a piece of one.
    let isPiece = part.from > 0
    for await (const line of linesOf(part.path, part.from)) {
      lines += 1
      if (lines % LINES_PER_TURN === 0) await nextTurn(undefined, { signal })
      const parsed = isPiece || !line.isWhole ? undefined : parseLine(line.bytes.toString())
      isPiece = false
      if (parsed === undefined) continue
      if (!isWhole) searchedFromMs ??= Date.parse(parsed.at)
      const found = isSelected(parsed, selection) ? view(parsed) : undefined
      if (found === undefined) continue
      total += 1
      bytes += kept[kept.push(found) - 1]?.bytes ?? 0
      while (kept.length > last || bytes > maxBytes) bytes -= kept.shift()?.bytes ?? 0
    }
  }
  return { values: kept.map(({ value }) => value), total, searchedFromMs }
}

interface Part {
  readonly path: string
  readonly from: number
}

/** The end of a log, oldest part first, and whether that is all of it. */
async function endOf(path: string): Promise<{ readonly parts: readonly Part[]; readonly isWhole: boolean }> {
  const parts: Part[] = []
  let room = SEARCHED_BYTES
  for (const file of filesOf(path).reverse()) {
    // It may have been removed, as the oldest one of a log that is too large.
    const size = (await stat(file.path).catch(() => undefined))?.size ?? 0
    if (room === 0) return { parts, isWhole: false }
    parts.unshift({ path: file.path, from: Math.max(0, size - room) })
    if (size > room) return { parts, isWhole: false }
    room -= size
  }
  return { parts, isWhole: true }
}
