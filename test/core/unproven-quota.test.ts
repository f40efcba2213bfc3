import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { networkOf, type PlaceLoss, UnprovenQuota } from '../../src/core/index.ts'

/** A quota, and what happened to the connections in it. */
function open(bounds: { readonly total: number; readonly perNetwork: number; readonly silentMs?: number }) {
  const full: string[] = []
  const losses: Array<[name: string, why: PlaceLoss]> = []
  const quota = new UnprovenQuota({ silentMs: 60_000, ...bounds }, (bound, network) => full.push(`${bound} ${network}`))
  const enter = (name: string, network: string) => quota.enter(network, why => losses.push([name, why]))
  return { quota, enter, full, losses }
}

/** Resolves when a quota has read what may have arrived, and has chosen. */
async function chosen(): Promise<void> {
  for (let turns = 0; turns < 3; turns += 1) await turn()
}

test('the oldest silent connection makes room for the next one of its address', async () => {
  const { quota, enter, full, losses } = open({ total: 10, perNetwork: 2 })
  enter('busy', 'x').heard()
  enter('silent', 'x')
  enter('next', 'x').heard()
  await chosen()
  assert.deepEqual(losses, [['silent', 'displaced']])
  assert.deepEqual(full, ['perNetwork x'])
  quota.stop()
})

test('whoever holds the most makes room, whoever comes', async () => {
  const { quota, enter, losses } = open({ total: 6, perNetwork: 5 })
  enter('one', 'x')
  for (let count = 0; count < 5; count += 1) enter(`many ${count}`, 'y').heard()
  enter('next', 'z')
  await chosen()
  // All of y are busy and young, so the newest of them goes.
  assert.deepEqual(losses, [['many 4', 'refused']])
  quota.stop()
})

test('500 hosts of one address that speak keep their places beside as many of it that are silent', async () => {
  const { quota, enter, losses } = open({ total: 1_024, perNetwork: 512 })
  for (let count = 0; count < 500; count += 1) {
    enter('silent', 'x')
    enter('host', 'x').heard()
  }
  await chosen()
  assert.deepEqual([...new Set(losses.map(([name]) => name))], ['silent'])
  assert.equal(quota.size, 512)
  quota.stop()
})

test('of connections that arrive together none is displaced before its first bytes can be read', async () => {
  const { quota, enter, losses } = open({ total: 20, perNetwork: 10 })
  const places = Array.from({ length: 12 }, (_, index) => enter(`${index}`, 'x'))
  // The turn of the event loop that reads them.
  await turn()
  for (const place of places.slice(0, 10)) place.heard()
  await chosen()
  assert.deepEqual(
    losses.map(([name]) => name),
    ['10', '11']
  )
  quota.stop()
})

test('a connection that says nothing in time is closed, one that speaks or is gone is not', async () => {
  const silent = Promise.withResolvers<PlaceLoss>()
  const quota = new UnprovenQuota({ total: 9, perNetwork: 9, silentMs: 20 }, () => {})
  quota.enter('x', () => assert.fail('it spoke')).heard()
  quota.enter('x', () => assert.fail('it was gone')).release()
  quota.enter('x', silent.resolve)
  assert.equal(await silent.promise, 'silent')
  assert.equal(quota.size, 1)
})

test('a /64 of IPv6 is one network, and so is an IPv4 address in either form', () => {
  assert.equal(networkOf('::ffff:192.0.2.1'), networkOf('192.0.2.1'))
  assert.notEqual(networkOf('192.0.2.1'), networkOf('192.0.2.2'))
  assert.equal(networkOf('2001:db8::1'), networkOf('2001:db8:0:0:aaaa:bbbb:cccc:dddd'))
  assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64')
  assert.notEqual(networkOf('2001:db8::1'), networkOf('2001:db8:0:1::1'))
  assert.equal(networkOf('fe80::1%eth0'), networkOf('fe80::2'))
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
  assert.equal(networkOf(''), '')
})
