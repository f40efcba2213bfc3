import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { scopeOf, TestAgent, warren } from '../harness/index.ts'

const SITE = 'dev.web.site.default'

test('a limit that the operator sets holds, says its name, and is counted; what a slow reader holds back is shown', async t => {
  const scope = scopeOf(t)
  const agent = new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] })
  const file = join(scope.directory(), 'warren.yaml')
  writeFileSync(file, 'limits:\n  proxy_flows_per_workload: 9\n  registrations_per_uid: 2\n')
  // The command line overrides the file.
  await agent.start(['--init', 'example.org', '--config', file, '--limit', 'proxy_flows_per_workload=2'])
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  // Never read: what is sent stays where it is.
  await listen(SITE, { client, whitelist: ['dev.*.*.*'] }, socket => {
    socket.on('error', () => {}).pause()
  })
  const dial = () => connect(SITE, { client, as: 'dev.shop.cart.default' })
  const [one, two] = [await dial(), await dial()]
  for (const socket of [one, two]) socket.on('error', () => {})
  await assert.rejects(dial(), { code: ErrorCode.LimitExceeded })
  await assert.rejects(listen('dev.web.third.default', { client }), { code: ErrorCode.LimitExceeded })
  const metrics = async () => await agent.cli('metrics')
  const before = await metrics()
  assert.match(before, /^warren_limit_hits_total\{limit="proxy_flows_per_workload"\} [1-9]/m)
  assert.match(before, /^warren_limit_hits_total\{limit="registrations_per_uid"\} [1-9]/m)
  assert.match(before, /^warren_flow_waiting_bytes 0$/m)
  assert.match(agent.program.stderr, /"limitName":"proxy_flows_per_workload"/)

  one.write(Buffer.alloc(4 * 1024 * 1024))
  let waiting = 0
  for (let asked = 0; waiting === 0 && asked < 50; asked += 1) {
    waiting = Number(/^warren_flow_waiting_bytes (\d+)$/m.exec(await metrics())?.[1])
  }
  assert.ok(waiting > 0 && waiting < 2 * 1024 * 1024, `${waiting} bytes wait`)
  one.destroy()
  two.destroy()
})

test('a client that calls Connect for each connection is locked out neither itself nor with the other programs of its user', async t => {
  const scope = scopeOf(t)
  const args = ['--init', 'example.org', '--limit', 'proxy_endpoints_per_uid=4']
  const agent = await new TestAgent(scope, { name: 'solo', args }).start(args)
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  await listen(SITE, { client, whitelist: ['dev.*.*.*'] }, socket => {
    socket.on('error', () => {}).pipe(socket)
  })
  const source = async (name: string) =>
    await client.workload.register({ address: `dev.shop.${name}.default`, ttlMs: 60_000 })
  const pathOf = async ({ token }: { token: string }) =>
    (await client.workload.connect({ token, destination: SITE })).path
  const echo = async (path: string): Promise<Socket> => {
    const socket = createConnection({ path, allowHalfOpen: true })
    socket.write('x')
    assert.equal(String((await once(socket, 'data'))[0]), 'x')
    return socket
  }
  const held = await echo(await pathOf(await source('held')))
  const cart = await source('cart')
  const paths = new Set<string>()
  for (let at = 0; at < 40; at += 1) {
    const path = await pathOf(cart)
    paths.add(path)
    const socket = await echo(path)
    socket.end()
    await once(socket.resume(), 'close')
  }
  assert.equal(paths.size, 1, 'the same request gets the same path')
  // Each of another source, so that no path serves twice.
  for (let at = 0; at < 12; at += 1) {
    const socket = await echo(await pathOf(await source(`cart-${at}`)))
    socket.end()
    await once(socket.resume(), 'close')
  }
  const typed = agent.spawn(['connect', SITE])
  typed.stdin.write('typed\n')
  await typed.says(/typed/)
  held.write('y')
  assert.equal(String((await once(held, 'data'))[0]), 'y')
  held.destroy()
  assert.match(await agent.cli('metrics'), /^warren_endpoints [1-4]$/m)
})

test('a limit that is none is refused before anything is made', async t => {
  const scope = scopeOf(t)
  const refused = async (...args: string[]) => {
    const place = scope.directory()
    const { code, stderr } = await warren(scope, [
      'up',
      '--init',
      'example.org',
      '--state-dir',
      place,
      ...args
    ]).outcome()
    assert.equal(code, 2, stderr)
    return stderr
  }
  assert.match(
    await refused('--limit', 'proxy_flow=3'),
    /proxy_flow" is not a limit that can be set[\s\S]*proxy_flows,/
  )
  assert.match(await refused('--limit', 'proxy_flows'), /not NAME=NUMBER/)
  assert.match(await refused('--limit', 'proxy_flows=0'), /from 1 to/)
})
