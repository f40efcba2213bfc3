import assert from 'node:assert/strict'
import { type ClientHttp2Session, connect, createServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { StreamWindows } from '../../src/proxy/session/stream-windows.ts'
import {
  clientOptions,
  SESSION_WINDOW_BYTES,
  STREAM_WINDOW_BYTES,
  serverOptions
} from '../../src/proxy/tls/http2-options.ts'
import { scopeOf, waitFor } from '../harness/index.ts'

const STREAMS = 8_192

async function pairOf(
  t: Parameters<typeof scopeOf>[0]
): Promise<{ client: ClientHttp2Session; server: ServerHttp2Session }> {
  const scope = scopeOf(t)
  const server = createServer(serverOptions(STREAMS))
  const met = Promise.withResolvers<ServerHttp2Session>()
  server.on('session', met.resolve)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, clientOptions())
  scope.defer(() => {
    client.destroy()
    server.close()
  })
  return { client, server: await met.promise }
}

test('the windows of all streams of a session together stay within its window, however many come, and grow when they go', async t => {
  const { client, server } = await pairOf(t)
  const windows = new StreamWindows(server)
  const windowOfPeer = (): number => client.remoteSettings.initialWindowSize ?? 0
  await waitFor(() => windowOfPeer() === STREAM_WINDOW_BYTES, 'the first settings')
  for (let streams = 1; streams <= STREAMS; streams += 1) {
    windows.opened()
    if (![33, 65, 1_500, STREAMS].includes(streams)) continue
    await waitFor(() => windowOfPeer() * streams <= SESSION_WINDOW_BYTES, `windows for ${streams} streams`)
    assert.ok(windowOfPeer() * streams >= SESSION_WINDOW_BYTES / 2, `${windowOfPeer()} for each of ${streams}`)
  }
  for (let streams = 0; streams < STREAMS; streams += 1) windows.closed()
  await waitFor(() => windowOfPeer() === STREAM_WINDOW_BYTES, 'the windows to grow')
  assert.equal(server.destroyed, false)
})

test('a peer that is slow to confirm windows keeps its session when thousands of streams come at once', async t => {
  const { client, server } = await pairOf(t)
  const windows = new StreamWindows(server)
  for (let round = 0; round < 5; round += 1) {
    for (let streams = 0; streams < STREAMS; streams += 1) windows.opened()
    for (let streams = 0; streams < STREAMS; streams += 1) windows.closed()
  }
  await waitFor(() => !server.pendingSettingsAck, 'all to be confirmed')
  assert.deepEqual([server.destroyed, client.destroyed], [false, false])
})
