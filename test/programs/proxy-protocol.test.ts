import assert from 'node:assert/strict'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { waitFor } from '../harness/index.ts'
import { needsPrograms, Stage } from './support/stage.ts'

const SITE = 'dev.web.site.default'
const AS = 'dev.ops.user.default'

/** Settings of HAProxy that take the PROXY header at a unix socket and pass the flow in it on to the server behind. */
function haproxyAt(path: string, port: number): string {
  return `global
  log stdout format raw local0
defaults
  mode http
  log global
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend site
  bind unix@${path} accept-proxy mode 666
  http-request set-header x-flow %[fc_pp_unique_id]
  default_backend site
backend site
  server site 127.0.0.1:${port}
`
}

test('HAProxy at a unix socket takes the PROXY header of flows and of health checks', async t => {
  if (!needsPrograms(t, 'haproxy')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  chmodSync(directory, 0o755)
  const path = join(directory, 'site.sock')
  // The server behind it says what it was told of its client.
  const port = '8080'
  const behind = join(directory, 'behind.mjs')
  writeFileSync(
    behind,
    `import { createServer } from 'node:http'
createServer(({ headers }, response) => response.end(headers['x-flow']))
  .listen(${port}, '127.0.0.1', () => console.log('listening'))`
  )
  await stage.serve([process.execPath, behind], /listening/)
  const config = join(directory, 'haproxy.cfg')
  writeFileSync(config, haproxyAt(path, Number(port)))
  const proxy = stage.run(stage.server, ['haproxy', '-f', config, '-db'])
  stage.scope.defer(() => proxy.stop())
  await waitFor(() => existsSync(path), 'the socket of HAProxy')
  const exposing = stage.serverAgent.spawn(['expose', SITE, '--unix', path, '--proxy-protocol'])
  await exposing.says(/^dev\.web\.site/m)
  await stage.serverAgent.cli('allow', AS, SITE)
  await stage.clientAgent.knows(SITE)
  await stage.clientAgent.follows(stage.serverAgent)
  const forward = stage.clientAgent.spawn(['forward', SITE, '--as', AS, '--listen', '127.0.0.1:8081'])
  await forward.says(/^127.0.0.1:8081$/m)
  const get = ['curl', '-sS', '--fail', 'http://127.0.0.1:8081/']
  const [one, other] = [(await stage.onClient(get)).stdout, (await stage.onClient(get)).stdout]
  assert.match(one, /^[0-9a-f]{16,}$/)
  assert.match(other, /^[0-9a-f]{16,}$/)
  assert.notEqual(one, other)
  assert.match(await stage.clientAgent.cli('services', SITE), /passing/)
})
