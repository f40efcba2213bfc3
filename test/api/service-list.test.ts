import assert from 'node:assert/strict'
import test from 'node:test'
import { listedServices } from '../../src/api/services/list-services.ts'
import { ServiceList } from '../../src/api/services/service-list.ts'
import { Routing } from '../../src/cluster/index.ts'
import { apiPb, create } from '../../src/wire/index.ts'
import { mesh, recordOf, Time } from '../registry/world.ts'

const WORDS = ['api', 'cart', 'dns', 'site', 'web']

/** What one of two hosts lists, with five registrations on each. */
function lab() {
  const [here, there] = mesh(new Time(), 'a', 'b')
  assert(here !== undefined && there !== undefined)
  for (const node of [here, there]) {
    const puts = WORDS.map((name, number) => recordOf(node.machine, name, { labels: { version: String(number % 2) } }))
    node.step({ type: 'local-change', puts, deletes: [] })
  }
  here.pull(there)
  let change = Promise.resolve()
  const list = new ServiceList({
    routing: new Routing(here.state),
    suspectedSince: () => undefined,
    problemOf: () => undefined,
    zone: undefined,
    lost: { all: () => [] },
    changed: () => change
  })
  const ask = (request: Parameters<typeof create<typeof apiPb.ListServicesRequestSchema>>[1]) =>
    listedServices(list, create(apiPb.ListServicesRequestSchema, request))
  const names = (request: Parameters<typeof ask>[0]): string[] => ask(request).services.map(({ address }) => address)
  const changed = (): void => {
    change = Promise.resolve()
  }
  return { here, there, list, ask, names, changed }
}

test('pages of any size together are the whole list, in its order, each registration once', () => {
  const { ask, names } = lab()
  const all = names({})
  assert.equal(all.length, 10)
  for (const pageSize of [1, 3, 10, 50_000]) {
    const seen: string[] = []
    let pageToken = ''
    do {
      const { services, nextPageToken = '', total } = ask({ pageSize, pageToken })
      assert.ok(services.length <= pageSize)
      assert.equal(total, 10)
      seen.push(...services.map(({ address }) => address))
      pageToken = nextPageToken
    } while (pageToken !== '')
    assert.deepEqual(seen, all)
  }
})

test('a change between two pages hides nothing else, and what came is on the next page', () => {
  const { here, there, ask, names, changed } = lab()
  const { nextPageToken = '' } = ask({ pageSize: 4 })
  there.delete('cart')
  here.pull(there)
  here.put('zoo')
  changed()
  const rest = ask({ pageSize: 100, pageToken: nextPageToken }).services.map(({ address }) => address)
  assert.deepEqual(rest, names({}).slice(3))
  assert.equal(rest.at(-1), 'dev.web.zoo.default.a')
})

test('labels and a machine narrow the list, on pages as well', () => {
  const { ask, names } = lab()
  assert.equal(names({ machine: 'b' }).length, 5)
  assert.deepEqual(names({ machine: 'b', labels: { version: '1' } }), [
    'dev.web.cart.default.b',
    'dev.web.site.default.b'
  ])
  assert.equal(names({ labels: { version: '' } }).length, 10)
  assert.deepEqual(names({ labels: { constructor: '' } }), [])
  assert.equal(ask({ pageSize: 1, labels: { version: '1' } }).total, 4)
})

test('what is no page is refused, and says what to do', () => {
  const { ask } = lab()
  for (const request of [
    { pageSize: 1, pageToken: 'x' },
    { pageSize: 1, pageToken: `dev.web.site.default.a:${'g'.repeat(64)}` },
    { pageSize: 1, lost: true },
    { labels: Object.fromEntries(Array.from({ length: 33 }, (_, number) => [`label${number}`, ''])) }
  ]) {
    assert.throws(() => ask(request), { code: 'INVALID_ARGUMENT', hint: /./ })
  }
})

test('a watcher gets the former message of a registration of another host until that changes', () => {
  const { here, there, list, changed } = lab()
  const kept = new WeakMap()
  const filter = { pattern: undefined, labels: {}, machine: '' }
  const at = (machine: string) =>
    new Map(
      list
        .messages(filter, kept)
        .filter(one => one.machine === machine)
        .map(one => [one.address, one])
    )
  const before = at('b')
  there.step({ type: 'local-change', puts: [recordOf('b', 'web', { health: 'failing' })], deletes: [] })
  here.pull(there)
  changed()
  const after = at('b')
  assert.equal(after.get('dev.web.api.default.b'), before.get('dev.web.api.default.b'))
  assert.equal(after.get('dev.web.web.default.b')?.health, 'failing')
  here.step({ type: 'suspect', peer: there.peer, suspect: true })
  changed()
  assert.equal(at('b').get('dev.web.api.default.b')?.suspect, true)
  there.announce({ draining: true })
  here.step({ type: 'suspect', peer: there.peer, suspect: false })
  here.pull(there)
  changed()
  assert.equal(at('b').get('dev.web.api.default.b')?.health, 'draining')
})
