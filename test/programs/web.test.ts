import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const TLS_PORT = 8443
const WS_PORT = 8765
const FILE_BYTES = (IS_FULL ? 100 : 16) * 1024 * 1024
const REQUESTS = String(IS_FULL ? 100_000 : 5_000)

const SOCKET_SERVER = `
import asyncio, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, '127.0.0.1', ${WS_PORT}, max_size=None, compression=None):
        print('listening', flush=True)
        await asyncio.Future()
asyncio.run(main())`

const SOCKET_CLIENT = `
import asyncio, os, websockets
async def main():
    async with websockets.connect('ws://127.0.0.1:${WS_PORT}', max_size=None, compression=None) as socket:
        for index in range(500):
            await socket.send(str(index))
            assert await socket.recv() == str(index)
        large = os.urandom(8 * 1024 * 1024)
        await socket.send(large)
        assert await socket.recv() == large
        await asyncio.wait_for(await socket.ping(), 5)
    assert socket.close_code == 1000
    print('closed with', socket.close_code)
asyncio.run(main())`

test('nginx with HTTP/2 and TLS of its own, and a WebSocket server, over two hosts', async t => {
  if (!isAskedFor(t, 'nginx', 'h2load', 'curl', 'openssl', 'python3')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const file = (name: string): string => join(directory, name)
  const subject = ['-subj', '/CN=site.example', '-addext', 'subjectAltName=DNS:site.example']
  const pair = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    file('key.pem'),
    '-out',
    file('cert.pem')
  ]
  await stage.onServer(['openssl', 'req', '-x509', '-days', '2', ...pair, ...subject])
  mkdirSync(file('www'))
  const bytes = randomBytes(FILE_BYTES)
  writeFileSync(join(file('www'), 'large'), bytes)
  writeFileSync(join(file('www'), 'index.html'), 'hello over HTTP/2\n')
  writeFileSync(
    file('nginx.conf'),
    `daemon off; user root; pid ${file('pid')}; error_log stderr notice; worker_processes 1;
     events { worker_connections 1024; }
     http {
       access_log off; root ${file('www')}; keepalive_requests 1000000;
       ${['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind === 'body' ? 'client_body' : kind}_temp_path ${file(kind)};`).join(' ')}
       server { listen 127.0.0.1:${TLS_PORT} ssl http2; ssl_certificate ${file('cert.pem')}; ssl_certificate_key ${file('key.pem')}; }
     }`
  )
  await stage.serve(['nginx', '-e', 'stderr', '-c', file('nginx.conf')], /start worker process/, { stream: 'stderr' })
  await stage.forward('dev.web.nginx.default', { tcp: TLS_PORT })

  // The client checks the server's own certificate, which warren neither sees nor replaces.
  const curl = [
    'curl',
    '-sS',
    '--fail',
    '--http2',
    '--cacert',
    file('cert.pem'),
    '--resolve',
    `site.example:${TLS_PORT}:127.0.0.1`
  ]
  const site = `https://site.example:${TLS_PORT}`
  const { stdout } = await stage.onClient([...curl, '-w', '%{http_version}', `${site}/`])
  assert.equal(stdout, 'hello over HTTP/2\n2')
  const speed = (await stage.onClient([...curl, '-o', file('got'), '-w', '%{speed_download}', `${site}/large`])).stdout
  t.diagnostic(`curl of ${FILE_BYTES / 1024 / 1024} MiB over HTTP/2: ${(Number(speed) / 1e6).toFixed(0)} MB/s`)
  const { stdout: sum } = await stage.onClient(['sha256sum', file('got')])
  assert.equal(sum.split(' ')[0], createHash('sha256').update(bytes).digest('hex'))
  const load = (
    await stage.onClient(['h2load', '-n', REQUESTS, '-c', '20', '-m', '50', `https://127.0.0.1:${TLS_PORT}/`])
  ).stdout
  assert.match(load, new RegExp(`${REQUESTS} succeeded, 0 failed, 0 errored`))
  t.diagnostic(`h2load -c 20 -m 50: ${/finished in.*/.exec(load)?.[0]}`)

  if (!(await hasWebSockets(stage))) {
    t.diagnostic('WebSocket left out: needs python3-websockets')
    return
  }
  await stage.serve(['/usr/bin/python3', '-c', SOCKET_SERVER], /listening/)
  await stage.forward('dev.web.socket.default', { tcp: WS_PORT })
  assert.match((await stage.onClient(['/usr/bin/python3', '-c', SOCKET_CLIENT])).stdout, /closed with 1000/)
})

async function hasWebSockets(stage: Stage): Promise<boolean> {
  const found = await stage.run(stage.client, ['/usr/bin/python3', '-c', 'import websockets']).outcome()
  return found.code === 0
}
