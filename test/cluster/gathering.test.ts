import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { type Answer, decodeAnswers, encodeAnswers, signedBytes } from '../../src/cluster/gather/answer.ts'
import { Gathering } from '../../src/cluster/gather/index.ts'
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

/** Members, the connections between them, and a clock that the test moves. */
class World {
  readonly members: Member[] = []
  nowMs = 0
  #due: Array<{ readonly atMs: number; readonly run: () => void }> = []

  member(): Member {
    const member = new Member(this)
    this.members.push(member)
    return member
  }

  link(one: Member, other: Member): void {
    one.links.add(other)
    other.links.add(one)
  }

  after(ms: number, run: () => void): () => void {
    const entry = { atMs: this.nowMs + ms, run }
    this.#due.push(entry)
    return () => {
      this.#due = this.#due.filter(other => other !== entry)
    }
  }

  /** Everything that is due within the time. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
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
  readonly got: PeerKey[] = []
  readonly undelivered: PeerKey[] = []
  readonly gathering: Gathering
  messages = 0
  /** What it does with what it should carry. */
  carry: (bytes: Uint8Array, from: PeerKey) => void

  constructor(world: World) {
    const acks = new Map<PeerKey, bigint>()
    this.gathering = new Gathering({
      self: this.peer,
      isMember: peer => world.members.some(member => member.peer === peer),
      sign: statement => sign(this.key, CONTEXT.answer, signedBytes(statement)),
      verify: answer => verifySignature(rawKeyOf(answer.author), CONTEXT.answer, signedBytes(answer), answer.signature),
      monotonicMs: () => world.nowMs,
      random: () => 0,
      after: (ms, run) => world.after(ms, run),
      connected: () => [...this.links].map(({ peer }) => peer),
      send: (peer, bytes, onDelivered, onFailure) =>
        world.after(1, () => {
          try {
            const to = world.members.find(member => member.peer === peer)!
            to.messages += 1
            to.carry(bytes, this.peer)
          } catch (err) {
            onFailure(err)
            return
          }
          onDelivered()
        }),
      isNews: ({ author, number }) => (acks.get(author) ?? 0n) < number,
      deliver: ({ author, number }) => {
        acks.set(author, number)
        this.got.push(author)
      },
      onUndelivered: ({ requester }) => this.undelivered.push(requester),
      onCarried: () => {}
    })
    this.carry = (bytes, from) => this.gathering.receive(from, bytes)
  }

  answer(owner: Member, via: Member, { number = 5n, again = false, isAnswered = false } = {}): void {
    const question = { requester: owner.peer, kind: 'acknowledgement', run: 1n, number } as const
    this.gathering.answer({ ...question, via: via.peer, again, isAnswered })
  }

  signed(owner: Member, author: Member, number = 5n): Answer {
    const statement = {
      requester: owner.peer,
      kind: 'acknowledgement',
      run: 1n,
      number,
      content: new Uint8Array()
    } as const
    return { ...statement, author: author.peer, signature: sign(this.key, CONTEXT.answer, signedBytes(statement)) }
  }
}

/** owner – near – far, and ten hosts behind far. */
function tree() {
  const world = new World()
  const [owner, near, far] = [world.member(), world.member(), world.member()]
  const leaves = Array.from({ length: 10 }, () => world.member())
  world.link(owner, near)
  world.link(near, far)
  for (const leaf of leaves) world.link(far, leaf)
  return { world, owner, near, far, leaves }
}

test('the answers of hosts that are not connected to the owner reach it in few messages, over neighbours', () => {
  const { world, owner, near, far, leaves } = tree()
  near.answer(owner, owner, { isAnswered: true })
  far.answer(owner, near)
  for (const leaf of leaves) leaf.answer(owner, far)
  world.pass(1_000)
  assert.deepEqual(new Set(owner.got), new Set([far, ...leaves].map(({ peer }) => peer)))
  assert.ok(owner.messages <= 2, `${owner.messages} messages`)
  world.pass(20_000)
  assert.deepEqual(near.gathering.size, { questions: 0, held: 0, known: 0, sending: 0 })
})

test('an owner takes nothing that is forged, and what is repeated changes nothing', () => {
  const { world, owner, near, far, leaves } = tree()
  const [leaf] = leaves as [Member]
  const good = encodeAnswers([leaf.signed(owner, leaf)])
  owner.gathering.receive(near.peer, good)
  owner.gathering.receive(near.peer, good)
  assert.deepEqual(owner.got, [leaf.peer])
  assert.throws(() => owner.gathering.receive(near.peer, encodeAnswers([near.signed(owner, far)])), {
    code: ErrorCode.PermissionDenied
  })
  assert.throws(() => owner.gathering.receive(near.peer, encodeAnswers([far.signed(owner, far)])), {
    code: ErrorCode.PermissionDenied
  })
  world.pass(60_001)
  owner.gathering.receive(near.peer, encodeAnswers([far.signed(owner, far)]))
  assert.deepEqual(owner.got, [leaf.peer, far.peer])
})

test('when a neighbour swallows answers, the next question takes another way as well', () => {
  const { world, owner, near, far, leaves } = tree()
  const honest = world.member()
  world.link(owner, honest)
  world.link(honest, leaves[0]!)
  near.answer(owner, owner, { isAnswered: true })
  honest.answer(owner, owner, { isAnswered: true })
  far.carry = () => {}
  leaves[0]!.answer(owner, far)
  world.pass(1_000)
  assert.deepEqual(owner.got, [])
  for (const member of [near, honest]) member.answer(owner, owner, { number: 6n, isAnswered: true })
  leaves[0]!.answer(owner, far, { number: 6n, again: true })
  world.pass(1_000)
  assert.deepEqual(owner.got, [leaves[0]!.peer])
})

test('a neighbour that is an older program is left out; if there is no other, the owner gets an Ack as before', () => {
  const { world, owner, near, far, leaves } = tree()
  const [leaf] = leaves as [Member]
  far.carry = () => {
    throw new WarrenError(ErrorCode.Unsupported, 'this host does not speak that protocol')
  }
  leaf.answer(owner, far)
  world.pass(1_000)
  assert.deepEqual(leaf.undelivered, [owner.peer])
  leaf.answer(owner, far, { number: 6n })
  world.pass(1_000)
  assert.equal(far.messages, 1, 'it is not asked again for a minute')
  world.link(leaf, near)
  near.answer(owner, owner, { number: 7n, isAnswered: true })
  leaf.answer(owner, far, { number: 7n })
  world.pass(1_000)
  assert.deepEqual(owner.got, [leaf.peer])
})

test('a host that lacks the question says so, and the answer takes another way', () => {
  const { world, owner, near, far, leaves } = tree()
  const [leaf] = leaves as [Member]
  assert.throws(() => far.gathering.receive(leaf.peer, encodeAnswers([leaf.signed(owner, leaf)])), {
    code: ErrorCode.NotReady
  })
  world.link(leaf, near)
  near.answer(owner, owner, { isAnswered: true })
  leaf.answer(owner, far)
  world.pass(1_000)
  assert.deepEqual(owner.got, [leaf.peer])
  assert.equal(decodeAnswers(encodeAnswers([leaf.signed(owner, leaf)])).length, 1)
})
