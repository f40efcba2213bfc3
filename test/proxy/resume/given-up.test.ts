import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Http2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { it } from 'node:test'
import { streamLeg } from '../../../src/proxy/legs/index.ts'
import { ask } from '../../../src/proxy/session/ask.ts'
import { Taker } from '../support/taker.ts'

for (const isGranted of [false, true]) {
  it(`a request that is given up ${isGranted ? 'when it is granted' : 'before an answer'} is a loss to the other end, and no end of the flow`, async t => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    t.after(() => {
      session.destroy()
      server.close()
    })
    const giveUp = new AbortController()
    const arrived = once(server, 'stream') as Promise<[Http2Stream]>
    const read = (): void => {
      throw new Error('the answer is too late')
    }
    const { answered } = ask(session, { ':method': 'CONNECT', ':authority': 'x' }, giveUp.signal, { read })
    const [stream] = await arrived
    const taker = new Taker(streamLeg(stream))
    taker.leg.resume()
    if (isGranted) Reflect.get(stream, 'respond').call(stream, { ':status': 200 })
    else giveUp.abort(new Error('given up'))
    await assert.rejects(answered, isGranted ? /too late/ : /given up/)
    assert.equal((await taker.failure()).kind, 'link')
    assert.deepEqual(taker.events, [], 'it has not ended in order')
  })
}
