import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { ByteRates } from '../../src/proxy/flow/byte-rates.ts'
import { ConnectRate } from '../../src/proxy/inbound/connect-rate.ts'
import { DialSlots, MAX_DIALS } from '../../src/proxy/inbound/dial-slots.ts'
import { CONNECT_WAIT_MS } from '../../src/proxy/timing.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { Random } from '../sim/random.ts'

const STEP_MS = 5
const FOREVER = new AbortController().signal
const refused = (): WarrenError => new WarrenError(ErrorCode.LimitExceeded, 'the limit is reached')

/** Time that passes only in steps, with whatever is due in them. */
class Steps {
  nowMs = 0
  readonly #timers: TestContext['mock']['timers']

  constructor(t: TestContext) {
    this.#timers = t.mock.timers
    this.#timers.enable({ apis: ['setTimeout'] })
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.nowMs += STEP_MS
      this.#timers.tick(STEP_MS)
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve()
    }
  }
}

/** Connects of one source, and how they went. */
class Source {
  readonly passedAtMs: number[] = []
  refused = 0
  readonly #rate: ConnectRate
  readonly #name: string
  readonly #steps: Steps

  constructor(rate: ConnectRate, name: string, steps: Steps) {
    this.#rate = rate
    this.#name = name
    this.#steps = steps
  }

  connect(): void {
    this.#connect().then(
      () => this.passedAtMs.push(this.#steps.nowMs),
      () => {
        this.refused += 1
      }
    )
  }

  async #connect(): Promise<void> {
    await this.#rate.pass(this.#name, FOREVER, refused)
  }
}

for (const seed of [1, 2, 3]) {
  test(`a rate of connections holds exactly, however they come: seed ${seed}`, async t => {
    const random = new Random(seed)
    const steps = new Steps(t)
    const perSecond = 20
    const rate = new ConnectRate(perSecond, () => steps.nowMs)
    const sources = ['a', 'b', 'c'].map(name => new Source(rate, name, steps))
    const lastsMs = 10_000
    while (steps.nowMs < lastsMs) {
      // More than pass, in bursts and pauses.
      for (const source of sources) for (let n = random.int(6); n > 0; n -= 1) source.connect()
      await steps.pass(STEP_MS * (1 + random.int(20)))
    }
    const passed = sources.flatMap(({ passedAtMs }) => passedAtMs).sort((a, b) => a - b)
    for (const [index, at] of passed.entries()) {
      const within = passed.slice(index).filter(other => other < at + 1_000).length
      assert.ok(within <= 2 * perSecond, `${within} in the second from ${at} ms on`)
    }
    const most = perSecond + (perSecond * steps.nowMs) / 1_000
    assert.ok(passed.length <= most, `${passed.length} of ${most}`)
    assert.ok(passed.length >= most - 2, `${passed.length} of ${most}: it is used up`)
  })
}

test('a source that connects all the time leaves another its share of the rate', async t => {
  const steps = new Steps(t)
  const perSecond = 20
  const rate = new ConnectRate(perSecond, () => steps.nowMs)
  const flood = new Source(rate, 'flood', steps)
  const honest = new Source(rate, 'honest', steps)
  const asked = 80
  for (let n = 0; n < asked; n += 1) {
    for (let more = 0; more < 50; more += 1) flood.connect()
    honest.connect()
    // Less than half of the rate.
    await steps.pass(125)
  }
  await steps.pass(CONNECT_WAIT_MS)
  assert.equal(honest.refused, 0)
  assert.equal(honest.passedAtMs.length, asked)
  assert.ok(flood.refused > 0)
  assert.ok(flood.passedAtMs.length >= asked, 'what the other leaves is for the flood')
})

test('a connection that waits is refused after its time, and a source has no more waiting than pass in a second', async t => {
  const steps = new Steps(t)
  const rate = new ConnectRate(2, () => steps.nowMs)
  const sources = ['a', 'b', 'c', 'd', 'e'].map(name => new Source(rate, name, steps))
  for (const source of sources) for (let n = 0; n < 10; n += 1) source.connect()
  await steps.pass(STEP_MS)
  // Two passed at once, and two of each wait.
  assert.equal(
    sources.reduce((sum, one) => sum + one.refused, 0),
    50 - 2 - 2 * sources.length
  )
  await steps.pass(CONNECT_WAIT_MS)
  assert.equal(
    sources.reduce((sum, one) => sum + one.passedAtMs.length, 0),
    4
  )
  assert.equal(
    sources.reduce((sum, one) => sum + one.refused, 0),
    46
  )
})

test('a limit that changes holds for the connections that wait, and gives no second burst', async t => {
  const steps = new Steps(t)
  const rate = new ConnectRate(100, () => steps.nowMs)
  const source = new Source(rate, 'a', steps)
  for (let n = 0; n < 200; n += 1) source.connect()
  await steps.pass(STEP_MS)
  rate.set(2)
  await steps.pass(CONNECT_WAIT_MS)
  assert.ok(source.passedAtMs.length <= 100 + 3, `${source.passedAtMs.length} passed`)
  const before = source.passedAtMs.length
  rate.set(1_000)
  await steps.pass(STEP_MS)
  for (let n = 0; n < 1_000; n += 1) source.connect()
  await steps.pass(STEP_MS)
  assert.ok(source.passedAtMs.length - before <= 20, `${source.passedAtMs.length - before} passed`)
})

test('a connection that is given up waits no longer', async t => {
  const steps = new Steps(t)
  const rate = new ConnectRate(1, () => steps.nowMs)
  const gone = new AbortController()
  assert.equal(rate.pass('a', FOREVER, refused), undefined)
  const waiting = rate.pass('a', gone.signal, refused)
  gone.abort(new Error('given up'))
  await assert.rejects(async () => await waiting, /given up/)
  const next = rate.pass('a', FOREVER, refused)
  await steps.pass(1_000)
  await next
})

test('connections that are being opened to a target leave the next place to another source', async () => {
  const slots = new DialSlots()
  for (let n = 0; n < MAX_DIALS; n += 1) assert.equal(slots.enter('flood', FOREVER), undefined)
  const order: string[] = []
  for (let n = 0; n < 100; n += 1) void slots.enter('flood', FOREVER)?.then(() => order.push('flood'))
  void slots.enter('honest', FOREVER)?.then(() => order.push('honest'))
  slots.leave()
  slots.leave()
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(order, ['flood', 'honest'])
})

test('bytes in a second hold exactly for the flows of a registration together, and a rule adds its own', () => {
  let nowMs = 0
  const { metrics } = recordingMetrics()
  const limits = { maxRateBytes: 1_000_000 }
  const rates = new ByteRates(
    () => limits,
    metrics,
    () => nowMs
  )
  const pace = (ruleLimits: Array<{ rule: string; maxRateBytes: number }>) =>
    rates.paceOf({ id: 'f', destination: { registrationId: 'r', address: undefined as never }, ruleLimits }, ['r'])
  const flows = [pace([]), pace([]), pace([{ rule: 'r1', maxRateBytes: 200_000 }])]
  const random = new Random(7)
  const freeAtMs = flows.map(() => 0)
  const sent = flows.map(() => 0)
  const lastsMs = 20_000
  for (; nowMs < lastsMs; nowMs += 1) {
    for (const [index, flow] of flows.entries()) {
      if ((freeAtMs[index] ?? 0) > nowMs) continue
      const bytes = 1 + random.int(65_536)
      sent[index] = (sent[index] ?? 0) + bytes
      freeAtMs[index] = nowMs + (flow?.use(bytes) ?? 0)
    }
  }
  const [, , ruled = 0] = sent
  const all = sent.reduce((sum, bytes) => sum + bytes, 0)
  const seconds = lastsMs / 1_000
  // Each flow may have one read beyond, and there is a burst of a tenth of a second.
  const most = 1_000_000 * seconds + 100_000 + flows.length * 65_536
  assert.ok(all <= most && all >= 1_000_000 * seconds * 0.98, `${all} bytes`)
  assert.ok(ruled <= 200_000 * seconds + 2 * 65_536, `${ruled} bytes by the rule`)
})
