import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cardsIn, hitAt, layoutOf } from '../../src/console/web/map/layout.ts'
import { centred, fitted, MAX_SCALE, pointAt, zoomed } from '../../src/console/web/map/viewport.ts'

const HOSTS = Array.from({ length: 47 }, (_, at) => ({ machine: `m${at}`, state: 'alive' }))
const WORKLOADS = HOSTS.flatMap(({ machine }, at) =>
  Array.from({ length: at * 6 }, (_, one) => ({
    address: `dev.a.s${one}.x.${machine}`,
    machine,
    health: 'passing',
    suspect: one === 1
  }))
)
const LAYOUT = layoutOf(HOSTS, WORKLOADS)

test('every host and every workload that is drawn is found where it is drawn', () => {
  assert.equal(LAYOUT.cards.length, HOSTS.length)
  for (const card of LAYOUT.cards) {
    assert.equal(hitAt(LAYOUT, card.x + 1, card.y + 1)?.card, card)
    for (const dot of card.dots) {
      const middle = LAYOUT.places.get(dot.address)
      assert.ok(middle !== undefined)
      assert.equal(hitAt(LAYOUT, ...middle)?.dot, dot)
    }
  }
  assert.equal(hitAt(LAYOUT, -1, -1), undefined)
  assert.equal(hitAt(LAYOUT, LAYOUT.width + 1, 0), undefined)
})

test('no workload is lost: each has a dot, or is counted', () => {
  const counted = LAYOUT.cards.reduce((sum, { dots, more }) => sum + dots.length + more, 0)
  assert.equal(counted, WORKLOADS.length)
  assert.ok(LAYOUT.cards.some(({ more }) => more > 0))
  assert.equal(LAYOUT.cards[3]?.failing, 1)
})

test('a window has the cards that it shows, and no others', () => {
  const [card] = LAYOUT.cards
  assert.ok(card !== undefined)
  assert.deepEqual(cardsIn(LAYOUT, card.x, card.y, card.x + 10, card.y + 10), [card])
  assert.equal(cardsIn(LAYOUT, 0, 0, LAYOUT.width, LAYOUT.height).length, HOSTS.length)
  assert.deepEqual(cardsIn(LAYOUT, -500, -500, -400, -400), [])
})

test('a map without hosts can be shown', () => {
  const none = layoutOf([], [])
  const view = fitted(800, 600, none.width, none.height)
  assert.ok(Number.isFinite(view.x) && Number.isFinite(view.y) && view.scale > 0)
  assert.deepEqual(cardsIn(none, 0, 0, 1_000, 1_000), [])
})

test('the point under the pointer stays there while it is zoomed, up to a bound', () => {
  const view = fitted(800, 600, LAYOUT.width, LAYOUT.height)
  const before = pointAt(view, 300, 200)
  const after = pointAt(zoomed(view, 3, 300, 200), 300, 200)
  assert.ok(Math.hypot(before[0] - after[0], before[1] - after[1]) < 1e-6)
  assert.equal(zoomed(view, 1e9, 0, 0).scale, MAX_SCALE)
  const middle = pointAt(centred(view, 123, 456), 400, 300)
  assert.ok(Math.hypot(middle[0] - 123, middle[1] - 456) < 1e-6)
})
