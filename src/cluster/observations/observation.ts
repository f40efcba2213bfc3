import type { MessageInitShape } from '@bufbuild/protobuf'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { MAX_BUNDLE_BYTES } from '../../policy/index.ts'
import { create, decode, questionPb, toBinary } from '../../wire/index.ts'
import { type ReplyKey, seal, unseal } from './seal.ts'

/** What a host is asked to tell, as the message has it. */
export type Ask = questionPb.ObservationQuestion['ask']
/** What a host tells. */
export type Told = Omit<
  MessageInitShape<typeof questionPb.ObservationAnswerSchema>,
  '$typeName' | '$unknown' | 'trustDomain'
>
export type Observation = questionPb.ObservationAnswer

const MAX_QUESTION_BYTES = 16 * 1024
/** What an answer may hold before it is sealed. */
export const MAX_ANSWER_BYTES = 30 * 1024
/** Flows, records and registrations that fit in an answer, at most: each names two things, or has a text. */
const MAX_ITEMS = 1_024
const MAX_SEALED_BYTES = 32 * 1024

/** A question of which others fetch what is asked. */
export function isLong(ask: NewAsk, reply: ReplyKey): boolean {
  return encoded(ask, reply).length > MAX_QUESTION_BYTES
}

/** Throws INVALID_ARGUMENT if it is too long to be carried. */
export function encodeObservationQuestion(ask: NewAsk, reply: ReplyKey): Uint8Array {
  const bytes = encoded(ask, reply)
  if (bytes.length <= MAX_QUESTION_BYTES) return bytes
  throw new WarrenError(ErrorCode.InvalidArgument, 'the question is too long to be sent to other hosts', {
    hint: 'Run the command without --mesh on each host.'
  })
}

type NewAsk = MessageInitShape<typeof questionPb.ObservationQuestionSchema>['ask']

function encoded(ask: NewAsk, { raw }: ReplyKey): Uint8Array {
  const fields = { replyKey: raw, ...(ask !== undefined && { ask }) }
  return toBinary(questionPb.ObservationQuestionSchema, create(questionPb.ObservationQuestionSchema, fields))
}

/** What is asked, as others fetch it. */
export function encodeLongAsk(ask: Ask): Uint8Array {
  return toBinary(questionPb.ObservationQuestionSchema, create(questionPb.ObservationQuestionSchema, { ask }))
}

/** Throws MESSAGE_MALFORMED or MESSAGE_TOO_LARGE. */
export function decodeLongAsk(bytes: Uint8Array): Ask {
  return decode(questionPb.ObservationQuestionSchema, bytes, MAX_BUNDLE_BYTES).ask
}

/** Throws MESSAGE_MALFORMED. */
export function decodeObservationQuestion(bytes: Uint8Array): { readonly replyKey: Uint8Array; readonly ask: Ask } {
  return decode(questionPb.ObservationQuestionSchema, bytes, MAX_QUESTION_BYTES)
}

/** An answer that only the holder of the reply key reads: as much of its lists as fits, with the number of all. */
export function encodeObservation(trustDomain: string, told: Told, replyKey: Uint8Array, author: PeerKey): Uint8Array {
  const sealed = seal(plainOf(trustDomain, told), replyKey, author)
  return toBinary(questionPb.SealedAnswerSchema, create(questionPb.SealedAnswerSchema, sealed))
}

/** Throws MESSAGE_MALFORMED. */
export function decodeObservation(
  bytes: Uint8Array,
  trustDomain: string,
  reply: ReplyKey,
  author: PeerKey
): Observation {
  const plain = unseal(decode(questionPb.SealedAnswerSchema, bytes, MAX_SEALED_BYTES), reply, author)
  const observation = decode(questionPb.ObservationAnswerSchema, plain, MAX_SEALED_BYTES)
  if (observation.trustDomain === trustDomain) return observation
  throw new WarrenError(ErrorCode.MessageMalformed, 'an answer is of another mesh')
}

function plainOf(trustDomain: string, told: Told): Uint8Array {
  // Made once: the parts of it are messages.
  const { consequences, flows: all, audit, services, events } = create(questionPb.ObservationAnswerSchema, told)
  const cuts = consequences?.flows ?? []
  const flowsTotal = all.length + cuts.length
  const items =
    flowsTotal + (audit?.records.length ?? 0) + (services?.services.length ?? 0) + (events?.events.length ?? 0)
  // What cannot fit is not encoded: a host may have thousands of flows.
  for (let part = Math.min(1, MAX_ITEMS / Math.max(1, items)); ; part /= 2) {
    const some = <T>(list: readonly T[]): T[] => list.slice(0, Math.floor(list.length * part))
    const newest = <T>(list: readonly T[]): T[] => list.slice(list.length - Math.floor(list.length * part))
    const message = create(questionPb.ObservationAnswerSchema, {
      ...told,
      trustDomain,
      flowsTotal,
      flows: some(all),
      ...(consequences !== undefined && { consequences: { ...consequences, flows: some(cuts) } }),
      ...(audit !== undefined && { audit: { ...audit, records: newest(audit.records) } }),
      ...(services !== undefined && { services: { ...services, services: some(services.services) } }),
      ...(events !== undefined && { events: { ...events, events: newest(events.events) } })
    })
    const bytes = toBinary(questionPb.ObservationAnswerSchema, message)
    if (bytes.length <= MAX_ANSWER_BYTES) return bytes
    if (part * items >= 1) continue
    const problem = 'the answer is too long to be sent'
    return toBinary(
      questionPb.ObservationAnswerSchema,
      create(questionPb.ObservationAnswerSchema, { trustDomain, problem })
    )
  }
}
