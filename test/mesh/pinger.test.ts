import assert from 'node:assert/strict'
import test from 'node:test'
import { streamPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import { Sessions } from '../../src/mesh/admission/session.ts'
import { Pinger } from '../../src/mesh/libp2p-shims/pinger.ts'
import { startPair } from './support.ts'

const DELAY_MS = 100
const PATIENCE_MS = 10_000
// Not all of one byte: zeros are nobody's key.
const peer = (byte: number): PeerKey => peerKeyOf(new Uint8Array(32).fill(byte).with(0, 9))

async function slowConnection() {
  const [near, far] = await streamPair({ delay: DELAY_MS })
  const pinger = new Pinger()
  const factory = () => pinger.watch(yamux({ enableKeepAlive: false })())
  const muxer = factory().createStreamMuxer(near)
  factory().createStreamMuxer(far)
  return { near, pinger, muxer }
}

test('a ping that was given up does not cost the connection when its answer comes late', async () => {
  const { near, pinger, muxer } = await slowConnection()
  await assert.rejects(pinger.ping(near, AbortSignal.timeout(1)), { name: 'TimeoutError' })
  await pinger.ping(near, AbortSignal.timeout(PATIENCE_MS))
  await pinger.ping(near, AbortSignal.timeout(PATIENCE_MS))
  assert.equal(muxer.status, 'open')
})

test('a connected host answers a ping, and one that is gone does not', async t => {
  const [a, b] = await startPair(t)
  assert.equal(await a.mesh.ping(b.mesh.peer, PATIENCE_MS), true)
  await b.mesh.stop()
  assert.equal(await a.mesh.ping(b.mesh.peer, DELAY_MS), false)
})

test('a session in use is silent from the last byte that came', async () => {
  const sessions = new Sessions(peer(0))
  const [near, far] = await streamPair()
  const session = sessions.begin(peer(1), 'outbound', near)
  session.heardMs -= 1_000
  assert.deepEqual(sessions.silentFor(500), [], 'not admitted yet')
  sessions.opened(session, 'm', near)
  assert.deepEqual(
    sessions.silentFor(500).map(one => one.peer),
    [peer(1)]
  )
  const came = new Promise(resolve => near.addEventListener('message', resolve, { once: true }))
  far.send(Buffer.from('x'))
  await came
  assert.deepEqual(sessions.silentFor(500), [])
})
