import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type PeerKey, parseAddress } from '../../src/identity/index.ts'
import { type Candidate, sharesOf } from '../../src/proxy/index.ts'
import { type Strategy, tryOrder } from '../../src/proxy/outbound/balance.ts'

const SOURCE = parseAddress('dev.shop.cart.default.a')
const STRATEGIES = ['balanced', 'spread', 'first', 'sticky', 'exact'] as const
const MAX_ATTEMPTS = 5

function instance(number: number, more: Partial<Candidate> = {}): Candidate {
  const machine = `host${number}`
  return {
    registrationId: number.toString(16).padStart(64, '0'),
    address: parseAddress(`dev.web.site.default.${machine}`),
    machine,
    peer: machine as PeerKey,
    dataAddresses: [],
    health: 'passing',
    labels: {},
    weight: 100,
    local: false,
    suspect: false,
    draining: false,
    ...more
  }
}

const zoned = (number: number, more: Partial<Candidate> = {}): Candidate =>
  instance(number, { labels: { zone: 'here' }, ...more })

/** The same numbers for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Load {
  readonly candidates: readonly Candidate[]
  readonly strategy?: Strategy
  readonly zone?: string
  readonly flows?: number
  /** How many of the last connections are open at any time. @default none */
  readonly open?: number
}

/** How often each instance is the first choice, by machine. */
function firstChoices({ candidates, strategy = 'balanced', zone = 'here', flows = 20_000, open = 0 }: Load) {
  const random = seeded(1)
  const counts = new Map(candidates.map(({ machine }) => [machine, 0]))
  const active = new Map<string, number>()
  const held: string[] = []
  for (let flow = 0; flow < flows; flow += 1) {
    const activeTo = (id: string): number => active.get(id) ?? 0
    const [first] = tryOrder({ candidates, strategy, source: SOURCE, zone, activeTo, random })
    assert.ok(first !== undefined)
    counts.set(first.machine, (counts.get(first.machine) ?? 0) + 1)
    held.push(first.registrationId)
    active.set(first.registrationId, activeTo(first.registrationId) + 1)
    const ended = held.length > open ? held.shift() : undefined
    if (ended !== undefined) active.set(ended, activeTo(ended) - 1)
  }
  return (number: number): number => (counts.get(`host${number}`) ?? 0) / flows
}

const near = (actual: number, wanted: number, within = 0.015): void =>
  assert.ok(Math.abs(actual - wanted) <= within, `${actual} is not ${wanted}`)

test('instances get connections by their weights, idle or busy', () => {
  const candidates = [instance(1, { weight: 90 }), instance(2, { weight: 10 })]
  for (const open of [0, 1, 3, 30, 300]) {
    const share = firstChoices({ candidates, open })
    near(share(1), 0.9, 0.03)
    near(share(2), 0.1, 0.03)
  }
  const three = firstChoices({ candidates: [...candidates, instance(3, { weight: 900 })] })
  near(three(1), 0.09)
  near(three(3), 0.9)
})

test('instances of the same weight get the same, and a busy one less', () => {
  const candidates = [1, 2, 3, 4].map(number => instance(number))
  const share = firstChoices({ candidates })
  for (const number of [1, 2, 3, 4]) near(share(number), 0.25)
  const random = seeded(2)
  const activeTo = (id: string): number => (id === candidates[0]?.registrationId ? 9 : 0)
  const order = () => tryOrder({ candidates, strategy: 'balanced', source: SOURCE, activeTo, random })[0]?.machine
  const firsts = Array.from({ length: 2_000 }, order).filter(machine => machine === 'host1')
  // Only if it is drawn twice.
  near(firsts.length / 2_000, 1 / 16, 0.02)
})

test('an instance of weight zero gets none while another is ready, and then all', () => {
  const drained = instance(1, { weight: 0 })
  for (const strategy of ['balanced', 'spread', 'first', 'sticky'] as const) {
    const both = firstChoices({ candidates: [drained, instance(2)], strategy, flows: 500 })
    assert.equal(both(1), 0, strategy)
    const alone = firstChoices({ candidates: [drained, instance(2, { health: 'failing' })], strategy, flows: 5 })
    assert.equal(alone(1), 1, strategy)
  }
})

test('an instance of weight zero on this host yields to one anywhere else', () => {
  const share = firstChoices({ candidates: [instance(1, { weight: 0, local: true }), instance(2)], flows: 500 })
  assert.equal(share(2), 1)
})

test('this host comes before its zone, and the zone before others; spread looks at the weights alone', () => {
  const candidates = [instance(1, { local: true, weight: 1 }), zoned(2, { weight: 10 }), instance(3, { weight: 89 })]
  assert.equal(firstChoices({ candidates, flows: 500 })(1), 1)
  assert.equal(firstChoices({ candidates: candidates.slice(1), flows: 500 })(2), 1)
  const spread = firstChoices({ candidates, strategy: 'spread' })
  near(spread(1), 0.01)
  near(spread(3), 0.89)
  assert.equal(firstChoices({ candidates: candidates.slice(1), zone: 'there', flows: 500 })(2) < 0.3, true)
})

test('a zone keeps its connections while 70 % of its weight is ready, and then as much as its part of that', () => {
  const inZone = (up: number): Candidate[] =>
    Array.from({ length: 10 }, (_, index) => zoned(index, { health: index < up ? 'passing' : 'failing' }))
  for (const [up, stays] of [
    [10, 1],
    [7, 1],
    [5, 5 / 7],
    [1, 1 / 7],
    [0, 0]
  ] as const) {
    const share = firstChoices({ candidates: [...inZone(up), instance(20)] })
    near(1 - share(20), stays)
    const [explained] = sharesOf([instance(20), ...inZone(up)], 'here')
    near(explained?.share ?? -1, 1 - stays, 1e-9)
  }
  const lone = firstChoices({ candidates: inZone(1), flows: 100 })
  assert.equal(lone(0), 1)
})

test('sticky keeps the source where it is, and moves it by weight between sources', () => {
  const candidates = [instance(1, { weight: 90 }), instance(2, { weight: 10 })]
  const at = (number: number, of = candidates) => {
    const source = parseAddress(`dev.shop.cart${number}.default.a`)
    return tryOrder({ candidates: of, strategy: 'sticky', source, activeTo: () => 0 })[0]?.machine
  }
  const sources = Array.from({ length: 4_000 }, (_, number) => number)
  near(sources.filter(number => at(number) === 'host1').length / sources.length, 0.9)
  const raised = [instance(1, { weight: 90 }), instance(2, { weight: 30 })]
  const back = sources.filter(number => at(number) === 'host2' && at(number, raised) === 'host1')
  assert.deepEqual(back, [], 'no source leaves an instance whose weight rises')
})

test('what explain says of shares is what the choice does', () => {
  const candidates = [
    zoned(1, { weight: 30 }),
    zoned(2, { weight: 10 }),
    zoned(3, { weight: 60, suspect: true }),
    instance(4, { weight: 5 }),
    instance(5, { weight: 15 }),
    instance(6, { weight: 0 })
  ]
  const chosen = firstChoices({ candidates, flows: 40_000 })
  for (const { instance: one, share } of sharesOf(candidates, 'here')) {
    near(chosen(Number(one.machine.slice(4))), share, 0.01)
  }
})

test('an instance that the source may not reach changes nothing, whether it serves or not', () => {
  const allowed = [
    zoned(1),
    zoned(2, { health: 'failing' }),
    zoned(3, { health: 'failing' }),
    zoned(4, { health: 'failing' }),
    instance(5)
  ]
  const denied = [zoned(6), zoned(7), instance(8, { local: true, weight: 1_000 })]
  const random = seeded(3)
  const isAllowed = (one: Candidate): boolean => !denied.includes(one)
  const first = () =>
    tryOrder({
      candidates: [...denied, ...allowed],
      strategy: 'balanced',
      source: SOURCE,
      zone: 'here',
      activeTo: () => 0,
      random,
      isAllowed
    })[0]?.machine
  const chosen = Array.from({ length: 20_000 }, first)
  for (const { instance: one, share } of sharesOf(allowed, 'here')) {
    near(chosen.filter(machine => machine === one.machine).length / chosen.length, share)
  }
})

test('of a large group, the policy is asked about those that are drawn', () => {
  const candidates = Array.from({ length: 500 }, (_, index) => zoned(index))
  for (const strategy of STRATEGIES) {
    let asked = 0
    const isAllowed = (): boolean => {
      asked += 1
      return true
    }
    tryOrder({ candidates, strategy, source: SOURCE, zone: 'here', activeTo: () => 0, isAllowed })
    assert.ok(asked <= MAX_ATTEMPTS, `${strategy}: ${asked}`)
  }
})

const anyInstance = fc.record({
  local: fc.boolean(),
  suspect: fc.boolean(),
  draining: fc.boolean(),
  health: fc.constantFrom('passing' as const, 'passing' as const, 'failing' as const, 'draining' as const),
  weight: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1_000 })),
  labels: fc.constantFrom({}, { zone: 'here' }, { zone: 'there' })
})

test('every order has ready instances only, each once, as many as may be tried, and those of weight zero last', () => {
  fc.assert(
    fc.property(
      fc.array(anyInstance, { maxLength: 12 }),
      fc.constantFrom(...STRATEGIES),
      fc.option(fc.constant('here'), { nil: undefined }),
      fc.integer(),
      (parts, strategy, zone, seed) => {
        const candidates = parts.map((part, index) => instance(index, part))
        const activeTo = (id: string): number => Number.parseInt(id, 16) % 4
        const isAllowed = ({ registrationId }: Candidate): boolean =>
          (seed & (1 << Number.parseInt(registrationId, 16))) === 0
        const random = seeded(seed)
        const order = tryOrder({ candidates, strategy, source: SOURCE, zone, activeTo, random, isAllowed })
        const reachable = candidates.filter(isAllowed)
        const ready = reachable.filter(
          ({ health, draining, suspect, local }) => health === 'passing' && !draining && (!suspect || local)
        )
        assert.equal(new Set(order).size, order.length)
        for (const one of order) assert.ok(ready.includes(one))
        assert.equal(order.length, Math.min(ready.length, strategy === 'exact' ? 1 : MAX_ATTEMPTS))
        if (strategy !== 'exact') {
          const drained = order.findIndex(({ weight }) => weight === 0)
          if (drained >= 0) assert.ok(order.slice(drained).every(({ weight }) => weight === 0))
        }
        const shares = sharesOf(reachable, zone)
        const sum = shares.reduce((total, { share }) => total + share, 0)
        assert.ok(Math.abs(sum - (ready.length > 0 ? 1 : 0)) < 1e-9, `the shares are ${sum}`)
      }
    ),
    { numRuns: 500 }
  )
})
