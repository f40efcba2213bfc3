import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger, systemClock } from '../../src/core/index.ts'
import { peerKeyOf } from '../../src/identity/index.ts'
import { AddressStore } from '../../src/mesh/dialing/address-store.ts'
import { Redialer } from '../../src/mesh/dialing/redialer.ts'

const peer = (at: number) => peerKeyOf(new Uint8Array(32).fill(at))

test('when one lost host is found again, the other lost ones are tried soon and one after the other', () => {
  const store = new AddressStore(peer(1))
  const targets = [2, 3, 4, 5].map(at => {
    store.add({ address: `/ip4/10.0.0.${at}/tcp/7460`, peer: peer(at) }, 'member', 0)
    return store.find(peer(at))!
  })
  const [found, second, third, neverLost] = targets as [
    (typeof targets)[0],
    (typeof targets)[0],
    (typeof targets)[0],
    (typeof targets)[0]
  ]
  for (const target of [found, second, third]) store.failed(target, 60_000)
  const before = neverLost.notBeforeMs
  store.succeeded(found, undefined, 10_000)
  assert.deepEqual([second.notBeforeMs, third.notBeforeMs], [10_000, 10_500])
  assert.equal(neverLost.notBeforeMs, before)
  // One that was there all the time says nothing about the others.
  store.failed(second, 70_000)
  store.succeeded(neverLost, undefined, 20_000)
  assert.equal(second.notBeforeMs, 70_000)
})

test('of the addresses that a host announces the best are tried first, and of too many the best are kept', async () => {
  const tried: string[] = []
  const redialer = new Redialer({
    self: peer(1),
    reach: async (addresses, failed) => {
      tried.push(...addresses)
      for (const address of addresses) failed(address)
      throw new Error('nobody there')
    },
    dial: async () => peer(2),
    connected: () => [],
    isConnected: () => false,
    log: silentLogger,
    clock: systemClock,
    signal: new AbortController().signal
  })
  const announced = Array.from({ length: 20 }, (_, at) => `/ip4/10.0.0.${at + 1}/tcp/7460`)
  redialer.hint(
    announced.map(address => `${address}/p2p/${peer(2)}`),
    'member'
  )
  const { signal } = new AbortController()
  await redialer.ensure(peer(2), signal)
  assert.deepEqual(tried, announced.slice(0, 16))
})
