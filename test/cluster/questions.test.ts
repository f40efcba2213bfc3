import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import test from 'node:test'
import { encodeAnswers } from '../../src/cluster/gather/answer.ts'
import { Gathering, signedBytes } from '../../src/cluster/gather/index.ts'
import { ANSWERS, encodeQuestion, type SignedQuestion } from '../../src/cluster/questions/question.ts'
import { type Inquiry, Questions, VERIFIED } from '../../src/cluster/questions/questions.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
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

const ADMIN = generatePeerKeyPair()
const ADMIN_KEY = peerKeyOf(rawPublicKey(ADMIN))
const CONTENT = Buffer.from('have you applied it?')

/** Members, the connections between them, and a clock that the test moves. */
class World {
  readonly members: Member[] = []
  /** Who may ask. */
  readonly admins = new Set<PeerKey>([ADMIN_KEY])
  nowMs = 0
  #due: Array<{ readonly atMs: number; readonly run: () => void }> = []

  line(count: number): Member[] {
    const members = Array.from({ length: count }, () => new Member(this))
    for (const [at, member] of members.entries()) members[at + 1]?.link(member)
    return members
  }

  after(ms: number, run: () => void): () => void {
    const entry = { atMs: this.nowMs + ms, run }
    this.#due.push(entry)
    return () => {
      this.#due = this.#due.filter(other => other !== entry)
    }
  }

  /** Everything that is due within the time; promises settle in between. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    for (;;) {
      await new Promise(resolve => setImmediate(resolve))
      const next = this.#due.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#due = this.#due.filter(entry => entry !== next)
      this.nowMs = next.atMs
      next.run()
    }
    this.nowMs = untilMs
  }
}

class Member {
  readonly key: KeyObject = generatePeerKeyPair()
  readonly peer: PeerKey = peerKeyOf(rawPublicKey(this.key))
  readonly links = new Set<Member>()
  readonly gathering: Gathering
  readonly questions: Questions
  readonly got = new Map<PeerKey, string>()
  readonly errors: string[] = []
  answered = 0
  /** What it says. */
  say: () => Promise<Uint8Array | undefined> = async () => Buffer.from('yes')
  takeQuestion: (from: PeerKey, bytes: Uint8Array) => void
  takeAnswers: (from: PeerKey, bytes: Uint8Array) => void

  constructor(world: World) {
    world.members.push(this)
    const to = (peer: PeerKey): Member => world.members.find(member => member.peer === peer)!
    const isMember = (peer: PeerKey): boolean => world.members.some(member => member.peer === peer)
    const monotonicMs = (): number => world.nowMs
    const connected = (): PeerKey[] => [...this.links].map(({ peer }) => peer)
    this.gathering = new Gathering({
      self: this.peer,
      format: ANSWERS,
      isMember,
      sign: statement => sign(this.key, CONTEXT.answer, signedBytes(statement)),
      verify: answer => verifySignature(rawKeyOf(answer.author), CONTEXT.answer, signedBytes(answer), answer.signature),
      monotonicMs,
      random: () => 0,
      after: (ms, run) => world.after(ms, run),
      connected,
      send: (peer, bytes, onDelivered, onFailure) =>
        world.after(1, () => {
          try {
            to(peer).takeAnswers(this.peer, bytes)
            onDelivered()
          } catch (err) {
            onFailure(err)
          }
        }),
      isNews: answer => this.questions.isNews(answer),
      deliver: answer => this.questions.deliver(answer),
      onUndelivered: () => {},
      onCarried: () => {}
    })
    let runs = 0n
    this.questions = new Questions({
      self: this.peer,
      isMember,
      mayAsk: ({ signer }) => world.admins.has(signer),
      signerOf: () => 'admin',
      verify: one => verifySignature(one.signer, CONTEXT.question, signedBytes(one), one.signature),
      sign: question => ({
        signer: rawPublicKey(ADMIN),
        signature: sign(ADMIN, CONTEXT.question, signedBytes(question))
      }),
      neighbours: connected,
      send: (peer, bytes) =>
        world.after(1, () => {
          try {
            to(peer).takeQuestion(this.peer, bytes)
          } catch (err) {
            this.errors.push(WarrenError.from(err).code)
          }
        }),
      gathering: this.gathering,
      answerers: {
        receipt: async content => {
          assert.deepEqual(Buffer.from(content), CONTENT)
          this.answered += 1
          return await this.say()
        }
      },
      monotonicMs,
      random: Math.random,
      randomRun: () => {
        runs += 1n
        return runs
      }
    })
    this.takeQuestion = (from, bytes) => this.questions.receive(from, bytes)
    this.takeAnswers = (from, bytes) => this.gathering.receive(from, bytes)
  }

  link(other: Member): void {
    this.links.add(other)
    other.links.add(this)
  }

  open(): Inquiry {
    return this.questions.open('receipt', CONTENT, (author, content) =>
      this.got.set(author, String(Buffer.from(content)))
    )
  }

  /** A question in the name of `requester`, signed with `key`. */
  question(requester: Member, key: KeyObject, run: bigint, number = 1n): Uint8Array {
    const statement = { requester: requester.peer, kind: 'receipt', run, number, content: CONTENT } as const
    const signature = sign(key, CONTEXT.question, signedBytes(statement))
    return encodeQuestion({ ...statement, signer: rawPublicKey(key), signature } satisfies SignedQuestion)
  }
}

test('a question reaches hosts behind others, and each answer comes back over the connections that stand', async () => {
  const world = new World()
  const [requester, ...others] = world.line(5) as [Member, ...Member[]]
  const inquiry = requester.open()
  inquiry.ask()
  await world.pass(1_000)
  assert.deepEqual(new Set(requester.got.keys()), new Set(others.map(({ peer }) => peer)))
  assert.deepEqual(new Set(requester.got.values()), new Set(['yes']))
  inquiry.close()
  await world.pass(20_000)
  for (const { questions, gathering } of others) {
    assert.deepEqual(questions.size, { pending: 0, inquiries: 0 })
    assert.deepEqual(gathering.size, { questions: 0, held: 0, known: 0, sending: 0 })
  }
})

test('a host answers when it can, however often it is asked meanwhile, and each answer counts once', async () => {
  const world = new World()
  const [requester, near, far] = world.line(3) as [Member, Member, Member]
  const ready = Promise.withResolvers<Uint8Array>()
  far.say = () => ready.promise
  const inquiry = requester.open()
  for (let asks = 0; asks < 4; asks += 1) {
    inquiry.ask()
    await world.pass(3_000)
  }
  assert.deepEqual([...requester.got.keys()], [near.peer])
  ready.resolve(Buffer.from('now'))
  await world.pass(1_000)
  assert.equal(requester.got.get(far.peer), 'now')
  assert.equal(far.answered, 1)
})

test('what is lost on the way is made good when the question is asked again', async () => {
  const world = new World()
  const [requester, near, far] = world.line(3) as [Member, Member, Member]
  const take = near.takeAnswers
  near.takeAnswers = () => {}
  const inquiry = requester.open()
  inquiry.ask()
  await world.pass(1_500)
  assert.equal(requester.got.has(far.peer), false)
  near.takeAnswers = take
  inquiry.ask()
  await world.pass(1_500)
  assert.equal(requester.got.has(far.peer), true)
})

test('a host that forges a receipt, or repeats one of another for another question, is refused', async () => {
  const world = new World()
  const [requester, liar, victim] = world.line(3) as [Member, Member, Member]
  victim.say = async () => undefined
  const first = requester.open()
  first.ask()
  await world.pass(1_000)
  const statement = {
    requester: requester.peer,
    kind: 'receipt',
    run: 1n,
    number: 1n,
    content: Buffer.from('yes')
  } as const
  const forged = {
    ...statement,
    author: victim.peer,
    signature: sign(liar.key, CONTEXT.answer, signedBytes(statement))
  }
  assert.throws(() => requester.takeAnswers(liar.peer, encodeAnswers([forged])), { code: ErrorCode.PermissionDenied })
  assert.equal(requester.got.has(victim.peer), false)
  await world.pass(61_000)

  // One that the victim has really given, for another question.
  const real = {
    ...statement,
    author: victim.peer,
    signature: sign(victim.key, CONTEXT.answer, signedBytes(statement))
  }
  first.close()
  const second = requester.open()
  second.ask()
  await world.pass(1_000)
  requester.takeAnswers(liar.peer, encodeAnswers([real]))
  assert.throws(() => requester.takeAnswers(liar.peer, encodeAnswers([{ ...real, run: 2n }])), {
    code: ErrorCode.PermissionDenied
  })
  assert.equal(requester.got.has(victim.peer), false, 'neither as it was nor under the name of the open question')
})

test('only who may observe is answered, whatever host asks, and nobody passes on what he asks', async () => {
  const world = new World()
  const [requester, near, far] = world.line(3) as [Member, Member, Member]
  const stranger = generatePeerKeyPair()
  assert.throws(() => near.takeQuestion(requester.peer, requester.question(requester, stranger, 7n)), {
    code: ErrorCode.PermissionDenied
  })
  // A question of the admin, in the name of another host: it would get the answers.
  const good = requester.question(requester, ADMIN, 8n)
  const stolen = Buffer.from(good)
  Buffer.from(rawKeyOf(far.peer)).copy(stolen, stolen.indexOf(Buffer.from(rawKeyOf(requester.peer))))
  assert.throws(() => near.takeQuestion(requester.peer, stolen), { code: ErrorCode.PermissionDenied })
  await world.pass(1_000)
  assert.deepEqual([near.answered, far.answered], [0, 0])
  near.takeQuestion(requester.peer, good)
  await world.pass(1_000)
  assert.deepEqual([near.answered, far.answered], [1, 1])
  near.takeQuestion(requester.peer, good)
  await world.pass(20_000)
  near.takeQuestion(far.peer, good)
  assert.deepEqual([near.answered, far.answered], [1, 1], 'a recorded question is not answered again')
})

test('one neighbour makes this host verify, and one host makes it answer, so many questions and no more', async () => {
  const world = new World()
  const [requester, near] = world.line(2) as [Member, Member]
  let refused = 0
  for (let run = 1n; run <= 200n; run += 1n) {
    try {
      near.takeQuestion(requester.peer, requester.question(requester, ADMIN, run))
    } catch (err) {
      assert.ok(WarrenError.is(err, ErrorCode.LimitExceeded))
      refused += 1
    }
  }
  await world.pass(0)
  assert.equal(near.answered, 20)
  assert.equal(refused, 180)
})

test('a flood of questions that nobody may ask costs its sender, and no other neighbour is refused for it', async () => {
  const world = new World()
  const [requester, near, liar] = world.line(3) as [Member, Member, Member]
  const stranger = generatePeerKeyPair()
  const codes = new Map<string, number>()
  for (let run = 1n; run <= 300n; run += 1n) {
    try {
      near.takeQuestion(liar.peer, liar.question(requester, stranger, run))
    } catch (err) {
      const { code } = WarrenError.from(err)
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
  }
  // What is not verified any more costs a comparison.
  assert.deepEqual([...codes.keys()], [ErrorCode.PermissionDenied, ErrorCode.LimitExceeded])
  assert.ok((codes.get(ErrorCode.PermissionDenied) ?? 0) <= VERIFIED.burst)
  assert.throws(() => near.takeQuestion(liar.peer, Buffer.alloc(20_000)), { code: ErrorCode.MessageTooLarge })
  near.takeQuestion(requester.peer, requester.question(requester, ADMIN, 1n))
  await world.pass(1_000)
  assert.equal(near.answered, 1, 'the liar has neither used up the number nor the share of the one who asks')
})

test('an admin that is removed is not answered when it asks again, nor who repeats what it asked before', async () => {
  const world = new World()
  const [requester, near, far] = world.line(3) as [Member, Member, Member]
  const before = requester.question(requester, ADMIN, 1n)
  near.takeQuestion(requester.peer, before)
  await world.pass(1_000)
  assert.deepEqual([near.answered, far.answered], [1, 1])
  world.admins.delete(ADMIN_KEY)
  for (const [from, question] of [
    [requester, requester.question(requester, ADMIN, 1n, 2n)],
    [requester, requester.question(requester, ADMIN, 2n)],
    [far, requester.question(requester, ADMIN, 3n)]
  ] as const)
    assert.throws(() => near.takeQuestion(from.peer, question), { code: ErrorCode.PermissionDenied })
  await world.pass(20_000)
  assert.deepEqual([near.answered, far.answered], [1, 1])
  assert.deepEqual([near.questions.size.pending, far.questions.size.pending], [0, 0])
})

test('an answer that is too large, or of one who answers twice, is not taken', async () => {
  const world = new World()
  const [requester, near] = world.line(2) as [Member, Member]
  near.say = async () => undefined
  const inquiry = requester.open()
  inquiry.ask()
  await world.pass(1_000)
  const answer = (content: Uint8Array) => {
    const statement = { requester: requester.peer, kind: 'receipt', run: 1n, number: 1n, content } as const
    return {
      ...statement,
      author: near.peer,
      signature: sign(near.key, CONTEXT.answer, signedBytes(statement))
    }
  }
  const take = (...contents: Uint8Array[]): void =>
    requester.takeAnswers(near.peer, encodeAnswers(contents.map(answer)))
  assert.throws(() => take(Buffer.alloc(ANSWERS.maxContentBytes + 1)), { code: ErrorCode.MessageMalformed })
  assert.throws(() => take(...Array.from({ length: 9 }, (_, at) => Buffer.alloc(30_000, at))), {
    code: ErrorCode.MessageTooLarge
  })
  assert.equal(requester.got.size, 0)
  take(Buffer.from('first'))
  take(Buffer.from('second'))
  assert.equal(requester.got.get(near.peer), 'first')
})

test('a host has so many questions open at a time', () => {
  const world = new World()
  const [member] = world.line(1) as [Member]
  const inquiries = Array.from({ length: 32 }, () => member.open())
  assert.throws(() => member.open(), { code: ErrorCode.LimitExceeded })
  for (const inquiry of inquiries) inquiry.close()
  member.open()
})
