import { ErrorCode, WarrenError } from '../../core/index.ts'
import { peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import { create, decode, questionPb, toBinary } from '../../wire/index.ts'
import { type AnswerFormat, kindOf, type Statement, wireKindOf } from '../gather/index.ts'

/** A question as it travels. Its content depends on the kind. */
export interface SignedQuestion extends Statement {
  /** Raw Ed25519 key of who asks. */
  readonly signer: Uint8Array
  readonly signature: Uint8Array
}

/** The answers to questions: those of /warren/answers/1. */
export const ANSWERS: AnswerFormat = Object.freeze({
  kinds: ['receipt', 'observation'],
  isPerRun: true,
  maxMessageBytes: 256 * 1024,
  maxContentBytes: 32 * 1024
} as const)

/** A host that announces it takes and answers questions. */
export const QUESTIONS_CAPABILITY = 'questions'
/** A host that announces it answers what another host asks about its own workloads, signed by that host. */
export const HOST_QUESTIONS_CAPABILITY = 'host-questions'
/** What a host announces that takes questions of such a signer. */
export const CAPABILITY_FOR = Object.freeze({ admin: QUESTIONS_CAPABILITY, host: HOST_QUESTIONS_CAPABILITY })
/** A whole question. */
export const MAX_QUESTION_BYTES = 17 * 1024
const MAX_CONTENT_BYTES = 16 * 1024
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64

export function encodeQuestion({ requester, kind, ...rest }: SignedQuestion): Uint8Array {
  const fields = { ...rest, requester: rawKeyOf(requester), kind: wireKindOf(kind) }
  return toBinary(questionPb.QuestionSchema, create(questionPb.QuestionSchema, fields))
}

/** A question whose signature is not verified; undefined for a kind of a later program. Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED. */
export function decodeQuestion(bytes: Uint8Array): SignedQuestion | undefined {
  const { requester, signer, signature, content, run, number, ...rest } = decode(
    questionPb.QuestionSchema,
    bytes,
    MAX_QUESTION_BYTES
  )
  const fits = requester.length === KEY_BYTES && signer.length === KEY_BYTES && signature.length === SIGNATURE_BYTES
  if (!fits || content.length > MAX_CONTENT_BYTES || number === 0n) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'a question is not usable: a part of it has a wrong length')
  }
  const kind = kindOf(rest.kind)
  if (kind === undefined || !ANSWERS.kinds.includes(kind)) return undefined
  return { requester: peerKeyOf(requester), kind, run, number, content, signer, signature }
}
