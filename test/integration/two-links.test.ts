import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import {
  asRoot,
  createHosts,
  type Host,
  needsCommand,
  Program,
  type Scope,
  scopeOf,
  startPair,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const ECHO = join(import.meta.dirname, 'support', 'echo.mjs')
const LEFT = /flows leave a silent path/g

/** Two hosts with two links between them, and an address on each. */
async function twiceJoined(scope: Scope): Promise<readonly [Host, Host]> {
  const [a, b] = await createHosts(scope, 'a', 'b')
  a.run('ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', String(b.pid))
  for (const [at, host] of [a, b].entries()) {
    host.run('ip', 'addr', 'add', `10.79.0.${at + 1}/24`, 'dev', 'eth1')
    host.run('ip', 'link', 'set', 'eth1', 'up')
  }
  return [a, b]
}

/** The link on which the host has more than one open connection to the data port of the other. */
function linkOf(host: Host): string {
  const sockets = host.run('ss', '-Htn', 'state', 'established', 'dport', '=', ':7461')
  const remote = /(10\.7[79])\.0\.\d+:7461/.exec(sockets)?.[1]
  return remote === '10.77' ? 'eth0' : remote === '10.79' ? 'eth1' : `none: ${sockets}`
}

test('flows move to the other link of two when theirs goes silent, and back when that one does', asRoot, async t => {
  if (!needsCommand(t, 'nft')) return
  const scope = scopeOf(t)
  const hosts = await twiceJoined(scope)
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns', '--resume-window', '30s'] })
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const run = (host: Host, ...args: readonly string[]): Program =>
    new Program(scope, host.enter([process.execPath, ECHO, ...args]))
  await run(hosts[0], 'server', '9000').says(/listens/)
  await a.spawn(['expose', SITE, '--tcp', '127.0.0.1:9000']).says(/^dev\./m)
  await b.knows(SITE)
  await b.spawn(['forward', SITE, '--listen', '127.0.0.1:9001']).says(/127\.0\.0\.1:9001/, 'stderr')
  const small = run(hosts[1], 'client', '9001', '19200', '64', '50')
  const bulk = run(hosts[1], 'client', '9001', String(50 * 2 ** 20), '65536', '20')
  await Promise.all([small.says(/part 1/), bulk.says(/part 1/)])

  const first = linkOf(hosts[1])
  hosts[0].silence(first)
  await waitFor(() => b.program.stderr.match(LEFT)?.length === 1, 'the flows to leave the first link')
  await Promise.all([small.says(/part 2/), bulk.says(/part 2/)])
  const second = linkOf(hosts[1])
  assert.notEqual(second, first)
  // Both sides have found each other again, so that the end of the other link is no loss of the host.
  await waitFor(async () => (await b.status()).connected === 1, 'the mesh on the second link')

  hosts[0].heal()
  hosts[0].silence(second)
  await waitFor(() => b.program.stderr.match(LEFT)?.length === 2, 'the flows to leave the second link')
  await Promise.all([small.says(/intact.*/), bulk.says(/intact.*/)]).then(said =>
    t.diagnostic(said.map(([text]) => text).join('; '))
  )
  assert.equal(b.program.stderr.match(/flow ended.*link to the other/g), null)
  assert.match(await b.cli('metrics'), /^warren_flow_interruptions_total\{result="resumed"\} [2-9]/m)
})

// Sends 50 numbered datagrams a second until it gets a line, and then says how many were not answered within two seconds.
const METRONOME = `
  const socket = require('node:dgram').createSocket('udp4')
  const open = new Set()
  let sent = 0
  socket.on('message', payload => {
    if (!open.delete(String(payload)) && Number(payload) < sent) console.log('twice ' + payload)
    if (Number(payload) % 100 === 99) console.log('answer ' + payload)
  })
  const timer = setInterval(() => {
    open.add(String(sent))
    socket.send(String(sent++), 9002, '127.0.0.1')
  }, 20)
  process.stdin.once('data', () => {
    clearInterval(timer)
    setTimeout(() => {
      console.log('lost ' + open.size + ' of ' + sent)
      process.exit()
    }, 2000)
  })`

const UDP_ECHO = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.on('message', (payload, from) => socket.send(payload, from.port, from.address))
  socket.bind(9003, '127.0.0.1', () => console.log('listens'))`

test(
  'datagrams of a server that asks for two paths pass a lossy link and a dead one without a loss',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const scope = scopeOf(t)
    const hosts = await twiceJoined(scope)
    const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    await b.follows(a)
    const node = (host: Host, code: string): Program => new Program(scope, host.enter([process.execPath, '-e', code]))
    await node(hosts[0], UDP_ECHO).says(/listens/)
    await a.spawn(['expose', SITE, '--udp', '127.0.0.1:9003', '--multipath']).says(/^dev\./m)
    await b.knows(SITE)
    const listen = ['--udp', '--listen', '127.0.0.1:9002']
    await b.spawn(['forward', SITE, ...listen]).says(/127\.0\.0\.1:9002/, 'stderr')
    const warmUp = node(hosts[1], METRONOME)
    await warmUp.says(/answer/)
    await waitFor(async () => (await b.cli('flows')).includes('udp x2'), 'packets on two paths')

    const first = linkOf(hosts[1])
    hosts[0].loseSome(first, 30)
    const metronome = node(hosts[1], METRONOME)
    await metronome.says(/answer 199/)
    hosts[0].heal()
    hosts[0].silence(first)
    await metronome.says(/answer 499/)
    metronome.stdin.write('end\n')
    const { stdout } = await metronome.outcome()
    assert.match(stdout, /lost 0 of/)
    assert.doesNotMatch(stdout, /twice/)
    for (const agent of [a, b]) {
      const metrics = await agent.cli('metrics')
      assert.match(metrics, /^warren_datagram_copies_total\{result="sent"\} [1-9]/m)
      assert.match(metrics, /^warren_datagram_copies_total\{result="removed"\} [1-9]/m)
    }
  }
)
