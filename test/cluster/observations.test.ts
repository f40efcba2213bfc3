import assert from 'node:assert/strict'
import test from 'node:test'
import {
  decodeObservation,
  encodeObservation,
  encodeObservationQuestion
} from '../../src/cluster/observations/observation.ts'
import { Observations, type ObservationsDeps, type Observed } from '../../src/cluster/observations/observations.ts'
import { makeReplyKey } from '../../src/cluster/observations/seal.ts'
import { ChangeSignal, ErrorCode, silentLogger, WarrenError } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'
import { generatePeerKeyPair, type PeerKey, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import type { OwnerView } from '../../src/registry/index.ts'

const NEVER = new AbortController().signal
const DOMAIN = 'example.org'
const peer = (): PeerKey => peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const [A, B, C] = [peer(), peer(), peer()]
const FLOWS = { case: 'flows', value: {} } as const
const flow = (id: string) => ({ id, source: 'dev.shop.cart.default.c', destination: 'dev.web.site.default.b' })

const member = (machine: string, of: PeerKey, capabilities = ['questions']): OwnerView =>
  ({ machine, peer: of, self: machine === 'a', capabilities, suspect: false }) as unknown as OwnerView

/** A host `a`, and where its questions go. */
function host(more: Partial<ObservationsDeps> = {}) {
  const events = new EventBus(silentLogger)
  const asked: string[] = []
  events.on('question-asked', ({ machine, question }) => asked.push(`${machine} ${question}`))
  let content: Uint8Array = new Uint8Array()
  let onAnswer: (author: PeerKey, content: Uint8Array) => void = () => {}
  const sent = Promise.withResolvers<void>()
  const observations = new Observations({
    trustDomain: DOMAIN,
    self: A,
    questions: () => ({
      open: (_kind, bytes, listener) => {
        content = bytes
        onAnswer = listener
        return { signer: 'admin', ask: () => sent.resolve(), close: () => {} }
      }
    }),
    owners: () => [member('a', A), member('b', B)],
    suspectedSinceMs: () => undefined,
    registryChanged: () => new ChangeSignal().changed(),
    events,
    clock: { monotonicMs: () => performance.now() },
    log: silentLogger,
    ...more
  })
  return {
    observations,
    asked,
    sent: sent.promise,
    content: () => content,
    answered: (of: PeerKey, bytes: Uint8Array) => onAnswer(of, bytes)
  }
}

async function all(collecting: AsyncGenerator<Observed>): Promise<Observed> {
  const found: Observed[] = []
  for await (const one of collecting) found.push(one)
  return { ...found.at(-1)!, hosts: found.flatMap(({ hosts }) => hosts) }
}

test('an answer is read by the host that asked, and by none that carries it', async () => {
  const [question, other] = [makeReplyKey(), makeReplyKey()]
  const bytes = encodeObservation(DOMAIN, { flows: [flow('f1')] }, question.raw, B)
  assert.equal(Buffer.from(bytes).includes('dev.shop'), false)
  assert.equal(decodeObservation(bytes, DOMAIN, question, B).flows[0]?.id, 'f1')
  for (const [reply, author, domain] of [
    [other, B, DOMAIN],
    [question, C, DOMAIN],
    [question, B, 'example.com']
  ] as const) {
    assert.throws(() => decodeObservation(bytes, domain, reply, author), { code: ErrorCode.MessageMalformed })
  }
  assert.throws(
    () => encodeObservation(DOMAIN, {}, new Uint8Array(32), B),
    { code: ErrorCode.MessageMalformed },
    'no point of the curve'
  )
})

test('an answer that is too long has as many flows as fit, and says how many there are', () => {
  const reply = makeReplyKey()
  const flows = Array.from({ length: 2_000 }, (_, at) => flow(`flow ${at}`))
  const bytes = encodeObservation(DOMAIN, { flows }, reply.raw, B)
  assert.ok(bytes.length <= 32 * 1024)
  const { flows: some, flowsTotal } = decodeObservation(bytes, DOMAIN, reply, B)
  assert.equal(flowsTotal, 2_000)
  assert.ok(some.length > 100 && some.length < 2_000, `${some.length} flows`)
})

test('a host notes who has asked, once for each question, and answers the same when it is asked again', async () => {
  const { observations, asked } = host()
  let looks = 0
  observations.answerBy(async () => {
    looks += 1
    return { flows: [flow('f1')] }
  })
  const reply = makeReplyKey()
  const question = encodeObservationQuestion(FLOWS, reply)
  const context = { requester: B, via: B, signer: C, signal: NEVER }
  const answers = [await observations.answer(question, context), await observations.answer(question, context)]
  assert.deepEqual(answers[0], answers[1])
  assert.deepEqual([looks, asked], [1, ['b flows']])
  assert.equal(decodeObservation(answers[0]!, DOMAIN, reply, A).flows.length, 1)
})

test('what is wrong with a question is told, and what is wrong with the host is not', async () => {
  const { observations } = host()
  const reply = makeReplyKey()
  const ask = async (question: Uint8Array): Promise<string> => {
    const answer = await observations.answer(question, { requester: B, via: B, signer: C, signal: NEVER })
    return decodeObservation(answer!, DOMAIN, reply, A).problem
  }
  observations.answerBy(async () => undefined)
  assert.match(await ask(encodeObservationQuestion({ case: undefined }, reply)), /does not know this question/)
  const failing = host()
  failing.observations.answerBy(async () => {
    throw new Error('/secret/path')
  })
  const answer = await failing.observations.answer(encodeObservationQuestion(FLOWS, reply), {
    requester: B,
    via: B,
    signer: C,
    signal: NEVER
  })
  assert.equal(decodeObservation(answer!, DOMAIN, reply, A).problem, 'it failed; the log of the host says why')
  const refusing = host()
  refusing.observations.answerBy(async () => {
    throw new WarrenError(ErrorCode.InvalidArgument, 'no such pattern')
  })
  const refused = await refusing.observations.answer(encodeObservationQuestion(FLOWS, reply), {
    requester: B,
    via: B,
    signer: C,
    signal: NEVER
  })
  assert.equal(decodeObservation(refused!, DOMAIN, reply, A).problem, 'no such pattern')
})

test('questions of hosts have one bound for all of them, and those of admins are answered nevertheless', async () => {
  const { observations, asked } = host()
  observations.answerBy(async () => ({ flows: [] }))
  const problem = async (requester: PeerKey, signer: PeerKey): Promise<string> => {
    const reply = makeReplyKey()
    const context = { requester, via: B, signer, signal: NEVER }
    const answer = await observations.answer(encodeObservationQuestion(FLOWS, reply), context)
    return decodeObservation(answer!, DOMAIN, reply, A).problem
  }
  let answered = 0
  for (let at = 0; at < 60; at += 1) {
    const requester = peer()
    if ((await problem(requester, requester)) === '') answered += 1
  }
  assert.ok(answered >= 20 && answered < 60, String(answered))
  assert.equal(asked.length, answered)
  assert.equal(await problem(B, C), '')
})

test('the answers of all hosts are collected, and a host without one is named', async () => {
  const { observations, sent, content, answered } = host({
    owners: () => [member('a', A), member('b', B), member('c', C, ['tcp'])]
  })
  observations.answerBy(async () => ({ flows: [flow('own')] }))
  const collecting = all(observations.collect(FLOWS as never, { timeoutMs: 5_000 }, NEVER))
  await sent
  // The other host takes the question as it was sent.
  const other = host({ self: B })
  other.observations.answerBy(async () => ({ flows: [flow('far')] }))
  answered(B, (await other.observations.answer(content(), { requester: A, via: A, signer: C, signal: NEVER }))!)
  const { hosts, complete } = await collecting
  assert.equal(complete, false)
  assert.deepEqual(
    hosts.map(({ machine, state, flows = [] }) => [machine, state, flows.map(({ id }) => id)]),
    [
      ['a', 'answered', ['own']],
      ['b', 'answered', ['far']],
      ['c', 'cannot-say', []]
    ]
  )
})
