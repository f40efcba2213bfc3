import { type KeyedRate, LruMap, TokenBuckets } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Answer, AnswerFormat, Question } from './answer.ts'

/** Answers of one neighbour that are verified: this many a second, after a burst. All members may answer through one neighbour. */
export const GATHERED: KeyedRate = { perSecond: 1_000, burst: 8_192, maxKeys: 4_096 }
/** Answers of one neighbour, and of all, that wait to be sent. */
export const MAX_HELD_PER_SENDER = 4_096
const MAX_HELD = 16_384
/** Bytes of contents, of one neighbour and of all, that wait to be sent. */
export const MAX_HELD_BYTES_PER_SENDER = 4 * 1024 * 1024
const MAX_HELD_BYTES = 16 * 1024 * 1024
/** Questions at a time, of all members. */
const MAX_QUESTIONS = 4_096
/** Authors whose answer has passed here, over all questions. */
const MAX_KNOWN = 65_536
/** A question without news is forgotten after this time, in milliseconds: its requester waits for less. */
export const QUESTION_MS = 10_000
/**
 * How long an answer waits for others that can go with it, in milliseconds, at each host on its way. With longer waits an owner of
 * a thousand hosts receives no fewer messages, by the scale model, and waits longer: 2.8 s with waits that double up to 400 ms.
 */
export const WAIT_MS = 50
/** Everything of a neighbour that sent a forged answer is refused for this long, in milliseconds. */
export const PUNISHED_MS = 60_000
const MAX_PUNISHED = 1_024

interface Held {
  readonly answer: Answer
  /** The neighbour that it came from; undefined for our own. */
  readonly from: PeerKey | undefined
}

interface Open {
  readonly requester: PeerKey
  readonly run: bigint
  number: bigint
  /** The neighbour that the question came from. */
  via: PeerKey
  seenMs: number
  /** The newest answer of each author that has passed here. */
  readonly known: Map<PeerKey, bigint>
  readonly held: Map<PeerKey, Held>
  /** Time of the next message; undefined while nothing is held. */
  dueMs: number | undefined
}

/** The decision about an answer of a neighbour. */
export type Taken = 'taken' | 'known' | 'no question' | 'not a member' | 'forged' | 'rate' | 'full'

export interface GathererDeps {
  readonly isMember: (peer: PeerKey) => boolean
  readonly verify: (answer: Answer) => boolean
  /** @default acknowledgements */
  readonly format?: AnswerFormat
}

interface Amount {
  count: number
  bytes: number
}

/**
 * The answers that pass through this host on their way to those who asked. Pure: no clock, no timers, no I/O.
 *
 * Only a question that this host has from its requester's signed head opens a place for answers. Each answer is verified once, by the
 * key of its author, before it is held; a repetition is dropped before that. So a hostile neighbour can neither forge nor fill:
 * a rate bounds what is verified of it, a number what is held of it, and after a forgery it is refused for a minute.
 */
export class Gatherer {
  readonly #deps: GathererDeps
  /** Those asked or replaced longest ago first. */
  readonly #open = new Map<string, Open>()
  readonly #rates = new TokenBuckets<PeerKey>(GATHERED)
  readonly #punished = new LruMap<PeerKey, number>(MAX_PUNISHED)
  readonly #heldOf = new Map<PeerKey, Amount>()
  readonly #held: Amount = { count: 0, bytes: 0 }
  #known = 0

  constructor(deps: GathererDeps) {
    this.#deps = deps
  }

  /** The memory in use, for metrics and tests. */
  get size(): { readonly questions: number; readonly held: number; readonly known: number } {
    return { questions: this.#open.size, held: this.#held.count, known: this.#known }
  }

  /** Opens a question that came from `via`; a later one of its requester takes the place of the one before. */
  ask(question: Question, via: PeerKey, nowMs: number): void {
    const { requester, run, number } = question
    const key = this.#keyOf(question)
    const before = this.#open.get(key)
    if (before?.run === run) {
      if (number < before.number) return
      this.#open.delete(key)
      this.#open.set(key, before)
      Object.assign(before, { number, via, seenMs: nowMs })
      return
    }
    if (before !== undefined) this.#close(key, before)
    const [oldest] = this.#open
    if (oldest !== undefined && this.#open.size >= MAX_QUESTIONS) this.#close(...oldest)
    const rest = { known: new Map(), held: new Map(), dueMs: undefined }
    this.#open.set(key, { requester, run, number, via, seenMs: nowMs, ...rest })
  }

  /** Holds an answer until it is due: our own, or with `from` that of another member, which is verified. */
  take(answer: Answer, from: PeerKey | undefined, nowMs: number, waitMs = WAIT_MS): Taken {
    const { author, run, number } = answer
    const open = this.#open.get(this.#keyOf(answer))
    if (open === undefined || open.run !== run || number > open.number) return 'no question'
    const known = open.known.get(author)
    if (known !== undefined && known >= number) return 'known'
    if (from !== undefined) {
      if (this.#isFull(from, answer.content.length)) return 'full'
      const verdict = this.verify(answer, from, nowMs)
      if (verdict !== 'taken') return verdict
    }
    if (known === undefined) this.#known += 1
    open.known.set(author, number)
    // A newer answer of the same author covers the one that waits.
    this.#release(open, author)
    open.held.set(author, { answer, from })
    this.#hold(from, 1, answer.content.length)
    open.dueMs = Math.min(open.dueMs ?? Number.POSITIVE_INFINITY, nowMs + waitMs)
    return 'taken'
  }

  /** Whether a member has signed an answer, within the rate of the neighbour that sent it. */
  verify(answer: Answer, from: PeerKey, nowMs: number): Taken {
    if (this.isRefused(from, nowMs)) return 'forged'
    if (!this.#deps.isMember(answer.author)) return 'not a member'
    if (!this.#rates.take(from, nowMs)) return 'rate'
    if (this.#deps.verify(answer)) return 'taken'
    this.#punished.set(from, nowMs + PUNISHED_MS)
    return 'forged'
  }

  /** Whether a neighbour has sent a forgery within the last minute. */
  isRefused(from: PeerKey, nowMs: number): boolean {
    return (this.#punished.get(from) ?? 0) > nowMs
  }

  /** When to call `due` next; undefined if there is nothing to wait for. */
  nextDueMs(): number | undefined {
    let next: number | undefined
    for (const { dueMs, seenMs } of this.#open.values()) {
      const atMs = dueMs ?? seenMs + QUESTION_MS
      if (next === undefined || atMs < next) next = atMs
    }
    return next
  }

  /** The answers that are due, by the neighbour that they go to; they are held no longer. Forgets old questions. */
  due(nowMs: number): Map<PeerKey, Answer[]> {
    const out = new Map<PeerKey, Answer[]>()
    for (const [key, open] of this.#open) {
      if (open.dueMs !== undefined && open.dueMs <= nowMs) {
        const list = out.get(open.via) ?? []
        for (const { answer } of open.held.values()) list.push(answer)
        out.set(open.via, list)
        for (const author of [...open.held.keys()]) this.#release(open, author)
        open.dueMs = undefined
      }
      if (nowMs >= open.seenMs + QUESTION_MS) this.#close(key, open)
    }
    return out
  }

  #keyOf({ requester, run }: Question): string {
    return this.#deps.format?.isPerRun === true ? `${requester} ${run}` : requester
  }

  #isFull(from: PeerKey, bytes: number): boolean {
    const { count, bytes: held } = this.#heldOf.get(from) ?? { count: 0, bytes: 0 }
    return (
      this.#known >= MAX_KNOWN ||
      this.#held.count >= MAX_HELD ||
      this.#held.bytes + bytes > MAX_HELD_BYTES ||
      count >= MAX_HELD_PER_SENDER ||
      held + bytes > MAX_HELD_BYTES_PER_SENDER
    )
  }

  #hold(from: PeerKey | undefined, count: number, bytes: number): void {
    this.#held.count += count
    this.#held.bytes += bytes
    if (from === undefined) return
    const of = this.#heldOf.get(from) ?? { count: 0, bytes: 0 }
    of.count += count
    of.bytes += bytes
    if (of.count === 0) this.#heldOf.delete(from)
    else this.#heldOf.set(from, of)
  }

  #close(key: string, open: Open): void {
    for (const author of [...open.held.keys()]) this.#release(open, author)
    this.#known -= open.known.size
    this.#open.delete(key)
  }

  #release(open: Open, author: PeerKey): void {
    const held = open.held.get(author)
    if (held === undefined) return
    open.held.delete(author)
    this.#hold(held.from, -1, -held.answer.content.length)
  }
}
