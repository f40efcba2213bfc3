import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CALL_COST_BYTES, Share } from '../../src/api/share.ts'
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
