import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import { create, decode, registryPb, toBinary } from '../../wire/index.ts'

/** What an answer is about. */
export type AnswerKind = 'acknowledgement'

/** A question of one host to the members. A later one of the same host and kind replaces it. */
export interface Question {
  readonly requester: PeerKey
  readonly kind: AnswerKind
  /** Of an acknowledgement: the epoch of the head. Answers of another run do not count. */
  readonly run: bigint
  /** Of an acknowledgement: the seq of the head. An answer covers all questions of its run up to this number. */
  readonly number: bigint
}

/** The statement of one member, without its signature. */
export interface Statement extends Question {
  /** Empty for an acknowledgement. */
  readonly content: Uint8Array
}

export interface Answer extends Statement {
  readonly author: PeerKey
  readonly signature: Uint8Array
}

/** One message. An answer takes 96 bytes, so this holds 330 of them. */
export const MAX_MESSAGE_BYTES = 32 * 1024
/** Answers in one message. */
export const MAX_ANSWERS = 256
const MAX_GROUPS = 64
const MAX_CONTENT_BYTES = 1_024
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64

const KINDS: Readonly<Record<AnswerKind, registryPb.AnswerKind>> = Object.freeze({
  acknowledgement: registryPb.AnswerKind.ACKNOWLEDGEMENT
})

/** The bytes that the author of an answer signs. */
export function signedBytes({ requester, kind, run, number, content }: Statement): Uint8Array {
  const fixed = Buffer.alloc(20)
  fixed.writeUInt32BE(KINDS[kind], 0)
  fixed.writeBigUInt64BE(run, 4)
  fixed.writeBigUInt64BE(number, 12)
  return Buffer.concat([rawKeyOf(requester), fixed, content])
}

/** One message with these answers: at most `MAX_ANSWERS`. */
export function encodeAnswers(answers: readonly Answer[]): Uint8Array {
  const groups = new Map<string, Answer[]>()
  for (const answer of answers) {
    const { requester, kind, run, number, content } = answer
    const key = `${requester} ${kind} ${run} ${number} ${Buffer.from(content).toString('base64')}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [answer])
    else group.push(answer)
  }
  const message = create(registryPb.GatheredAnswersSchema, {
    groups: [...groups.values()].flatMap(group => {
      const [first] = group
      if (first === undefined) return []
      const { requester, kind, run, number, content } = first
      return [
        {
          requester: rawKeyOf(requester),
          kind: KINDS[kind],
          run,
          number,
          content,
          authors: Buffer.concat(group.map(({ author }) => rawKeyOf(author))),
          signatures: Buffer.concat(group.map(({ signature }) => signature))
        }
      ]
    })
  })
  return toBinary(registryPb.GatheredAnswersSchema, message)
}

/** The answers of a message, none of them verified; kinds of later programs are left out. Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED. */
export function decodeAnswers(bytes: Uint8Array): Answer[] {
  const { groups } = decode(registryPb.GatheredAnswersSchema, bytes, MAX_MESSAGE_BYTES)
  if (groups.length > MAX_GROUPS) throw malformed('it has too many groups')
  const answers = groups.flatMap(answersOf)
  if (answers.length > MAX_ANSWERS) throw malformed('it has too many answers')
  return answers
}

function answersOf({ requester, kind, run, number, content, authors, signatures }: registryPb.AnswerGroup): Answer[] {
  const count = authors.length / KEY_BYTES
  const fits =
    requester.length === KEY_BYTES && Number.isInteger(count) && signatures.length === count * SIGNATURE_BYTES
  if (!fits || content.length > MAX_CONTENT_BYTES) throw malformed('a key, a signature or a content has a wrong length')
  if (kind !== registryPb.AnswerKind.ACKNOWLEDGEMENT) return []
  // Bytes that an acknowledgement does not have would be signed, carried and meaningless.
  if (content.length > 0) throw malformed('an acknowledgement has no content')
  const common = {
    requester: peerKeyOf(requester),
    kind: 'acknowledgement',
    run,
    number,
    content: new Uint8Array()
  } as const
  return Array.from({ length: count }, (_, at) => ({
    ...common,
    author: peerKeyOf(authors.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES)),
    // Copied: a view would hold the whole message in memory.
    signature: Uint8Array.from(signatures.subarray(at * SIGNATURE_BYTES, (at + 1) * SIGNATURE_BYTES))
  }))
}

function malformed(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `gathered answers are not usable: ${why}`)
}
