import assert from 'node:assert/strict'
import test from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { carrierNames, carriers, requireCarrier } from '../../src/proxy/carriers/index.ts'

const nowhere = async (): Promise<never> => {
  throw new Error('no mesh')
}

test('each carrier has a name and a rank of its own, and the best comes first', () => {
  const all = carriers({ openStream: nowhere, openRelayed: nowhere })
  const ranks = all.map(({ rank }) => rank)
  assert.deepEqual(
    ranks,
    [...new Set(ranks)].toSorted((one, other) => one - other)
  )
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length)
  assert.deepEqual(carrierNames(), ['auto', ...all.map(({ name }) => name)])
})

test('only what comes over the data port itself may join, leave the session, or send packets to where it leads', () => {
  const all = carriers({ openStream: nowhere, openRelayed: nowhere })
  for (const { name, allows } of all) {
    const expected = name === 'direct'
    assert.deepEqual(allows, { fastPath: expected, datagrams: expected, unauthenticated: expected }, name)
  }
})

test('what is no carrier is refused with the names of those that are', () => {
  for (const name of carrierNames()) requireCarrier(name)
  assert.throws(
    () => requireCarrier('pigeon'),
    (err: unknown) => WarrenError.is(err, ErrorCode.InvalidOption) && /auto, direct, mesh, relay/.test(err.hint ?? '')
  )
})
