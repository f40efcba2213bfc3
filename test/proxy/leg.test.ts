import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2, { type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { streamLeg } from '../../src/proxy/flow/leg.ts'

// Found on real agents: a flow that policy cut looked cleanly ended to the client, because Node's `close` sends the end
// of the stream before its reset, and the two may arrive apart.
test('a stream that is aborted is reset without ever looking ended', async t => {
  const server = http2.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => {
    session.destroy()
    server.close()
  })
  const request = session.request({ ':method': 'CONNECT', ':authority': 'x' })
  const [stream] = (await once(server, 'stream')) as [ServerHttp2Stream]
  stream.on('error', () => {})
  stream.respond({ ':status': 200 })
  await once(request, 'response')

  let ended = false
  request.on('end', () => {
    ended = true
  })
  request.on('error', () => {})
  const closed = new Promise(resolve => request.once('close', resolve))
  request.resume()
  streamLeg(stream).abort('policy')
  await closed
  assert.equal(ended, false)
  assert.equal(streamLeg(request).failure(undefined).kind, 'policy')
})
