import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Carrier } from '../../src/proxy/carriers/index.ts'
import type { Candidate } from '../../src/proxy/deps.ts'
import { KnownCarriers } from '../../src/proxy/session/known-carriers.ts'

const ALLOWED = { fastPath: false, datagrams: false, identification: false, unauthenticated: false }

function carrier(name: string, rank: number, isLastResort = false): Carrier {
  return {
    name,
    rank,
    isLastResort,
    backoff: { firstMs: 3_000, longestMs: 60_000 },
    allows: ALLOWED,
    probedIf: 'always',
    canReach: () => true,
    probes: () => [],
    dial: () => Promise.reject(new Error('not dialled here'))
  }
}

const [DIRECT, MESH, RELAY] = [carrier('direct', 0), carrier('mesh', 1, true), carrier('relay', 2)]
const HOST = { machine: 'beta' } as Candidate

function known() {
  let nowMs = 0
  const carriers = new KnownCarriers([DIRECT, MESH, RELAY], () => nowMs)
  const names = () => carriers.groups(HOST).map(group => group.map(({ name }) => name).join('+'))
  return { carriers, names, pass: (ms: number) => (nowMs += ms) }
}

describe('the carriers to a host', () => {
  it('begin one after the other, best first, as long as nothing is known', () => {
    const { names } = known()
    assert.deepEqual(names(), ['direct', 'mesh', 'relay'])
  })

  it('begin together where one may well fail, so that it does not make the next one late', () => {
    const hopeful = { ...carrier('punched', 0.5), beginsWithNext: true }
    const carriers = new KnownCarriers([DIRECT, hopeful, MESH, RELAY], () => 0)
    const names = () => carriers.groups(HOST).map(group => group.map(({ name }) => name).join('+'))
    assert.deepEqual(names(), ['direct', 'punched+mesh', 'relay'])
    carriers.failed(DIRECT, 'beta')
    carriers.worked(hopeful, 'beta')
    assert.deepEqual(names(), ['punched', 'mesh', 'relay'])
  })

  it('begin with the one that works, and beside it with the better ones that have not failed a moment ago', () => {
    const { carriers, names, pass } = known()
    carriers.failed(DIRECT, 'beta')
    carriers.failed(MESH, 'beta')
    carriers.worked(RELAY, 'beta')
    assert.deepEqual(names(), ['relay', 'mesh'], 'the last resort may be tried even so')
    pass(3_000)
    assert.deepEqual(names(), ['direct+mesh+relay'])
    carriers.failed(MESH, 'beta')
    assert.deepEqual(names(), ['direct+relay', 'mesh'])
  })

  it('begin with a better one as soon as that works, and with a worse one only when it has failed', () => {
    const { carriers, names } = known()
    carriers.worked(RELAY, 'beta')
    carriers.worked(DIRECT, 'beta')
    assert.deepEqual(names(), ['direct', 'mesh', 'relay'])
    carriers.worked(RELAY, 'beta')
    assert.deepEqual(names(), ['direct', 'mesh', 'relay'])
    carriers.failed(DIRECT, 'beta')
    carriers.worked(RELAY, 'beta')
    assert.deepEqual(names(), ['mesh+relay'])
  })

  it('are as unknown as at first once everything may have changed', () => {
    const { carriers, names } = known()
    carriers.failed(DIRECT, 'beta')
    carriers.worked(RELAY, 'beta')
    carriers.forget('beta')
    assert.deepEqual(names(), ['direct', 'mesh', 'relay'])
  })
})
