import { ErrorCode, WarrenError } from '../../core/index.ts'
import { peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import type { AdminKey, SetVersion } from '../../policy/index.ts'
import { create, decode, questionPb, toBinary } from '../../wire/index.ts'

/** What a question is about: a version of the set of an admin. Its `sha256` is empty for any content of this version. */
export interface AskedSet extends SetVersion {
  /** The sets that give the admin its rights. */
  readonly grantedBy: ReadonlyArray<Pick<SetVersion, 'key' | 'version'>>
}

/** What a host says of a version of a set. Its node key signs it, as every answer. */
export interface Receipt extends Pick<SetVersion, 'version' | 'sha256'> {
  readonly state: 'applied' | 'refused' | 'failed'
  readonly flowsCut: number
  readonly registrationsEnded: number
  /** By the clock of the host; zero: before its agent started. */
  readonly appliedAtMs: number
  /** Why the version is not in force, or not all of it. */
  readonly problem: string
}

const MAX_BYTES = 1_024
/** A question names up to as many owners as there are admins. */
const MAX_QUESTION_BYTES = 4 * 1_024
const KEY_BYTES = 32
const MAX_PROBLEM_LENGTH = 400
const STATES = Object.freeze({
  applied: questionPb.ReceiptState.APPLIED,
  refused: questionPb.ReceiptState.REFUSED,
  failed: questionPb.ReceiptState.FAILED
})

/** Asks for a receipt of this version or a later one. */
export function encodeReceiptQuestion({ key, version, sha256, grantedBy }: AskedSet, rootKey: AdminKey): Uint8Array {
  const fields = {
    policyVersion: version,
    policySha256: Buffer.from(sha256, 'hex'),
    ...(key !== rootKey && { setKey: rawKeyOf(key) }),
    grantedBy: grantedBy.map(one => ({ key: rawKeyOf(one.key), version: one.version }))
  }
  return toBinary(questionPb.ReceiptQuestionSchema, create(questionPb.ReceiptQuestionSchema, fields))
}

/** Throws MESSAGE_MALFORMED. */
export function decodeReceiptQuestion(bytes: Uint8Array, rootKey: AdminKey): AskedSet {
  const { policyVersion, policySha256, setKey, grantedBy } = decode(
    questionPb.ReceiptQuestionSchema,
    bytes,
    MAX_QUESTION_BYTES
  )
  if (
    [setKey, ...grantedBy.map(({ key }) => key)].some(
      ({ length }, at) => length !== KEY_BYTES && (at > 0 || length > 0)
    )
  ) {
    throw new WarrenError(
      ErrorCode.MessageMalformed,
      'a question for a receipt is not usable: a key has a wrong length'
    )
  }
  return {
    key: setKey.length === 0 ? rootKey : peerKeyOf(setKey),
    version: policyVersion,
    sha256: Buffer.from(policySha256).toString('hex'),
    grantedBy: grantedBy.map(({ key, version }) => ({ key: peerKeyOf(key), version }))
  }
}

export function encodeReceipt(trustDomain: string, receipt: Receipt): Uint8Array {
  const { state, version, sha256, flowsCut, registrationsEnded, appliedAtMs, problem } = receipt
  const message = create(questionPb.ReceiptSchema, {
    trustDomain,
    state: STATES[state],
    policyVersion: version,
    policySha256: Buffer.from(sha256, 'hex'),
    flowsCut,
    registrationsEnded,
    appliedAtMs: BigInt(Math.round(appliedAtMs)),
    problem: problem.slice(0, MAX_PROBLEM_LENGTH)
  })
  return toBinary(questionPb.ReceiptSchema, message)
}

/** Reads the answer to a question about `asked`. Throws MESSAGE_MALFORMED unless it is one. */
export function decodeReceipt(
  bytes: Uint8Array,
  trustDomain: string,
  asked: Pick<SetVersion, 'version' | 'sha256'>
): Receipt {
  const wire = decode(questionPb.ReceiptSchema, bytes, MAX_BYTES)
  const state = (Object.keys(STATES) as Receipt['state'][]).find(name => STATES[name] === wire.state)
  const sha256 = Buffer.from(wire.policySha256).toString('hex')
  const isSame = wire.policyVersion === asked.version && (asked.sha256 === '' || sha256 === asked.sha256)
  if (state === undefined || wire.trustDomain !== trustDomain) throw unusable('it is of another mesh or program')
  if (state === 'applied' && wire.policyVersion <= asked.version && !isSame) throw unusable('it is of another policy')
  return {
    state,
    version: wire.policyVersion,
    sha256,
    flowsCut: wire.flowsCut,
    registrationsEnded: wire.registrationsEnded,
    appliedAtMs: Number(wire.appliedAtMs),
    problem: wire.problem
  }
}

function unusable(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `a receipt is not usable: ${why}`)
}
