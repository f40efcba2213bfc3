import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Carrier, carriers, type Path } from '../../src/proxy/carriers/index.ts'
import { relayedStreamPath, relayPath } from '../../src/proxy/carriers/relay.ts'
import { betterCarriers } from '../../src/proxy/session/better-carriers.ts'

const ALL = carriers({ relays: {}, punch: {} } as never)

function named(name: string): Carrier {
  const carrier = ALL.find(one => one.name === name)
  assert.ok(carrier !== undefined)
  return carrier
}

/** Names of the carriers that flows on this path of a carrier may move to. */
function betterThan(name: string, path?: Path, all: readonly Carrier[] = ALL): string[] {
  const carrier = named(name)
  const isBetter = betterCarriers(all, carrier, path ?? { name, allows: carrier.allows })
  return isBetter === undefined ? [] : all.filter(isBetter).map(one => one.name)
}

test('a flow on TCP of the two hosts stays there', () => {
  for (const name of ['direct', 'mesh-port', 'reverse', 'punched']) assert.deepEqual(betterThan(name), [], name)
})

test('a flow on a stream of the mesh may move to each carrier on TCP that is better, and to no relay', () => {
  assert.deepEqual(betterThan('mesh'), ['direct', 'mesh-port', 'reverse', 'punched'])
})

test('a flow that a third host carries may move, on whichever of its paths it is, and never to another relay', () => {
  for (const path of [relayPath('c'), relayedStreamPath('c')]) {
    assert.deepEqual(betterThan('relay', path), ['direct', 'mesh-port', 'reverse', 'punched'])
  }
})

test('a flow may move to none where its carrier is the only one that is configured', () => {
  assert.deepEqual(betterThan('relay', relayPath('c'), [named('relay')]), [])
  assert.deepEqual(betterThan('mesh', undefined, [named('mesh'), named('relay')]), [])
})
