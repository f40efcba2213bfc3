import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import { create, decode, registryPb, toBinary } from '../../wire/index.ts'

/** What an answer is about. */
export type AnswerKind = 'acknowledgement' | 'receipt' | 'observation'

/** A question of one host to the members. */
export interface Question {
  readonly requester: PeerKey
  readonly kind: AnswerKind
  /** Of an acknowledgement: the epoch of the head; otherwise the name of the question. Answers of another run do not count. */
  readonly run: bigint
  /**
   * Of an acknowledgement: the seq of the head; otherwise how often it was asked. An answer covers all questions of its run up to
   * this number.
   */
  readonly number: bigint
}

/** The statement of one member, without its signature. */
export interface Statement extends Question {
  /** Empty for an acknowledgement; otherwise by kind. */
  readonly content: Uint8Array
}

export interface Answer extends Statement {
  readonly author: PeerKey
  readonly signature: Uint8Array
}

/** The answers that travel by one protocol, and their bounds. */
export interface AnswerFormat {
  readonly kinds: readonly AnswerKind[]
  /** A requester may have several questions at a time, one for each run. Otherwise a later question replaces the one before. */
  readonly isPerRun: boolean
  readonly maxMessageBytes: number
  readonly maxContentBytes: number
}

/** Of /warren/gather/1. An answer takes 96 bytes, so a message holds 330 of them. */
export const ACKNOWLEDGEMENTS: AnswerFormat = Object.freeze({
  kinds: ['acknowledgement'],
  isPerRun: false,
  maxMessageBytes: 32 * 1024,
  maxContentBytes: 0
} as const)
/** Answers in one message. */
export const MAX_ANSWERS = 256
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** Bytes of an answer in a message, beside its content: two keys, a signature, and the numbers with their tags. */
const OVERHEAD_BYTES = 192

const KINDS: Readonly<Record<AnswerKind, registryPb.AnswerKind>> = Object.freeze({
  acknowledgement: registryPb.AnswerKind.ACKNOWLEDGEMENT,
  receipt: registryPb.AnswerKind.RECEIPT,
  observation: registryPb.AnswerKind.OBSERVATION
})

/** The kind of a question or an answer on the wire; undefined for one of a later program. */
export function kindOf(wire: registryPb.AnswerKind): AnswerKind | undefined {
  return (Object.keys(KINDS) as AnswerKind[]).find(kind => KINDS[kind] === wire)
}

/** The same, to the wire. */
export function wireKindOf(kind: AnswerKind): registryPb.AnswerKind {
  return KINDS[kind]
}

/** The bytes that the author of an answer signs, and those that the signer of a question signs. */
export function signedBytes({ requester, kind, run, number, content }: Statement): Uint8Array {
  const fixed = Buffer.alloc(20)
  fixed.writeUInt32BE(KINDS[kind], 0)
  fixed.writeBigUInt64BE(run, 4)
  fixed.writeBigUInt64BE(number, 12)
  return Buffer.concat([rawKeyOf(requester), fixed, content])
}

/** The answers in as few messages as they fit. */
export function messagesOf(answers: readonly Answer[], { maxMessageBytes }: AnswerFormat): Answer[][] {
  const messages: Answer[][] = []
  let [room, last]: [number, Answer[]] = [0, []]
  for (const answer of answers) {
    const size = answer.content.length === 0 ? 0 : answer.content.length + OVERHEAD_BYTES
    if (messages.length === 0 || last.length >= MAX_ANSWERS || size > room) {
      last = []
      messages.push(last)
      room = maxMessageBytes - OVERHEAD_BYTES
    }
    last.push(answer)
    room -= size
  }
  return messages
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

/**
 * The answers of a message, none of them verified; kinds of later programs are left out, and those of other protocols. Throws
 * MESSAGE_TOO_LARGE, MESSAGE_MALFORMED.
 */
export function decodeAnswers(bytes: Uint8Array, format: AnswerFormat = ACKNOWLEDGEMENTS): Answer[] {
  const { groups } = decode(registryPb.GatheredAnswersSchema, bytes, format.maxMessageBytes)
  if (groups.length > MAX_ANSWERS) throw malformed('it has too many groups')
  const answers = groups.flatMap(group => answersOf(group, format))
  if (answers.length > MAX_ANSWERS) throw malformed('it has too many answers')
  return answers
}

function answersOf(group: registryPb.AnswerGroup, { kinds, maxContentBytes }: AnswerFormat): Answer[] {
  const { requester, run, number, authors, signatures } = group
  const count = authors.length / KEY_BYTES
  const fits =
    requester.length === KEY_BYTES && Number.isInteger(count) && signatures.length === count * SIGNATURE_BYTES
  if (!fits) throw malformed('a key or a signature has a wrong length')
  const kind = kindOf(group.kind)
  if (kind === undefined || !kinds.includes(kind)) return []
  // Bytes that an acknowledgement does not have would be signed, carried and meaningless.
  if (group.content.length > maxContentBytes) throw malformed('the content is too long')
  // Copied, as each signature is: a view would hold the whole message in memory.
  const common = { requester: peerKeyOf(requester), kind, run, number, content: Uint8Array.from(group.content) }
  return Array.from({ length: count }, (_, at) => ({
    ...common,
    author: peerKeyOf(authors.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES)),
    signature: Uint8Array.from(signatures.subarray(at * SIGNATURE_BYTES, (at + 1) * SIGNATURE_BYTES))
  }))
}

function malformed(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `gathered answers are not usable: ${why}`)
}
