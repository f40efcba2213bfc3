import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, decodeAnswers, encodeAnswers, MAX_ANSWERS, signedBytes } from '../../src/cluster/gather/answer.ts'
import { GATHERED, Gatherer, MAX_HELD_PER_SENDER, PUNISHED_MS, QUESTION_MS } from '../../src/cluster/gather/gatherer.ts'
import { ErrorCode } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  type PeerKey,
  peerKeyOf,
  rawKeyOf,
  rawPublicKey,
  sign,
  verifySignature
} from '../../src/identity/index.ts'

const NONE = new Uint8Array()
const numbered = (number: number): PeerKey => {
  const raw = Buffer.alloc(32)
  raw.writeUInt32BE(number + 1)
  return peerKeyOf(raw)
}
const [OWNER, PARENT, CHILD, OTHER] = [numbered(90_001), numbered(90_002), numbered(90_003), numbered(90_004)]
const question = (number: bigint, requester = OWNER, run = 1n) =>
  ({ requester, kind: 'acknowledgement', run, number }) as const

/** A signature is good if it begins with the first byte of its author's key. */
function answer(author: PeerKey, number: bigint, { requester = OWNER, run = 1n, isForged = false } = {}): Answer {
  const signature = new Uint8Array(64).fill(isForged ? 255 : rawKeyOf(author)[3]!)
  return { ...question(number, requester, run), content: NONE, author, signature }
}

function gatherer({ isMember = (_peer: PeerKey): boolean => true } = {}) {
  const seen = { verified: 0 }
  const verify = ({ author, signature }: Answer): boolean => {
    seen.verified += 1
    return signature[0] === rawKeyOf(author)[3]
  }
  return { seen, one: new Gatherer({ isMember, verify }) }
}

const flat = (due: Map<PeerKey, Answer[]>) => [...due].map(([to, all]) => [to, all.map(({ author }) => author)])

test('answers wait a moment, and go together to the neighbour that the question came from', () => {
  const { one } = gatherer()
  one.ask(question(5n), PARENT, 0)
  assert.equal(one.take(answer(OTHER, 5n), undefined, 0), 'taken')
  assert.equal(one.take(answer(numbered(1), 5n), CHILD, 20), 'taken')
  assert.deepEqual(flat(one.due(40)), [])
  assert.deepEqual(flat(one.due(one.nextDueMs()!)), [[PARENT, [OTHER, numbered(1)]]])
  assert.deepEqual(one.size, { questions: 1, held: 0, known: 2 })
})

test('a newer question takes the newest way', () => {
  const { one } = gatherer()
  one.ask(question(5n), PARENT, 0)
  one.ask(question(6n), OTHER, 10)
  one.take(answer(numbered(1), 6n), CHILD, 10)
  one.ask(question(5n), PARENT, 20)
  assert.deepEqual(flat(one.due(60)), [[OTHER, [numbered(1)]]])
})

test('a repetition is dropped before it is verified, and a newer answer takes the place of one that waits', () => {
  const { one, seen } = gatherer()
  one.ask(question(9n), PARENT, 0)
  one.take(answer(numbered(1), 7n), CHILD, 0)
  assert.equal(one.take(answer(numbered(1), 7n), OTHER, 0), 'known')
  assert.equal(one.take(answer(numbered(1), 6n, { isForged: true }), OTHER, 0), 'known')
  assert.equal(seen.verified, 1)
  assert.equal(one.take(answer(numbered(1), 8n), OTHER, 0), 'taken')
  assert.deepEqual(
    [...one.due(50).values()].flat().map(({ number }) => number),
    [8n]
  )
  assert.equal(one.take(answer(numbered(1), 8n), CHILD, 60), 'known', 'also when it has been sent')
})

test('nothing is held for a question that did not come here, of another run, or of a later number', () => {
  const { one, seen } = gatherer()
  one.ask(question(5n), PARENT, 0)
  assert.equal(one.take(answer(numbered(1), 5n, { requester: OTHER }), CHILD, 0), 'no question')
  assert.equal(one.take(answer(numbered(1), 5n, { run: 2n }), CHILD, 0), 'no question')
  assert.equal(one.take(answer(numbered(1), 6n), CHILD, 0), 'no question')
  assert.deepEqual([seen.verified, one.size.held], [0, 0])
})

test('a forged answer is not carried, and ends its sender for a minute; so is none of a stranger', () => {
  const { one, seen } = gatherer({ isMember: peer => peer !== numbered(7) })
  one.ask(question(5n), PARENT, 0)
  assert.equal(one.take(answer(numbered(7), 5n), CHILD, 0), 'not a member')
  assert.equal(one.take(answer(numbered(1), 5n, { isForged: true }), CHILD, 0), 'forged')
  assert.equal(one.take(answer(numbered(1), 5n), CHILD, 1), 'forged')
  assert.equal(seen.verified, 1, 'a forger costs one signature a minute')
  assert.equal(one.take(answer(numbered(1), 5n), OTHER, 1), 'taken', 'the author has lost nothing by it')
  one.ask(question(6n), PARENT, PUNISHED_MS)
  assert.equal(one.take(answer(numbered(2), 6n), CHILD, PUNISHED_MS), 'taken')
})

test('one neighbour makes this host verify and hold so much, and leaves the others their room', () => {
  const { one, seen } = gatherer()
  one.ask(question(5n), PARENT, 0)
  for (let at = 0; at < 2 * GATHERED.burst; at += 1) one.take(answer(numbered(at), 5n), CHILD, 0)
  assert.equal(one.size.held, MAX_HELD_PER_SENDER)
  assert.equal(seen.verified, MAX_HELD_PER_SENDER)
  assert.equal(one.take(answer(numbered(50_000), 5n), OTHER, 0), 'taken')
  one.due(50)
  const outcomes = new Set<string>()
  for (let at = 0; at < 2 * GATHERED.burst; at += 1)
    outcomes.add(one.take(answer(numbered(20_000 + at), 5n), CHILD, 50))
  assert.ok(outcomes.has('rate') || outcomes.has('full'))
  assert.ok(seen.verified <= GATHERED.burst + 1)
})

test('a question without news is forgotten, with all that was held for it', () => {
  const { one } = gatherer()
  one.ask(question(5n), PARENT, 0)
  one.take(answer(numbered(1), 5n), CHILD, 0)
  one.due(QUESTION_MS)
  assert.deepEqual(one.size, { questions: 0, held: 0, known: 0 })
  assert.equal(one.nextDueMs(), undefined)
  for (let at = 0; at < 5_000; at += 1) one.ask(question(5n, numbered(at)), PARENT, at)
  assert.equal(one.size.questions, 4_096, 'members ask, and no more of them than there can be')
})

test('a message keeps every answer, and refuses what no honest host sends', () => {
  const answers = [answer(numbered(1), 5n), answer(numbered(2), 5n), answer(numbered(3), 4n, { requester: OTHER })]
  assert.deepEqual(decodeAnswers(encodeAnswers(answers)), answers)
  const full = Array.from({ length: MAX_ANSWERS }, (_, at) => answer(numbered(at), 5n))
  const bytes = encodeAnswers(full)
  assert.equal(decodeAnswers(bytes).length, MAX_ANSWERS)
  assert.ok(bytes.length < 97 * MAX_ANSWERS, `${bytes.length} bytes`)
  const malformed = { code: ErrorCode.MessageMalformed }
  assert.throws(() => decodeAnswers(encodeAnswers([...full, answer(OTHER, 5n)])), malformed)
  assert.throws(() => decodeAnswers(encodeAnswers([{ ...answer(OTHER, 5n), content: Uint8Array.of(1) }])), malformed)
  assert.throws(
    () => decodeAnswers(encodeAnswers([{ ...answer(OTHER, 5n), signature: new Uint8Array(63) }])),
    malformed
  )
  assert.throws(() => decodeAnswers(new Uint8Array(40_000)), { code: ErrorCode.MessageTooLarge })
})

test('a signature counts for one requester, one run and one number', () => {
  const key = generatePeerKeyPair()
  const real = { ...question(5n), content: NONE }
  const signature = sign(key, CONTEXT.answer, signedBytes(real))
  const counts = (statement: typeof real) =>
    verifySignature(rawPublicKey(key), CONTEXT.answer, signedBytes(statement), signature)
  assert.ok(counts(real))
  assert.ok(!counts({ ...real, number: 6n }))
  assert.ok(!counts({ ...real, run: 2n }))
  assert.ok(!counts({ ...real, requester: OTHER }))
})
