import { hash } from 'node:crypto'
import {
  anyChange,
  ChangeSignal,
  type Clock,
  ErrorCode,
  type Logger,
  LruMap,
  TokenBucket,
  WarrenError
} from '../../core/index.ts'
import type { EventSink } from '../../events/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { AdminKey } from '../../policy/index.ts'
import type { OwnerView } from '../../registry/index.ts'
import { type Answerer, CAPABILITY_FOR, collect, type QuestionSigner, type Questions } from '../questions/index.ts'
import type { LongAskName, LongAsks } from './long-asks.ts'
import {
  type Ask,
  decodeLongAsk,
  decodeObservation,
  decodeObservationQuestion,
  encodeLongAsk,
  encodeObservation,
  encodeObservationQuestion,
  isLong,
  type Observation,
  type Told
} from './observation.ts'
import { makeReplyKey, type ReplyKey } from './seal.ts'

/** What one host has answered. */
export interface HostObservation extends Told {
  readonly machine: string
  readonly state: 'answered' | 'cannot-say' | 'silent' | 'suspect'
  /** Since when it is suspect, by the clock of this host. */
  readonly sinceMs?: number
}

export interface Observed {
  readonly hosts: readonly HostObservation[]
  /** Nothing follows. */
  readonly finished: boolean
  /** Every member that is concerned has answered. */
  readonly complete: boolean
}

/** How long to ask, and whom. */
export interface CollectLimits {
  readonly timeoutMs: number
  /** The hosts that are waited for. @default all */
  readonly concerns?: (machine: string) => boolean
}

/** Tells what this host sees; undefined if it does not know the question. `signer`: who asks; undefined for this host. */
export type Observer = (ask: Ask, signer: AdminKey | undefined, signal: AbortSignal) => Promise<Told | undefined>

export interface ObservationsDeps {
  readonly trustDomain: string
  readonly self: PeerKey
  readonly questions: () => Pick<Questions, 'open'>
  readonly longAsks: Pick<LongAsks, 'offer' | 'fetch'>
  readonly owners: () => readonly OwnerView[]
  readonly suspectedSinceMs: (peer: PeerKey) => number | undefined
  /** Resolves at the next change of any host. */
  readonly registryChanged: () => Promise<void>
  readonly events: EventSink
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly log: Logger
}

interface Asked {
  readonly ask: Ask
  /** As others get it. */
  readonly question: Uint8Array
  readonly reply: ReplyKey
  readonly timeoutMs: number
  readonly concerns: (machine: string) => boolean
  readonly signal: AbortSignal
}

/** Answers that are kept for a question that is asked again. */
const MAX_KEPT = 32
/** Questions that hosts ask, and no admin: any member may, so all of them together have a bound. */
const HOST_RATE = { perSecond: 5, burst: 20 }

/** Asks all members what they see, and tells others what this host sees. */
export class Observations {
  readonly #deps: ObservationsDeps
  readonly #kept = new LruMap<string, Uint8Array>(MAX_KEPT)
  readonly #news = new ChangeSignal()
  readonly #changed: () => Promise<void>
  readonly #ofHosts: TokenBucket
  #observer: Observer | undefined

  constructor(deps: ObservationsDeps) {
    this.#deps = deps
    this.#ofHosts = new TokenBucket(HOST_RATE, deps.clock.monotonicMs())
    this.#changed = anyChange(() => this.#news.changed(), deps.registryChanged)
  }

  /** From now on this host answers, by what `observer` tells. */
  answerBy(observer: Observer): void {
    this.#observer = observer
  }

  /** Answers a question of another host, and notes who has asked. */
  readonly answer: Answerer = async (content, { requester, via, signer, signal }) => {
    const { trustDomain, self, clock } = this.#deps
    const { replyKey, ask } = decodeObservationQuestion(content)
    // Asked again, by the same admin of the same host: nobody gets, or takes the place of, an answer to another question.
    const name = `${requester} ${signer} ${hash('sha256', content, 'base64')}`
    const kept = this.#kept.get(name)
    if (kept !== undefined) return kept
    if (this.#observer === undefined) return undefined
    const isBusy = signer === requester && !this.#ofHosts.take(clock.monotonicMs())
    const told = isBusy
      ? TOO_MANY
      : await this.#tell(await this.#whole(ask, requester, via, signal), requester, signer, signal)
    const answer = encodeObservation(trustDomain, told, replyKey, self)
    this.#kept.set(name, answer)
    return answer
  }

  /**
   * Asks every host, and yields each answer as it comes. Ends when each live host that is concerned has answered, or when the time is
   * over; the last value has those without an answer. Throws NOT_ADMIN, INVALID_ARGUMENT, LIMIT_EXCEEDED.
   */
  async *collect(
    ask: Ask,
    { timeoutMs, concerns = () => true }: CollectLimits,
    signal: AbortSignal
  ): AsyncGenerator<Observed> {
    const reply = makeReplyKey()
    if (!isLong(ask, reply)) {
      yield* this.#ask({ ask, question: encodeObservationQuestion(ask, reply), reply, timeoutMs, concerns, signal })
      return
    }
    const { name, release } = this.#deps.longAsks.offer(encodeLongAsk(ask))
    try {
      const question = encodeObservationQuestion({ case: 'long', value: name }, reply)
      yield* this.#ask({ ask, question, reply, timeoutMs, concerns, signal })
    } finally {
      release()
    }
  }

  async *#ask({ ask, question, reply, timeoutMs, concerns, signal }: Asked): AsyncGenerator<Observed> {
    const { questions, trustDomain, self, clock, log } = this.#deps
    const received = new Map<PeerKey, Told>()
    const inquiry = questions().open('observation', question, (peer, content) => {
      try {
        const observation = decodeObservation(content, trustDomain, reply, peer)
        received.set(peer, told(observation))
      } catch (err) {
        const { reason } = WarrenError.from(err)
        log.warn('an answer is not usable', { peer, err })
        received.set(peer, { problem: reason })
      }
      this.#news.fire()
    })
    const shown = new Set<string>()
    received.set(self, await this.#tell(ask, self, undefined, signal))
    yield* collect<Observed>({
      inquiry,
      look: ({ isOver, isGraceOver }) => {
        const all = this.#standing(received, inquiry.signer, concerns)
        const isLast = isOver || all.every(({ state }) => state !== 'silent' && (isGraceOver || state !== 'suspect'))
        const hosts = all.filter(({ machine, state }) => !shown.has(machine) && (isLast || state === 'answered'))
        for (const { machine } of hosts) shown.add(machine)
        const complete = isLast && all.every(({ state, problem = '' }) => state === 'answered' && problem === '')
        return { news: hosts.length > 0 || isLast ? { hosts, finished: isLast, complete } : undefined, isLast }
      },
      changed: this.#changed,
      timeoutMs,
      clock,
      signal
    })
  }

  async #tell(ask: Ask, requester: PeerKey, signer: AdminKey | undefined, signal: AbortSignal): Promise<Told> {
    const { owners, events } = this.#deps
    const machine = owners().find(({ peer }) => peer === requester)?.machine ?? requester
    events.emit('question-asked', { peer: requester, machine, question: ask.case ?? 'unknown' })
    try {
      return (await this.#observer?.(ask, signer, signal)) ?? { problem: 'its program does not know this question' }
    } catch (err) {
      const { code, reason } = WarrenError.from(err)
      // What is wrong with the question is for the person who asks; what is wrong here is for the log.
      if (code === ErrorCode.Internal) this.#deps.log.error('a question failed', { err })
      return { problem: code === ErrorCode.Internal ? 'it failed; the log of the host says why' : reason }
    }
  }

  /** A long question as a whole. If it cannot be fetched, this host answers when it is asked again. */
  async #whole(ask: Ask, requester: PeerKey, via: PeerKey, signal: AbortSignal): Promise<Ask> {
    return ask.case === 'long' ? await this.#fetch(ask.value, requester, via, signal) : ask
  }

  async #fetch(name: LongAskName, requester: PeerKey, via: PeerKey, signal: AbortSignal): Promise<Ask> {
    const { longAsks, log } = this.#deps
    try {
      return decodeLongAsk(await longAsks.fetch(name, requester, [via, requester], signal))
    } catch (err) {
      log.debug('a long question was not fetched', { peer: requester, err })
      throw err
    }
  }

  /** What is known of each member, this host first. */
  #standing(
    received: ReadonlyMap<PeerKey, Told>,
    signer: QuestionSigner,
    concerns: (machine: string) => boolean
  ): HostObservation[] {
    return [...this.#deps.owners()]
      .filter(({ self, machine, peer }) => self || received.has(peer) || concerns(machine))
      .sort((one, other) => Number(other.self) - Number(one.self) || (one.machine < other.machine ? -1 : 1))
      .map(({ machine, peer, suspect, capabilities }) => {
        const answer = received.get(peer)
        if (answer !== undefined) return { ...answer, machine, state: 'answered' }
        const sinceMs = this.#deps.suspectedSinceMs(peer)
        if (suspect || sinceMs !== undefined)
          return { machine, state: 'suspect', ...(sinceMs !== undefined && { sinceMs }) }
        return { machine, state: capabilities.includes(CAPABILITY_FOR[signer]) ? 'silent' : 'cannot-say' }
      })
  }
}

const TOO_MANY: Told = { problem: 'hosts ask it too much: ask again in some seconds' }

function told({ flows, flowsTotal, explained, problem, consequences, audit, services, events }: Observation): Told {
  return {
    flows,
    flowsTotal,
    explained,
    problem,
    ...(consequences !== undefined && { consequences }),
    ...(audit !== undefined && { audit }),
    ...(services !== undefined && { services }),
    ...(events !== undefined && { events })
  }
}
