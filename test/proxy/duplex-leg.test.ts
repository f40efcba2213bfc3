import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { streamLeg } from '../../src/proxy/legs/stream-leg.ts'
import { scopeOf, waitFor } from '../harness/index.ts'
import { session, socketPair, streams } from './support/leg-pairs.ts'
import { Taker } from './support/taker.ts'

describe('a stream of a session whose own direction has ended', () => {
  for (const isRead of [true, false]) {
    for (const kind of ['policy', 'link'] as const) {
      it(`fails when it is reset, ${isRead ? 'while it is read' : 'also while nobody reads it'} (${kind})`, async t => {
        const [opener, other] = await streams(await session(scopeOf(t)))
        const [near, far] = [new Taker(streamLeg(opener)), new Taker(streamLeg(other))]
        far.leg.resume()
        near.leg.resume()
        far.leg.send(Buffer.from('half an answer'))
        await waitFor(() => near.bytes.length === 14, 'the bytes')
        near.leg.end()
        await near.until('finished')
        await far.until('ended')
        if (!isRead) near.leg.pause()
        far.leg.abort(kind)
        assert.equal((await near.failure()).kind, kind)
        assert.ok(!near.has('ended'))
      })
    }
  }
})

describe('the socket of a workload', () => {
  it('that is not read is not read either when it is read into one buffer from now on', async t => {
    const pair = await socketPair(scopeOf(t), 'unix', true)
    const [near, far] = [new Taker(pair.near), new Taker(pair.far)]
    far.leg.resume()
    pair.begin?.()
    far.leg.send(Buffer.from('early'))
    await waitFor(() => far.leg.deliveredBytes === 5, 'the bytes to leave')
    for (let turns = 0; turns < 50; turns += 1) await new Promise(setImmediate)
    assert.equal(near.bytes.length, 0)
    near.leg.resume()
    await waitFor(() => near.bytes.length === 5, 'the bytes')
    for (const { leg } of [near, far]) leg.abort('link')
  })
})
