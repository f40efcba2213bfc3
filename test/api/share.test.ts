import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CALL_COST_BYTES, Share, Shares } from '../../src/api/share.ts'
import { HOST_VIEW } from '../../src/attest/index.ts'
import { type LimitName, systemClock } from '../../src/core/index.ts'

const never = new AbortController().signal
const LIMITS = { bytesPerSecond: 10 * CALL_COST_BYTES, waitingBytes: 1_000 }
/** What may be given at once. */
const BURST = 40

class Fixture {
  nowMs = 0
  readonly hits: LimitName[] = []
  readonly share: Share

  constructor(limits = LIMITS) {
    const clock = { ...systemClock, monotonicMs: () => this.nowMs }
    this.share = new Share(limits, clock, limit => this.hits.push(limit))
  }

  /** Turns that are asked for now, and their order. */
  ask(count: number): { readonly given: number[]; readonly all: Promise<unknown> } {
    const given: number[] = []
    const all = Array.from({ length: count }, async (_, index) => {
      await this.share.turn(never)
      given.push(index)
    })
    return { given, all: Promise.all(all) }
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}

describe('the share of a user', () => {
  it('gives turns in order, one in a turn of the event loop, and no more than its rate', async () => {
    const fixture = new Fixture()
    const { given, all } = fixture.ask(BURST + 5)
    await new Promise(resolve => setTimeout(resolve, 0))
    assert.ok(given.length < BURST, `${given.length} in one turn`)
    await until(() => fixture.hits.length > 0)
    assert.equal(given.length, BURST)
    fixture.nowMs += 1_000
    await all
    assert.deepEqual(given, [...Array(BURST + 5).keys()])
    assert.deepEqual([...new Set(fixture.hits)], ['api_bytes_per_second'])
  })

  it('is used up by large answers and by time as well', async () => {
    for (const use of [
      (fixture: Fixture) => fixture.share.hold(BURST * CALL_COST_BYTES, () => {})(),
      (fixture: Fixture) => fixture.share.timed(() => (fixture.nowMs += 30))
    ]) {
      const fixture = new Fixture()
      use(fixture)
      const { all } = fixture.ask(1)
      await until(() => fixture.hits.length > 0)
      fixture.nowMs += 60_000
      await all
    }
  })

  it('waits while too much is unread, and cuts what is unread for long', async () => {
    const fixture = new Fixture()
    const cuts: string[] = []
    const read = fixture.share.hold(600, () => cuts.push('first'))
    fixture.share.hold(600, () => cuts.push('second'))
    const first = fixture.ask(1)
    read()
    await first.all
    fixture.share.hold(600, () => cuts.push('third'))
    const second = fixture.ask(1)
    fixture.nowMs += 10_000
    await second.all
    assert.deepEqual(cuts, ['second'])
    assert.deepEqual(fixture.hits, ['api_waiting_bytes'])
  })

  it('rests between turns for as long as they cost, while a call of another user works', async () => {
    let nowMs = 0
    const clock = { ...systemClock, monotonicMs: () => nowMs }
    const shares = new Shares({ bytesPerSecond: 1 << 30, waitingBytes: 1 << 30 }, clock, { hit: () => {} })
    const [heavy, other] = [1_001, 1_002].map(uid => shares.of({ uid, view: HOST_VIEW }))
    assert.ok(heavy !== undefined && other !== undefined && heavy !== other)
    const turnAfter = async (bytes: number): Promise<boolean> => {
      heavy.charge(bytes)
      let isGiven = false
      const ending = new AbortController()
      const turn = heavy.turn(ending.signal).then(
        () => {
          isGiven = true
        },
        () => {}
      )
      for (let index = 0; index < 20; index += 1) await new Promise(setImmediate)
      const wasGiven = isGiven
      ending.abort(new Error('over'))
      await turn
      return wasGiven
    }
    const COSTLY = 1 << 20
    assert.equal(await turnAfter(COSTLY), true, 'alone')
    const own = heavy.work()
    assert.equal(await turnAfter(COSTLY), true, 'beside a call of its own')
    const done = other.work()
    assert.equal(await turnAfter(COSTLY), false, "beside another user's call")
    nowMs += 60
    assert.equal(await turnAfter(0), true, 'after its rest')
    assert.equal(await turnAfter(COSTLY), false)
    done()
    done()
    own()
    assert.equal(await turnAfter(COSTLY), true, 'when the other call has ended')
  })

  it('gives no turn to a call that has ended', async () => {
    const fixture = new Fixture()
    fixture.share.charge(BURST * CALL_COST_BYTES)
    const ending = new AbortController()
    const turn = fixture.share.turn(ending.signal)
    ending.abort(new Error('gone'))
    await assert.rejects(turn, /gone/)
    await assert.rejects(fixture.share.turn(ending.signal), /gone/)
  })
})
