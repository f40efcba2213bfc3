import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { streamPair } from '@libp2p/utils'
import { inTurns } from '../../src/mesh/gossip/gossip-source.ts'
import { MAX_GOSSIP_WAITING_BYTES } from '../../src/mesh/limits.ts'
import { connection, makeHost, publishSoon, startHost, until } from './support.ts'

const CHUNK_BYTES = 1_000
const CHUNKS = 2_000
const FLOOD = 2_000

test('a burst is taken a slice at a turn of the event loop, whole and in order, and its sender waits with the rest', async () => {
  const [near, far] = await streamPair()
  let full = 0
  const source = inTurns(far, () => {
    full += 1
  })
  for (let at = 0; at < CHUNKS; at += 1) near.send(new Uint8Array(CHUNK_BYTES).fill(at % 251))
  const closing = near.close()
  let [received, inTurn, most, over] = [0, 0, 0, false]
  const turns = async (): Promise<void> => {
    while (!over) {
      await nextTurn()
      inTurn = 0
    }
  }
  const turning = turns()
  for await (const slice of source) {
    for (const byte of slice) {
      assert.equal(byte, Math.floor(received / CHUNK_BYTES) % 251)
      received += 1
    }
    inTurn += slice.length
    most = Math.max(most, inTurn)
  }
  over = true
  await Promise.all([turning, closing])
  assert.equal(received, CHUNKS * CHUNK_BYTES)
  assert.ok(full > 0 && full <= received / MAX_GOSSIP_WAITING_BYTES + 1)
  assert.ok(most <= 8 * 1024, `${most} bytes in a turn`)
})

test('a stream that is cut off ends with its error, after what came over it', async () => {
  const [near, far] = await streamPair()
  const source = inTurns(far, () => {})
  near.send(new Uint8Array(CHUNK_BYTES))
  await new Promise(resolve => far.addEventListener('message', resolve, { once: true }))
  near.abort(new Error('cut off'))
  let received = 0
  const read = async (): Promise<void> => {
    for await (const slice of source) received += slice.length
  }
  await assert.rejects(read())
  assert.equal(received, CHUNK_BYTES)
})

test('what one neighbour says does not wait for the flood of another, and the flood is told as a limit', async t => {
  const middle = await makeHost(t, 'middle')
  const heard: string[] = []
  middle.mesh.onGossip('registry', bytes => {
    heard.push(Buffer.from(bytes.subarray(0, 1)).toString())
    return 'ignore'
  })
  await middle.mesh.start()
  const hostile = await startHost(t, 'hostile', { bootstrap: middle.mesh.addresses() })
  const honest = await startHost(t, 'honest', { bootstrap: middle.mesh.addresses() })
  await Promise.all([connection(hostile, middle), connection(honest, middle)])
  await publishSoon(hostile, 'registry', 'warm')
  await publishSoon(honest, 'registry', 'warm')
  await until(() => heard.length >= 2)
  heard.length = 0

  const message = (kind: string, at: number): Buffer => Buffer.from(`${kind}${at}`.padEnd(CHUNK_BYTES))
  for (let at = 0; at < FLOOD; at += 1) void hostile.mesh.publish('registry', message('f', at))
  await honest.mesh.publish('registry', message('h', 0))
  await until(() => heard.length === FLOOD + 1)
  assert.ok(heard.indexOf('h') < 20, `after ${heard.indexOf('h')} of the flood`)
  assert.ok(middle.hits.includes('mesh_gossip_waiting_bytes'))
})
