import assert from 'node:assert/strict'
import test from 'node:test'
import { LongAsks } from '../../src/cluster/observations/long-asks.ts'
import {
  decodeObservation,
  encodeLongAsk,
  encodeObservation,
  encodeObservationQuestion
} from '../../src/cluster/observations/observation.ts'
import { Observations, type ObservationsDeps, type Observed } from '../../src/cluster/observations/observations.ts'
import { makeReplyKey } from '../../src/cluster/observations/seal.ts'
import { ChangeSignal, ErrorCode, silentLogger, WarrenError } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'
import { generatePeerKeyPair, type PeerKey, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import type { OwnerView } from '../../src/registry/index.ts'
import { adminPb, create } from '../../src/wire/index.ts'

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
  const longAsks = new LongAsks({
    isMember: () => true,
    request: async () => {
      throw new WarrenError(ErrorCode.NotFound, 'no host is asked here')
    },
    clock: { monotonicMs: () => performance.now() }
  })
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
    longAsks,
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
    longAsks,
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

/** A policy that is too long for a question. */
const LONG = {
  case: 'policy' as const,
  value: create(adminPb.ApplyPolicyRequestSchema, {
    dryRun: true,
    document: {
      rules: {
        rules: Array.from({ length: 1_000 }, (_, at) => ({ source: `dev.a${at}.*.*`, destination: 'dev.db.*.*' }))
      }
    }
  })
}

test('a question that is too long is fetched from the host that passed it on, or else from the one that asks', async () => {
  for (const holder of [A, B]) {
    const offered: Uint8Array[] = []
    const longAsks = new LongAsks({
      isMember: () => true,
      request: async (peer, sha256) => {
        if (peer !== holder) throw new WarrenError(ErrorCode.Unsupported, 'an older program')
        return await founder.longAsks.serve(C, sha256, NEVER)
      },
      clock: { monotonicMs: () => performance.now() }
    })
    const founder = host()
    founder.observations.answerBy(async () => ({ flows: [flow('own')] }))
    const collecting = all(founder.observations.collect(LONG, { timeoutMs: 5_000 }, NEVER))
    await founder.sent
    assert.ok(founder.content().length < 200, `${founder.content().length} bytes`)
    const far = host({ longAsks, self: B })
    far.observations.answerBy(async ask => {
      assert.ok(ask.case === 'policy')
      offered.push(encodeLongAsk(ask))
      return { flows: [flow('far')] }
    })
    const context = { requester: A, via: B, signer: C, signal: NEVER }
    const answers = [await far.observations.answer(founder.content(), context)]
    answers.push(await far.observations.answer(founder.content(), context))
    assert.deepEqual(answers[0], answers[1])
    assert.deepEqual(far.asked, ['a policy'])
    assert.equal(offered[0]?.length, encodeLongAsk(LONG).length)
    founder.answered(B, answers[0]!)
    assert.equal((await collecting).complete, true)
    // Nobody fetches it any more.
    assert.equal(founder.longAsks.size, 0)
  }
})

test('a long question of another hash or size is no answer, and a host that cannot fetch one answers when it is asked again', async () => {
  const whole = encodeLongAsk(LONG)
  const founder = host()
  const { name, release } = founder.longAsks.offer(whole)
  const question = encodeObservationQuestion({ case: 'long', value: name }, makeReplyKey())
  let response: Uint8Array | undefined = Buffer.from('forged')
  const longAsks = new LongAsks({
    isMember: () => true,
    request: async () => response ?? (await founder.longAsks.serve(C, name.sha256, NEVER)),
    clock: { monotonicMs: () => performance.now() }
  })
  const { observations } = host({ longAsks })
  observations.answerBy(async () => ({}))
  const context = { requester: A, via: B, signer: C, signal: NEVER }
  for (const bytes of [Buffer.from('forged'), Buffer.alloc(whole.length), new Uint8Array()]) {
    response = bytes
    await assert.rejects(observations.answer(question, context), { code: ErrorCode.NotFound })
  }
  response = undefined
  assert.ok(await observations.answer(question, context))
  release()
  for (const value of [
    { sha256: new Uint8Array(31), size: 1 },
    { sha256: new Uint8Array(32), size: 2 ** 31 }
  ]) {
    const bad = encodeObservationQuestion({ case: 'long', value }, makeReplyKey())
    await assert.rejects(observations.answer(bad, context), { code: ErrorCode.MessageMalformed })
  }
})

test('long questions are bounded: of this host, of one that asks, of all, and what a neighbour may fetch', async () => {
  const never = new Promise<never>(() => {})
  const longAsks = new LongAsks({
    isMember: of => of !== C,
    request: () => never,
    clock: { monotonicMs: () => 0 }
  })
  assert.throws(() => longAsks.offer(Buffer.alloc(1024 * 1024 + 1)), { code: ErrorCode.InvalidArgument })
  const own = Array.from({ length: 4 }, (_, at) => longAsks.offer(Buffer.from([at])))
  assert.throws(() => longAsks.offer(Buffer.from([4])), { code: ErrorCode.LimitExceeded })
  const { sha256 } = own[0]!.name
  for (let served = 0; served < 8; served += 1) assert.ok(await longAsks.serve(B, sha256, NEVER))
  await assert.rejects(longAsks.serve(B, sha256, NEVER), { code: ErrorCode.LimitExceeded })
  await assert.rejects(longAsks.serve(C, sha256, NEVER), { code: ErrorCode.NotReady }, 'no member')
  await assert.rejects(longAsks.serve(A, new Uint8Array(32), NEVER), { code: ErrorCode.NotFound })
  const fetch = (requester: PeerKey, first: number): Promise<Uint8Array> =>
    longAsks.fetch({ sha256: Buffer.alloc(32, first), size: 1 }, requester, [B], NEVER)
  fetch(A, 1).catch(() => {})
  await assert.rejects(fetch(A, 2), { code: ErrorCode.LimitExceeded }, 'one at a time of one host')
  for (const first of [3, 4, 5]) fetch(peer(), first).catch(() => {})
  await assert.rejects(fetch(peer(), 6), { code: ErrorCode.LimitExceeded })
})

test('an admin cannot have another get the answer to a question of his own, by its reply key', async () => {
  const { observations } = host()
  observations.answerBy(async ask => (ask.case === 'flows' ? { flows: [flow('f1')] } : { flows: [] }))
  const reply = makeReplyKey()
  const harmless = encodeObservationQuestion({ case: 'explain', value: { source: 'a', destination: 'b' } }, reply)
  await observations.answer(harmless, { requester: B, via: B, signer: B, signal: NEVER })
  // The very question, asked by somebody else: the answer is by the rights of who asks.
  const question = encodeObservationQuestion(FLOWS, reply)
  const seen: unknown[] = []
  observations.answerBy(async (_ask, signer) => {
    seen.push(signer)
    return { flows: [flow('f1')] }
  })
  await observations.answer(question, { requester: B, via: B, signer: B, signal: NEVER })
  const answer = await observations.answer(question, { requester: C, via: B, signer: C, signal: NEVER })
  assert.deepEqual(seen, [B, C])
  assert.equal(decodeObservation(answer!, DOMAIN, reply, A).flows.length, 1)
})

test('a host that answers with what is no answer is named, and the others are heard', async () => {
  const { observations, sent, content, answered } = host({
    owners: () => [member('a', A), member('b', B), member('c', C)]
  })
  observations.answerBy(async () => ({}))
  const collecting = all(observations.collect(FLOWS as never, { timeoutMs: 5_000 }, NEVER))
  await sent
  answered(B, Buffer.from('not sealed at all'))
  const other = host({ self: C })
  other.observations.answerBy(async () => ({ flows: [flow('far')] }))
  answered(C, (await other.observations.answer(content(), { requester: A, via: A, signer: C, signal: NEVER }))!)
  const { hosts, complete } = await collecting
  assert.equal(complete, false)
  assert.deepEqual(
    hosts.map(({ machine, problem = '', flows = [] }) => [machine, problem !== '', flows.length]),
    [
      ['a', false, 0],
      ['b', true, 0],
      ['c', false, 1]
    ]
  )
})

test('of too many records the newest are sent, and of too many registrations the first', () => {
  const reply = makeReplyKey()
  const records = Array.from({ length: 400 }, (_, at) => ({
    seq: BigInt(at),
    name: 'flow-opened',
    fields: 'x'.repeat(200)
  }))
  const services = Array.from({ length: 400 }, (_, at) => ({
    address: `dev.web.n${at}.default.b`,
    labels: { a: 'b'.repeat(100) }
  }))
  const read = (of: Parameters<typeof encodeObservation>[1]) => {
    const bytes = encodeObservation(DOMAIN, of, reply.raw, B)
    assert.ok(bytes.length <= 32 * 1024)
    return decodeObservation(bytes, DOMAIN, reply, B)
  }
  const { audit } = read({ audit: { records, total: 400 } })
  assert.equal(audit?.total, 400)
  assert.equal(audit?.records.at(-1)?.seq, 399n)
  assert.ok(audit.records.length < 400)
  const { services: told } = read({ services: { services, total: 400 } })
  assert.deepEqual([told?.total, told?.services[0]?.address], [400, 'dev.web.n0.default.b'])
  assert.ok(told !== undefined && told.services.length < 400)
})
