/** Why a datagram between a local socket and a flow was dropped. */
export type DropReason = keyof typeof CLAUSES

const CLAUSES = {
  waiting: 'because more waited for their flow than there is room for',
  refused: 'because their flow was refused',
  ended: 'because the command ended',
  room: 'of clients that made room for others',
  flow: 'because the agent did not take them',
  size: 'because they were too large',
  answer: 'that were answers, because the client did not take them',
  server: 'because the server did not take them',
  unread: 'before they were read'
} as const

const REASONS = Object.keys(CLAUSES) as readonly DropReason[]
const MINUTE_MS = 60_000
/** A burst is told as one, in milliseconds. */
const GATHER_MS = 1_000

/** Counts datagrams that were dropped, and tells how many, for each reason, at most once a minute. */
export class DropReport {
  readonly #tell: (text: string) => void
  readonly #counts = new Map<DropReason, number>()
  #total = 0
  #toldMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  /** All that were ever counted. */
  get total(): number {
    return this.#total
  }

  count(reason: DropReason, datagrams = 1): void {
    if (datagrams <= 0) return
    this.#total += datagrams
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + datagrams)
    this.#timer ??= setTimeout(() => this.flush(), Math.max(GATHER_MS, this.#toldMs + MINUTE_MS - performance.now()))
  }

  /** Tells what has not been told. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const clauses = REASONS.flatMap(reason => {
      const count = this.#counts.get(reason)
      return count === undefined ? [] : [`${count} ${CLAUSES[reason]}`]
    })
    if (clauses.length === 0) return
    this.#counts.clear()
    this.#toldMs = performance.now()
    this.#tell(`datagrams dropped: ${clauses.join('; ')}`)
  }
}
