import { ErrorCode, type KeyedRate, LruMap, TokenBuckets, WarrenError } from '../../core/index.ts'
import { type PeerKey, peerKeyOf } from '../../identity/index.ts'
import type { AdminKey } from '../../policy/index.ts'
import { type Answer, type AnswerKind, type Gathering, QUESTION_MS, type Statement } from '../gather/index.ts'
import { decodeQuestion, encodeQuestion, type SignedQuestion } from './question.ts'

/** How a question came. */
export interface AnswerContext {
  readonly requester: PeerKey
  /** The neighbour that it came from. */
  readonly via: PeerKey
  /** The admin who asks. */
  readonly signer: AdminKey
  /** Aborts when others need the place. */
  readonly signal: AbortSignal
}

/** Answers a question of one kind. Undefined: this host does not answer it. */
export type Answerer = (content: Uint8Array, context: AnswerContext) => Promise<Uint8Array | undefined>

export type QuestionSignature = Pick<SignedQuestion, 'signer' | 'signature'>

/** The admin of a host, or the host itself. */
export type QuestionSigner = 'admin' | 'host'

/** What Questions need from their host. No port calls back before it has returned. */
export interface QuestionPorts {
  readonly self: PeerKey
  readonly isMember: (peer: PeerKey) => boolean
  /** Whether the holder of this key may ask this. Throws MESSAGE_MALFORMED. */
  readonly mayAsk: (
    question: Pick<Statement, 'kind' | 'content' | 'requester'> & { readonly signer: AdminKey }
  ) => boolean
  /** Who signs a question of this host. Throws NOT_ADMIN if others would not answer it. */
  readonly signerOf: (question: Pick<Statement, 'kind' | 'content'>) => QuestionSigner
  readonly verify: (question: SignedQuestion) => boolean
  /** Not at once if a person is asked. */
  readonly sign: (question: Statement, signer: QuestionSigner) => QuestionSignature | Promise<QuestionSignature>
  /** Connected hosts that take questions of such a signer: nobody is dialled. */
  readonly neighbours: (signer: QuestionSigner) => readonly PeerKey[]
  readonly send: (peer: PeerKey, bytes: Uint8Array) => void
  readonly gathering: Pick<Gathering, 'answer'>
  readonly answerers: Readonly<Partial<Record<AnswerKind, Answerer>>>
  readonly monotonicMs: () => number
  /** 0 ≤ x < 1. */
  readonly random: () => number
  /** 64 random bits. */
  readonly randomRun: () => bigint
}

/** Questions of one neighbour that are verified: this many a second, after a burst. */
export const VERIFIED: KeyedRate = { perSecond: 20, burst: 100, maxKeys: 4_096 }
/** Questions of one requester that are answered and passed on. */
const ASKED: KeyedRate = { perSecond: 5, burst: 20, maxKeys: 4_096 }
/** Neighbours that a host passes a question on to. One that nobody reaches this way is reached when it is asked again. */
const FAN_OUT = 8
/** Neighbours that the requester sends its question to. */
const MAX_FIRST = 128
/** Questions that were seen lately. */
const MAX_SEEN = 8_192
/** Questions whose answer is not ready yet. Of more, the oldest is not answered. */
const MAX_PENDING = 256
/** Questions of this host at a time. */
const MAX_INQUIRIES = 32

interface Pending {
  number: bigint
  via: PeerKey
  askedMs: number
  readonly controller: AbortController
}

/** A question of this host. */
export interface Inquiry {
  readonly signer: QuestionSigner
  /** Sends the question; again, if it was sent before. */
  readonly ask: () => void
  /** From now on no answer is taken. */
  readonly close: () => void
}

interface OwnInquiry {
  readonly kind: AnswerKind
  readonly signer: QuestionSigner
  number: bigint
  /** Whether a person is asked for a signature now. */
  isSigning: boolean
  readonly answered: Set<PeerKey>
  readonly onAnswer: (author: PeerKey, content: Uint8Array) => void
}

/**
 * Asks all members, and answers what other members ask.
 *
 * Who asks signs the question, and each host verifies his right before it answers or passes the question on. A question travels from
 * neighbour to neighbour; the answers return the same way (`gather`).
 */
export class Questions {
  readonly #ports: QuestionPorts
  readonly #verified = new TokenBuckets<PeerKey>(VERIFIED)
  readonly #asked = new TokenBuckets<PeerKey>(ASKED)
  readonly #seen = new LruMap<string, bigint>(MAX_SEEN)
  readonly #pending = new Map<string, Pending>()
  readonly #inquiries = new Map<bigint, OwnInquiry>()

  constructor(ports: QuestionPorts) {
    this.#ports = ports
  }

  /** The memory in use, for metrics and tests. */
  get size(): { readonly pending: number; readonly inquiries: number } {
    return { pending: this.#pending.size, inquiries: this.#inquiries.size }
  }

  /**
   * A question to all members; each author answers once. Nothing is sent before `ask` of it is called; `close` must follow. Throws
   * NOT_ADMIN, LIMIT_EXCEEDED.
   */
  open(kind: AnswerKind, content: Uint8Array, onAnswer: OwnInquiry['onAnswer']): Inquiry {
    const { randomRun, signerOf } = this.#ports
    const signer = signerOf({ kind, content })
    if (this.#inquiries.size >= MAX_INQUIRIES) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many questions of this host are open', {
        hint: 'Wait until another command with --wait has ended.'
      })
    }
    const run = randomRun()
    const inquiry: OwnInquiry = { kind, signer, number: 0n, isSigning: false, answered: new Set(), onAnswer }
    this.#inquiries.set(run, inquiry)
    return {
      signer,
      ask: () => this.#ask(inquiry, run, content),
      close: () => this.#inquiries.delete(run)
    }
  }

  #ask(inquiry: OwnInquiry, run: bigint, content: Uint8Array): void {
    const { sign, self, neighbours } = this.#ports
    if (inquiry.isSigning) return
    inquiry.number += 1n
    const statement = { requester: self, kind: inquiry.kind, run, number: inquiry.number, content }
    const spread = (signed: QuestionSignature): void => {
      if (this.#inquiries.has(run)) this.#spread({ ...statement, ...signed }, neighbours(inquiry.signer), MAX_FIRST)
    }
    const made = sign(statement, inquiry.signer)
    if (!(made instanceof Promise)) {
      spread(made)
      return
    }
    inquiry.isSigning = true
    made
      // Whoever does not sign knows it; the question is not asked.
      .then(spread, () => {})
      .finally(() => {
        inquiry.isSigning = false
      })
  }

  /** Whether an answer is one to an open question of this host, of an author that has not answered it. */
  isNews({ kind, run, number, author }: Answer): boolean {
    const inquiry = this.#inquiries.get(run)
    return inquiry?.kind === kind && number <= inquiry.number && !inquiry.answered.has(author)
  }

  /** Takes a verified answer. */
  deliver({ run, author, content }: Answer): void {
    const inquiry = this.#inquiries.get(run)
    inquiry?.answered.add(author)
    inquiry?.onAnswer(author, content)
  }

  /** Takes a question of a neighbour. Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, PERMISSION_DENIED, NOT_READY, LIMIT_EXCEEDED. */
  receive(from: PeerKey, bytes: Uint8Array): void {
    const { self, isMember, mayAsk, verify, neighbours, monotonicMs, gathering } = this.#ports
    const question = decodeQuestion(bytes)
    if (question === undefined || question.requester === self) return
    const { requester, kind, run, number, content } = question
    const key = `${requester} ${run}`
    // Before anything is verified: each question comes from several neighbours.
    if ((this.#seen.get(key) ?? 0n) >= number) return
    const now = monotonicMs()
    if (!isMember(requester)) throw new WarrenError(ErrorCode.NotReady, 'the host that asks is not known here')
    if (!this.#verified.take(from, now)) throw tooMany()
    const signer = peerKeyOf(question.signer)
    if (!mayAsk({ kind, content, requester, signer }) || !verify(question)) {
      throw new WarrenError(ErrorCode.PermissionDenied, 'the question is not signed by anybody who may ask it')
    }
    if (!this.#asked.take(requester, now)) throw tooMany()
    this.#seen.set(key, number)
    const others = neighbours(signer === requester ? 'host' : 'admin').filter(
      peer => peer !== from && peer !== requester
    )
    this.#spread(question, others, FAN_OUT)
    // First it is open for the answers of others: ours may take long.
    gathering.answer({ requester, kind, run, number, via: from, again: false, isAnswered: true })
    this.#answer(key, question, from, now)
  }

  /** Nothing is answered any more. */
  stop(): void {
    for (const { controller } of this.#pending.values()) controller.abort()
    this.#pending.clear()
    this.#inquiries.clear()
  }

  #answer(key: string, question: SignedQuestion, via: PeerKey, now: number): void {
    const { answerers, gathering, monotonicMs } = this.#ports
    const { requester, kind, run, number, content } = question
    const known = this.#pending.get(key)
    if (known !== undefined) {
      Object.assign(known, { number, via, askedMs: now })
      return
    }
    const answerer = answerers[kind]
    if (answerer === undefined) return
    const [oldest] = this.#pending
    if (oldest !== undefined && this.#pending.size >= MAX_PENDING) {
      oldest[1].controller.abort()
      this.#pending.delete(oldest[0])
    }
    const pending: Pending = { number, via, askedMs: now, controller: new AbortController() }
    this.#pending.set(key, pending)
    const settle = (answer: Uint8Array | undefined): void => {
      if (this.#pending.get(key) !== pending) return
      this.#pending.delete(key)
      // Whoever does not ask any more does not wait.
      if (answer === undefined || monotonicMs() - pending.askedMs >= QUESTION_MS) return
      const asked = { requester, kind, run, number: pending.number, via: pending.via }
      gathering.answer({ ...asked, again: pending.number > 1n, isAnswered: false, content: answer })
    }
    const context = { requester, via, signer: peerKeyOf(question.signer), signal: pending.controller.signal }
    answerer(content, context).then(settle, () => settle(undefined))
  }

  #spread(question: SignedQuestion, peers: readonly PeerKey[], max: number): void {
    const { send, random } = this.#ports
    const bytes = encodeQuestion(question)
    const chosen = peers
      .map(peer => ({ peer, order: peers.length <= max ? 0 : random() }))
      .sort((one, other) => one.order - other.order)
      .slice(0, max)
    for (const { peer } of chosen) send(peer, bytes)
  }
}

function tooMany(): WarrenError {
  return new WarrenError(ErrorCode.LimitExceeded, 'too many questions', { limit: 'mesh_questions' })
}
