import assert from 'node:assert/strict'
import test from 'node:test'
import { Routing } from '../../src/cluster/index.ts'
import { parsePattern } from '../../src/identity/index.ts'
import { idOf, mesh, recordOf, Time } from '../registry/world.ts'

function lab() {
  const [here, there] = mesh(new Time(), 'a', 'b')
  assert(here !== undefined && there !== undefined)
  there.put('site')
  here.pull(there)
  const routing = new Routing(here.state)
  const route = () => routing.serving(parsePattern('dev.web.site.default'), 'tcp').at(0)
  return { here, there, routing, route, first: route() }
}

test('the route of a registration stays the same object while nothing about it changes', () => {
  const { route, routing, first } = lab()
  assert(first !== undefined)
  assert.equal(route(), first)
  assert.equal(routing.byId(idOf('b', 'site')), first)
  assert.equal(routing.exact(first.registrationId, { ...first.address }), first)
})

test('a host that is suspected, and then answers, is seen so in the next route', () => {
  const { here, there, route } = lab()
  here.step({ type: 'suspect', peer: there.peer, suspect: true })
  assert.equal(route()?.suspect, true)
  here.step({ type: 'suspect', peer: there.peer, suspect: false })
  assert.equal(route()?.suspect, false)
})

test('a host that drains, or moves, is seen so in the next route', () => {
  const { here, there, route } = lab()
  there.announce({ draining: true, dataAddresses: ['127.0.0.1:9'] })
  here.pull(there)
  assert.deepEqual([route()?.draining, route()?.dataAddresses], [true, ['127.0.0.1:9']])
})

test('a registration that fails, or has gone, is seen so in the next route', () => {
  const { here, there, route } = lab()
  there.step({ type: 'local-change', puts: [recordOf('b', 'site', { health: 'failing' })], deletes: [] })
  here.pull(there)
  assert.equal(route()?.health, 'failing')
  there.delete('site')
  here.pull(there)
  assert.equal(route(), undefined)
})

test('one pattern of several names, and one of a name, find what is in them', () => {
  const { here, there, routing } = lab()
  there.put('shop')
  here.pull(there)
  const names = (pattern: string): string[] =>
    routing
      .matching(parsePattern(pattern))
      .map(({ address }) => address.appIdentity)
      .sort()
  assert.deepEqual(names('dev.web.*.default'), ['shop', 'site'])
  assert.deepEqual(names('dev.web.site.default'), ['site'])
  const several = parsePattern('dev.web.{shop,site}.default')
  assert.equal(routing.matching(several).length, 2)
  assert.equal(routing.matching(several).length, 2)
})
