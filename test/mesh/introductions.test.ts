import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Connection } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { silentLogger } from '../../src/core/index.ts'
import { introductions } from '../../src/mesh/connections/index.ts'
import { toPrivateKey } from '../../src/mesh/keys.ts'
import { IDENTIFY_AFTER_MS } from '../../src/mesh/limits.ts'
import { newKey } from './support.ts'

const GOSSIP = '/meshsub/1.2.0'

function setUp(t: TestContext, options: { knows: boolean; isOpen?: boolean }) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const heard: string[] = []
  const target = new EventTarget()
  const events = Object.assign(target, {
    safeDispatchEvent: (type: string, detail: object) => target.dispatchEvent(new CustomEvent(type, detail)),
    listenerCount: () => 0
  })
  target.addEventListener('peer:identify', event => {
    heard.push(`introduced as ${(event as CustomEvent).detail.protocols.join()}`)
  })
  const connection = {
    remotePeer: peerIdFromPrivateKey(toPrivateKey(newKey())),
    status: options.isOpen === false ? 'closed' : 'open'
  } as unknown as Connection
  const service = introductions({
    hasAddressesOf: () => options.knows,
    identify: () => ({
      identify: async () => {
        heard.push('asked')
        throw new Error('no answer')
      }
    }),
    log: silentLogger
  })({
    events: events as unknown as Parameters<ReturnType<typeof introductions>>[0]['events'],
    peerStore: {
      merge: async (_, { protocols }) => {
        heard.push(`stored ${protocols?.join()}`)
        return undefined as never
      }
    },
    registrar: {
      getProtocols: () => ['/warren/request/1', GOSSIP],
      getTopologies: protocol => (protocol === GOSSIP ? [{}] : [])
    }
  })
  service.start()
  const open = async (): Promise<void> => {
    target.dispatchEvent(new CustomEvent('connection:open', { detail: connection }))
    await new Promise(resolve => setImmediate(resolve))
  }
  return { heard, open, service }
}

test('an admitted host is introduced to gossip without being asked', async t => {
  const { heard, open } = setUp(t, { knows: true })
  await open()
  t.mock.timers.tick(IDENTIFY_AFTER_MS)
  assert.deepEqual(heard, [`stored ${GOSSIP}`, `introduced as ${GOSSIP}`])
})

test('a host whose addresses stay unknown is asked for them, and its silence ends nothing', async t => {
  const { heard, open } = setUp(t, { knows: false })
  await open()
  assert.ok(!heard.includes('asked'))
  t.mock.timers.tick(IDENTIFY_AFTER_MS)
  await new Promise(resolve => setImmediate(resolve))
  assert.ok(heard.includes('asked'))
})

test('a connection that has closed meanwhile is neither introduced nor asked', async t => {
  const { heard, open } = setUp(t, { knows: false, isOpen: false })
  await open()
  t.mock.timers.tick(IDENTIFY_AFTER_MS)
  assert.deepEqual(heard, [`stored ${GOSSIP}`])
})

test('nobody is asked after the stop', async t => {
  const { heard, open, service } = setUp(t, { knows: false })
  await open()
  await service.stop()
  await open()
  t.mock.timers.tick(IDENTIFY_AFTER_MS)
  assert.equal(heard.filter(line => line === 'asked').length, 0)
  assert.equal(heard.filter(line => line.startsWith('introduced')).length, 1)
})
