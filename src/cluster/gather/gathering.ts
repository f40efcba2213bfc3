import { ErrorCode, LruMap, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Cancel } from '../../registry/index.ts'
import {
  ACKNOWLEDGEMENTS,
  type Answer,
  type AnswerFormat,
  decodeAnswers,
  encodeAnswers,
  messagesOf,
  type Question,
  type Statement
} from './answer.ts'
import { Gatherer, type GathererDeps, type Taken, WAIT_MS } from './gatherer.ts'

/** What a Gathering needs from its host. No port calls back before it has returned. */
export interface GatheringPorts extends GathererDeps {
  readonly self: PeerKey
  readonly sign: (statement: Statement) => Uint8Array
  readonly monotonicMs: () => number
  /** 0 ≤ x < 1. */
  readonly random: () => number
  /** Calls `run` once after `ms` milliseconds by the monotonic clock. */
  readonly after: (ms: number, run: () => void) => Cancel
  /** Peers with an open connection: nobody is dialled. */
  readonly connected: () => readonly PeerKey[]
  /** Sends a message. Calls exactly one of the two once, unless cancelled; must give up by a deadline of its own. */
  readonly send: (
    peer: PeerKey,
    bytes: Uint8Array,
    onDelivered: () => void,
    onFailure: (err: unknown) => void
  ) => Cancel
  /** Whether an answer to a question of this host says anything new. */
  readonly isNews: (answer: Answer) => boolean
  /** A verified answer to a question of this host. */
  readonly deliver: (answer: Answer) => void
  /** No neighbour takes our own answer: they are older programs. */
  readonly onUndelivered: (answer: Answer) => void
  /** So many answers of others were carried to a neighbour, or could not be. */
  readonly onCarried: (count: number, result: 'delivered' | 'failed') => void
}

/** A question that this host has received. */
export interface Asked extends Question {
  /** The neighbour that the question came from. */
  readonly via: PeerKey
  /** The requester has asked before, and not heard of everybody: another neighbour gets a copy, in case that the first one lies. */
  readonly again: boolean
  /** This host has answered already, or does later: it only carries the answers of others. */
  readonly isAnswered: boolean
  /** @default empty */
  readonly content?: Uint8Array
}

const MAX_ATTEMPTS = 3
/** A neighbour that does not know the protocol is left out for this long, in milliseconds. */
const UNSUPPORTED_MS = 60_000
const MAX_UNSUPPORTED = 1_024
/** Answers on their way to neighbours. Above that, they are dropped: whoever misses one asks again. */
const MAX_SENDING = 16_384
const MAX_SENDING_BYTES = 16 * 1024 * 1024
const NO_CONTENT = new Uint8Array()

/** Answers questions of other members, and carries the answers of others, over connections that stand. */
export class Gathering {
  readonly #ports: GatheringPorts
  readonly #gatherer: Gatherer
  readonly #format: AnswerFormat
  readonly #queues = new Map<PeerKey, Answer[][]>()
  readonly #running = new Set<{ cancel: Cancel }>()
  readonly #unsupported = new LruMap<PeerKey, number>(MAX_UNSUPPORTED)
  #sending = 0
  #sendingBytes = 0
  #timer: { readonly dueMs: number; readonly cancel: Cancel } | undefined
  #stopped = false

  constructor(ports: GatheringPorts) {
    this.#ports = ports
    this.#gatherer = new Gatherer(ports)
    this.#format = ports.format ?? ACKNOWLEDGEMENTS
  }

  /** The memory in use, for metrics and tests. */
  get size(): { readonly questions: number; readonly held: number; readonly known: number; readonly sending: number } {
    return { ...this.#gatherer.size, sending: this.#sending }
  }

  /** Answers a question for this host. Answers of others that come within a short wait go with it. */
  answer({ requester, kind, run, number, via, again, isAnswered, content = NO_CONTENT }: Asked): void {
    const { self, sign, monotonicMs } = this.#ports
    const now = monotonicMs()
    const question = { requester, kind, run, number }
    this.#gatherer.ask(question, via, now)
    this.#schedule()
    if (isAnswered) return
    const statement = { ...question, content }
    const answer = { ...statement, author: self, signature: sign(statement) }
    // The requester itself is next: there is nothing to wait for.
    this.#gatherer.take(answer, undefined, now, via === requester ? 0 : WAIT_MS)
    const other = again ? this.#other([via]) : undefined
    if (other !== undefined) this.#push(other, [answer])
    this.#schedule()
  }

  /**
   * Takes a message of a neighbour. Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, PERMISSION_DENIED for a forgery,
   * LIMIT_EXCEEDED, and NOT_READY if none of the questions is known here.
   */
  receive(from: PeerKey, bytes: Uint8Array): void {
    const { monotonicMs } = this.#ports
    const now = monotonicMs()
    if (this.#gatherer.isRefused(from, now)) throw forged()
    const seen = new Set<Taken>()
    for (const answer of decodeAnswers(bytes, this.#format)) {
      const taken = this.#take(answer, from, now)
      seen.add(taken)
      if (taken === 'forged' || taken === 'rate') break
    }
    this.#schedule()
    if (seen.has('forged')) throw forged()
    if (seen.has('rate') || seen.has('full')) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many answers to carry', { limit: 'gathered_answers' })
    }
    if (seen.size === 1 && seen.has('no question')) {
      throw new WarrenError(ErrorCode.NotReady, 'this host does not know the question')
    }
  }

  /** Cancels all work in progress; nothing is called back afterwards. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    for (const { cancel } of this.#running) cancel()
    this.#running.clear()
    this.#queues.clear()
  }

  #take(answer: Answer, from: PeerKey, now: number): Taken {
    const { self, isNews, deliver } = this.#ports
    if (answer.requester !== self) return this.#gatherer.take(answer, from, now)
    if (!isNews(answer)) return 'known'
    const verdict = this.#gatherer.verify(answer, from, now)
    if (verdict === 'taken') deliver(answer)
    return verdict
  }

  #schedule(): void {
    const dueMs = this.#gatherer.nextDueMs()
    if (this.#stopped || dueMs === undefined || (this.#timer !== undefined && this.#timer.dueMs <= dueMs)) return
    this.#timer?.cancel()
    const cancel = this.#ports.after(Math.max(0, dueMs - this.#ports.monotonicMs()), () => {
      this.#timer = undefined
      // A timer may be early by less than a clock shows; then it would be set again and again.
      const now = Math.max(dueMs, this.#ports.monotonicMs())
      for (const [via, answers] of this.#gatherer.due(now)) this.#push(via, answers)
      this.#schedule()
    })
    this.#timer = { dueMs, cancel }
  }

  // One message at a time to each neighbour.
  #push(peer: PeerKey, answers: readonly Answer[]): void {
    const queue = this.#queues.get(peer)
    const batches = queue ?? []
    for (const batch of messagesOf(answers, this.#format)) {
      if (this.#sending >= MAX_SENDING || this.#sendingBytes >= MAX_SENDING_BYTES) break
      this.#sending += batch.length
      this.#sendingBytes += bytesOf(batch)
      batches.push(batch)
    }
    if (queue !== undefined) return
    this.#queues.set(peer, batches)
    this.#next(peer, batches)
  }

  #next(peer: PeerKey, batches: Answer[][]): void {
    const batch = batches.shift()
    if (batch === undefined) {
      this.#queues.delete(peer)
      return
    }
    this.#attempt(batch, peer, [], () => {
      this.#sending -= batch.length
      this.#sendingBytes -= bytesOf(batch)
      this.#next(peer, batches)
    })
  }

  #attempt(batch: readonly Answer[], peer: PeerKey, tried: readonly PeerKey[], onDone: () => void): void {
    const { send, self, onUndelivered, onCarried, connected, monotonicMs } = this.#ports
    const ofOthers = batch.filter(({ author }) => author !== self).length
    const triedNow = [...tried, peer]
    const onFailure = (err: unknown): void => {
      if (WarrenError.from(err).code === ErrorCode.Unsupported) {
        this.#unsupported.set(peer, monotonicMs() + UNSUPPORTED_MS)
      }
      const other = triedNow.length < MAX_ATTEMPTS ? this.#other(triedNow) : undefined
      if (other !== undefined) {
        this.#attempt(batch, other, triedNow, onDone)
        return
      }
      for (const answer of batch) if (answer.author === self) onUndelivered(answer)
      if (ofOthers > 0) onCarried(ofOthers, 'failed')
      onDone()
    }
    const isUsable = connected().includes(peer) && (this.#unsupported.get(peer) ?? 0) <= monotonicMs()
    if (!isUsable) {
      onFailure(new WarrenError(ErrorCode.DestinationUnreachable, 'the neighbour carries no answers'))
      return
    }
    const running = { cancel: (): void => {} }
    this.#running.add(running)
    running.cancel = send(
      peer,
      encodeAnswers(batch),
      () => {
        this.#running.delete(running)
        if (ofOthers > 0) onCarried(ofOthers, 'delivered')
        onDone()
      },
      err => {
        this.#running.delete(running)
        onFailure(err)
      }
    )
  }

  #other(without: readonly PeerKey[]): PeerKey | undefined {
    const { connected, monotonicMs, random } = this.#ports
    const now = monotonicMs()
    const others = connected().filter(peer => !without.includes(peer) && (this.#unsupported.get(peer) ?? 0) <= now)
    return others[Math.floor(random() * others.length)]
  }
}

function bytesOf(batch: readonly Answer[]): number {
  return batch.reduce((sum, { content }) => sum + content.length, 0)
}

function forged(): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, 'an answer is not signed by its author')
}
