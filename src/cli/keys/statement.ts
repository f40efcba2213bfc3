import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type adminPb, decode, questionPb, registryPb } from '../../wire/index.ts'

/** What a person is asked to sign, read by the command itself and not as the agent describes it. */
export interface Statement {
  /** The bytes that the key signs. They begin with their purpose, so that they can be nothing else. */
  readonly bytes: Uint8Array
  /** For the person, one line each. */
  readonly lines: readonly string[]
}

const MAX_QUESTION_BYTES = 17 * 1024
/** Key of the host, kind, run and number: see question.proto. */
const QUESTION_HEAD_BYTES = 52
const KIND_AT = 32

/** Throws MESSAGE_MALFORMED for everything that an admin does not sign, SIGNATURE_INVALID for a former set of somebody else. */
export async function statementIn(wanted: adminPb.WantedSignature, key: string): Promise<Statement> {
  const { context, content, former } = wanted
  const { CONTEXT, inContext, parsePeerKey, rawKeyOf } = await import('../../identity/index.ts')
  if (context === CONTEXT.question) return { bytes: inContext(context, content), lines: [questionText(content)] }
  if (context !== CONTEXT.policySet) throw unknown(`it is for "${context.slice(0, 64)}"`)
  const { differencesOf, openSet, readUnsigned } = await import('../../policy/index.ts')
  const next = readUnsigned(content)
  // Signed by this key: so the agent cannot leave out what is removed.
  const before = former.length === 0 ? undefined : openSet(former, rawKeyOf(parsePeerKey(key)), next.trustDomain)
  const follows = (before?.version ?? 0n) + 1n
  if (next.version !== follows) throw unknown(`it is version ${next.version}, and not ${follows}`)
  const differences = differencesOf(before, next)
  const title = `version ${next.version} of what you state in ${next.trustDomain}`
  return {
    bytes: inContext(context, content),
    lines: [title, ...(differences.length === 0 ? ['nothing differs'] : differences).map(line => `  ${line}`)]
  }
}

function questionText(content: Uint8Array): string {
  if (content.length < QUESTION_HEAD_BYTES) throw unknown('it ends too early')
  const kind = Buffer.from(content).readUInt32BE(KIND_AT)
  const asked = content.subarray(QUESTION_HEAD_BYTES)
  if (kind === registryPb.AnswerKind.RECEIPT) {
    const { policyVersion } = decode(questionPb.ReceiptQuestionSchema, asked, MAX_QUESTION_BYTES)
    return `the question to all hosts whether they have applied version ${policyVersion}`
  }
  if (kind !== registryPb.AnswerKind.OBSERVATION) throw unknown('it is a question of a later program')
  const { ask } = decode(questionPb.ObservationQuestionSchema, asked, MAX_QUESTION_BYTES)
  return `the question to all hosts what they see (${ask.case ?? 'unknown'})`
}

function unknown(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `the agent wants something signed that no admin signs: ${why}`, {
    hint: 'Nothing was signed. `warren` and the agent may be of different versions: `warren status` shows that of the agent.'
  })
}
