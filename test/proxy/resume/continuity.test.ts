import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Continuity, Discontinuity, type Missing, type Offer } from '../../../src/proxy/resume/continuity.ts'
import { KeptBytes } from '../../../src/proxy/resume/kept-bytes.ts'
import type { KeptAccount } from '../../../src/proxy/resume/slab.ts'

/** Counts what is taken, up to a limit. */
class Account implements KeptAccount {
  readonly limit: number
  used = 0

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.limit = limit
  }

  take(bytes: number): boolean {
    if (this.used + bytes > this.limit) return false
    this.used += bytes
    return true
  }

  give(bytes: number): void {
    this.used -= bytes
  }
}

/** Stands for a cipher: every byte inverted, and five bytes before them. */
function seal(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from('seal:'), bytes.map(byte => byte ^ 0xff)])
}

function reopen(sealed: Buffer): Buffer {
  assert.equal(sealed.toString('latin1', 0, 5), 'seal:')
  return Buffer.from(sealed.subarray(5).map(byte => byte ^ 0xff))
}

/** A write from memory that is kept, which the system has not taken yet. */
class PendingWrite {
  readonly #memory: Buffer
  readonly #sealed: Buffer
  readonly #left: () => void

  constructor(memory: Buffer, sealed: Buffer, left: () => void) {
    sealed.copy(memory)
    this.#memory = memory
    this.#sealed = sealed
    this.#left = left
  }

  leave(): void {
    assert.deepEqual(this.#memory, this.#sealed, 'another record was written over one that has not left')
    this.#left()
  }
}

/** Keeps bytes in their sealed form, if there is memory for it, else as they are. */
function keepSealed(continuity: Continuity, bytes: Buffer): PendingWrite | undefined {
  const sealed = seal(bytes)
  const place = continuity.place(sealed.length)
  const write = place === undefined ? undefined : new PendingWrite(place.memory, sealed, place.left)
  continuity.keep(bytes, write === undefined ? undefined : reopen)
  return write
}

type Frame = Buffer | 'end'

/** One direction of a path: what is under way arrives in order, or not at all. */
class Wire {
  frames: Frame[] = []
  isEnded = false

  send(frame: Frame): void {
    assert.ok(!this.isEnded, 'bytes after the end')
    if (frame === 'end') this.isEnded = true
    this.frames.push(frame)
  }
}

/** One end, with the program behind it. */
class End {
  continuity: Continuity
  readonly account: Account
  readonly #kept: number
  /** What its program has written, and what it has received. */
  written: Buffer[] = []
  got: Buffer[] = []
  hasGotEnd = false
  out = new Wire()
  readonly writes: (PendingWrite | undefined)[] = []

  constructor(account: Account, kept: number) {
    this.account = account
    this.continuity = new Continuity(account, kept)
    this.#kept = kept
  }

  /** Another process of its agent takes its place, and has what this one has left. */
  replace(): void {
    const { state, kept } = this.continuity.state
    this.continuity.over()
    const left = JSON.parse(JSON.stringify(state)) as typeof state
    this.continuity = Continuity.restored(left, Buffer.from(kept), this.account, this.#kept)
    this.continuity.lost()
  }

  write(bytes: Buffer): void {
    if (this.continuity.hasEnded || this.continuity.isOver) return
    this.written.push(bytes)
    // Some leave sealed, as on a fast-path connection, others not, as on a stream.
    if (bytes.length % 2 === 0) this.continuity.keep(bytes)
    else this.writes.push(keepSealed(this.continuity, bytes))
    if (this.writes.length > 3) this.writes.shift()?.leave()
    if (!this.continuity.isWaiting) this.out.send(bytes)
  }

  end(): void {
    if (this.continuity.hasEnded || this.continuity.isOver) return
    this.continuity.end()
    if (!this.continuity.isWaiting) this.out.send('end')
  }

  take(frame: Frame): void {
    if (frame === 'end') {
      if (this.continuity.hasReceivedEnd) return
      this.continuity.receivedEnd()
      this.hasGotEnd = true
      return
    }
    assert.ok(!this.hasGotEnd, 'bytes after the end')
    this.got.push(frame)
    this.continuity.received(frame.length)
  }

  continueOn(wire: Wire, { pieces, hasEnded }: Missing): void {
    this.out = wire
    for (const piece of pieces) wire.send(Buffer.from(piece))
    if (hasEnded) wire.send('end')
  }
}

/** Two ends, what is between them, and every message that was ever sent to continue. */
class Flow {
  readonly opener: End
  readonly acceptor: End
  readonly offers: Offer[] = []
  /** The answer that is under way. */
  answer: Offer | undefined
  /** On this the acceptor sends once it has accepted. */
  next = new Wire()
  #next = 0

  constructor(limit?: number, kept = 200) {
    this.opener = new End(new Account(limit), kept)
    this.acceptor = new End(new Account(limit), kept)
  }

  bytes(size: number): Buffer {
    return Buffer.from(Array.from({ length: size }, () => this.#next++ & 0xff))
  }

  /** The path goes: at each end, or at one only. Nothing that is under way arrives there any more. */
  cut(who: 'opener' | 'acceptor' | 'both'): void {
    if (who !== 'acceptor' && this.opener.continuity.lost()) this.acceptor.out = new Wire()
    if (who !== 'opener' && this.acceptor.continuity.lost()) this.opener.out = new Wire()
  }

  replace(which: 'opener' | 'acceptor'): void {
    if (this[which].continuity.isOver) return
    this.cut(which)
    this[which].replace()
    // An answer to the process before.
    if (which === 'opener' && this.answer !== undefined) this.cut('acceptor')
    if (which === 'opener') this.answer = undefined
  }

  offer(): void {
    if (this.opener.continuity.isWaiting) this.offers.push(this.opener.continuity.offer())
  }

  /** An offer arrives, any one that was ever made. */
  accept(which: number): void {
    const offer = this.offers[which % Math.max(1, this.offers.length)]
    if (offer === undefined) return
    try {
      const { attempt, position, ...missing } = this.acceptor.continuity.accept(offer)
      // Nothing of the former path counts any more; what the opener sends it sends on the new one.
      this.opener.out = new Wire()
      this.next = new Wire()
      this.acceptor.continueOn(this.next, missing)
      this.answer = { attempt, position }
    } catch (err) {
      this.#refused(err)
    }
  }

  /** The answer arrives, if it is not too late. */
  grant(): void {
    const { answer } = this
    this.answer = undefined
    if (answer === undefined) return
    try {
      const wire = new Wire()
      this.opener.continueOn(wire, this.opener.continuity.granted(answer))
      this.acceptor.out = this.next
    } catch (err) {
      this.#refused(err)
      // The stream of an answer that is not wanted is closed: its other end loses it.
      this.cut('acceptor')
    }
  }

  deliver(to: 'opener' | 'acceptor', count: number): void {
    const [from, end] = to === 'opener' ? [this.acceptor, this.opener] : [this.opener, this.acceptor]
    if (end.continuity.isWaiting || end.continuity.isOver || from.continuity.isOver) return
    for (const frame of from.out.frames.splice(0, count)) end.take(frame)
  }

  acknowledge(from: 'opener' | 'acceptor', position?: number): void {
    const [by, end] = from === 'opener' ? [this.opener, this.acceptor] : [this.acceptor, this.opener]
    end.continuity.acknowledge(position ?? by.continuity.position)
  }

  check(): void {
    for (const [from, to] of [
      [this.opener, this.acceptor],
      [this.acceptor, this.opener]
    ] as const) {
      const [written, got] = [Buffer.concat(from.written), Buffer.concat(to.got)]
      assert.deepEqual(got, written.subarray(0, got.length), 'a byte was lost, doubled or moved')
      if (to.hasGotEnd) assert.ok(from.continuity.hasEnded && got.length === written.length, 'an early end')
      if (from.continuity.isAcknowledged) assert.ok(to.hasGotEnd, 'acknowledged before it arrived')
    }
  }

  #refused(err: unknown): void {
    assert.ok(err instanceof Discontinuity, String(err))
    if (err.refusal === 'used' || err.refusal === 'over') return
    assert.equal(err.refusal, 'forgotten', 'honest ends agree on what was sent')
    this.opener.continuity.over()
    this.acceptor.continuity.over()
  }
}

const who = fc.constantFrom('opener' as const, 'acceptor' as const)
const step = fc.oneof(
  fc.record({ do: fc.constant('write' as const), who, size: fc.integer({ min: 1, max: 60 }) }),
  fc.record({ do: fc.constant('deliver' as const), who, count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('acknowledge' as const), who }),
  fc.record({ do: fc.constant('end' as const), who }),
  fc.record({
    do: fc.constant('cut' as const),
    who: fc.constantFrom('opener' as const, 'acceptor' as const, 'both' as const)
  }),
  fc.record({ do: fc.constant('replace' as const), who }),
  fc.record({ do: fc.constant('offer' as const) }),
  fc.record({ do: fc.constant('accept' as const), which: fc.nat(100) }),
  fc.record({ do: fc.constant('grant' as const) })
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function run(flow: Flow, one: Step): void {
  const steps: Record<Step['do'], () => void> = {
    write: () => one.do === 'write' && flow[one.who].write(flow.bytes(one.size)),
    deliver: () => one.do === 'deliver' && flow.deliver(one.who, one.count),
    acknowledge: () => one.do === 'acknowledge' && flow.acknowledge(one.who),
    end: () => one.do === 'end' && flow[one.who].end(),
    cut: () => one.do === 'cut' && flow.cut(one.who),
    replace: () => one.do === 'replace' && flow.replace(one.who),
    offer: () => flow.offer(),
    accept: () => one.do === 'accept' && flow.accept(one.which),
    grant: () => flow.grant()
  }
  steps[one.do]()
}

/** Lets it come to its end: a path is found, and everything is delivered. */
function settle(flow: Flow): void {
  for (let round = 0; round < 4 && !flow.opener.continuity.isOver; round += 1) {
    flow.cut('both')
    flow.answer = undefined
    flow.offer()
    flow.accept(flow.offers.length - 1)
    flow.grant()
  }
  if (flow.opener.continuity.isOver) return
  for (const end of [flow.opener, flow.acceptor]) end.end()
  for (const to of ['opener', 'acceptor'] as const) {
    flow.deliver(to, Number.POSITIVE_INFINITY)
    flow.acknowledge(to)
  }
  flow.check()
  for (const end of [flow.opener, flow.acceptor]) {
    assert.ok(end.hasGotEnd && end.continuity.isAcknowledged)
    assert.equal(end.account.used, 0, 'nothing is kept any more')
  }
}

describe('a flow that can be resumed', () => {
  it('loses, doubles and moves no byte, whatever happens to its paths, the attempts and the processes of the agents', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), steps => {
        const flow = new Flow()
        for (const one of steps) {
          run(flow, one)
          flow.check()
        }
        settle(flow)
      }),
      { numRuns: 3_000 }
    )
  })

  it('ends rather than leave a byte out, where there is no room to keep them', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.constantFrom(0, 4_096, 8_192), (steps, limit) => {
        const flow = new Flow(limit, 64)
        for (const one of steps) {
          run(flow, one)
          flow.check()
        }
        settle(flow)
        for (const end of [flow.opener, flow.acceptor]) {
          assert.ok(end.account.used <= limit)
          end.continuity.over()
          assert.equal(end.account.used, 0)
        }
      }),
      { numRuns: 2_000 }
    )
  })

  it('is resumed with any size of piece, and its memory is given back', () => {
    const account = new Account()
    const from = new Continuity(account)
    const parts: Buffer[] = []
    for (const size of [1, 4_095, 4_097, 70_000, 262_144, 300_000, 600_000, 64]) {
      const part = Buffer.alloc(size, parts.length + 1)
      parts.push(part)
      from.keep(part)
    }
    const all = Buffer.concat(parts)
    for (const position of [all.length, 0, 1, 4_096, 8_193, 500_000, all.length - 64]) {
      const again = new Continuity(new Account())
      for (const part of parts) again.keep(part)
      again.lost()
      const { attempt } = again.offer()
      const { pieces } = again.granted({ attempt, position })
      assert.deepEqual(Buffer.concat(pieces), all.subarray(position))
    }
    from.acknowledge(all.length)
    assert.equal(account.used, 0)
  })

  it('opens what it keeps sealed, beside what it keeps as it is', () => {
    const account = new Account()
    const from = new Continuity(account)
    const writes: (PendingWrite | undefined)[] = []
    const parts: Buffer[] = []
    for (const [at, size] of [20_000, 64, 220_000, 5, 262_144, 70_000, 131_072, 131_072].entries()) {
      const part = Buffer.alloc(size, at + 1)
      parts.push(part)
      if (size < 16_384) from.keep(part)
      else writes.push(keepSealed(from, part))
    }
    const all = Buffer.concat(parts)
    assert.deepEqual(from.state.kept, all)
    for (const position of [19_999, 20_063, 20_065, 300_000, all.length - 1, all.length]) {
      from.lost()
      const { attempt } = from.offer()
      assert.deepEqual(Buffer.concat(from.granted({ attempt, position }).pieces), all.subarray(position))
    }
    from.acknowledge(all.length)
    assert.equal(account.used, 0)
    for (const write of writes) write?.leave()
  })

  it('writes nothing over a record that has not left, when its bytes are acknowledged before', () => {
    const continuity = new Continuity(new Account())
    const writes: (PendingWrite | undefined)[] = []
    for (let at = 0; at < 40; at += 1) {
      writes.push(keepSealed(continuity, Buffer.alloc(200_000, at)))
      continuity.acknowledge(continuity.sentBytes)
    }
    for (const write of writes) write?.leave()
    // Now that all have left, memory is used again.
    for (let at = 0; at < 40; at += 1) {
      keepSealed(continuity, Buffer.alloc(200_000, at))?.leave()
      continuity.acknowledge(continuity.sentBytes)
    }
  })

  it('takes at most twice the memory of what it keeps, whatever sizes are written', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 262_144 }), { maxLength: 60 }), sizes => {
        const account = new Account()
        const kept = new KeptBytes(3 * 2 ** 20, account)
        for (const size of sizes) {
          const place = kept.place(size)
          if (place === undefined) kept.add(Buffer.alloc(size))
          else kept.addSealed(size, bytes => bytes)
          place?.left()
        }
        const bytes = kept.until - kept.from
        assert.ok(account.used <= 2 * bytes + 2 * 260 * 1024, `${account.used} for ${bytes}`)
        assert.equal(account.used, kept.memoryBytes)
        kept.drop()
        assert.equal(account.used, 0)
      }),
      { numRuns: 200 }
    )
  })

  it('refuses an attempt that was made before, and one that is older', () => {
    const flow = new Flow()
    flow.cut('both')
    flow.offer()
    flow.offer()
    flow.accept(1)
    for (const which of [0, 1]) {
      const { continuity } = flow.acceptor
      const refused = { message: /made before/, refusal: 'used' }
      assert.throws(() => continuity.accept(flow.offers[which] as Offer), refused)
      assert.ok(!continuity.isWaiting)
    }
    assert.throws(() => flow.opener.continuity.granted({ attempt: 1, position: 0 }), { refusal: 'used' })
  })

  it('refuses a position that cannot be, and one before what was acknowledged, and changes nothing', () => {
    const acceptor = new Continuity(new Account())
    acceptor.keep(Buffer.alloc(100))
    acceptor.acknowledge(40)
    acceptor.lost()
    for (const position of [-1, 39, 101, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
      assert.throws(() => acceptor.accept({ attempt: 1, position }), { refusal: 'impossible' })
      assert.ok(acceptor.isWaiting)
    }
    assert.throws(() => acceptor.acknowledge(101), { refusal: 'impossible' })
    assert.equal(Buffer.concat(acceptor.accept({ attempt: 1, position: 40 }).pieces).length, 60)
    acceptor.end()
    acceptor.acknowledge(101)
    assert.ok(acceptor.isAcknowledged)
  })

  it('never continues once it is over', () => {
    const flow = new Flow()
    flow.cut('both')
    flow.offer()
    flow.acceptor.continuity.over()
    assert.throws(() => flow.acceptor.continuity.accept(flow.offers[0] as Offer), { refusal: 'over' })
    flow.opener.continuity.over()
    assert.throws(() => flow.opener.continuity.offer(), { refusal: 'over' })
    assert.throws(() => flow.opener.continuity.granted({ attempt: 1, position: 0 }), { refusal: 'over' })
  })
})
