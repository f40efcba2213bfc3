import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Http2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import { it } from 'node:test'
import { streamLeg } from '../../src/proxy/legs/index.ts'
import { Taker } from './support/taker.ts'

/** A stream of HTTP/2 as Node closes it: the end of our direction has left, and `finish` never comes. */
class Unfinished extends Duplex {
  readonly aborted: boolean
  readonly rstCode: number
  override closed = false

  constructor({ aborted = false, rstCode = 0 } = {}) {
    super({ read: () => {}, write: (_chunk, _encoding, done) => done(), final: () => {}, autoDestroy: false })
    this.aborted = aborted
    this.rstCode = rstCode
  }
}

async function closed(stream: Unfinished, isOurEndSent = true): Promise<Taker> {
  const taker = new Taker(streamLeg(stream as unknown as Http2Stream))
  taker.leg.resume()
  taker.leg.send(Buffer.from('question'))
  if (isOurEndSent) taker.leg.end()
  stream.push('answer')
  stream.push(null)
  await once(stream, 'end')
  stream.destroy()
  await once(stream, 'close')
  return taker
}

it('a stream that closes when both directions have ended has not failed, also where Node never says that it has finished', async () => {
  const { events, failures, bytes } = await closed(new Unfinished())
  assert.deepEqual([events, failures, String(bytes)], [['ended', 'finished'], [], 'answer'])
})

it('a stream that closes before both directions have ended in order has failed', async () => {
  for (const [stream, isOurEndSent] of [
    [new Unfinished({ rstCode: 8 }), true],
    [new Unfinished({ aborted: true }), true],
    [new Unfinished(), false]
  ] as const) {
    const { events, failures } = await closed(stream, isOurEndSent)
    assert.ok(!events.includes('finished'))
    assert.equal(failures.length, 1)
  }
})
