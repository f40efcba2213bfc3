import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import test, { type TestContext } from 'node:test'
import {
  asRoot,
  at,
  createHosts,
  type Host,
  needsCommand,
  type Outcome,
  Program,
  programsForOthers,
  type Scope,
  scopeOf,
  startPair,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const OWNER = 61_311
const OTHER = 61_312
const THIRD = 61_313
const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const REFUSED = /DESTINATION_UNREACHABLE.*another user has its port/

// A server at HOST:PORT that says who it is, and prints what it is told. `-` as HOST: descriptor 3 is its listener.
const TCP_SERVER = `
  const [host, port, name] = process.argv.slice(1)
  const server = require('node:net').createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    socket.on('data', chunk => console.log('GOT ' + chunk))
    socket.on('end', () => socket.end('served by ' + name))
  })
  server.listen(host === '-' ? { fd: 3 } : { host, port: Number(port) }, () => console.log('LISTENING'))`

const UDP_SERVER = `
  const [host, port, name] = process.argv.slice(1)
  const socket = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4')
  socket.on('message', (payload, from) => {
    console.log('GOT ' + payload)
    socket.send('served by ' + name + ' to ' + payload, from.port, from.address)
  })
  socket.bind(Number(port), host, () => console.log('LISTENING'))`

// Makes the listener as root and starts SCRIPT with it as another user, as a service manager does. They end together.
const ACTIVATOR = `
  const [port, uid, script, name] = process.argv.slice(1)
  const main = "process.stdin.resume().on('end', () => process.exit());" + script
  const server = require('node:net').createServer().listen(Number(port), '127.0.0.1', () => {
    const child = require('node:child_process').spawn(process.execPath, ['-e', main, '-', port, name], {
      uid: Number(uid), gid: Number(uid), stdio: ['pipe', 'inherit', 'inherit', server._handle.fd]
    })
    child.once('spawn', () => server.close())
  })`

async function freePort(): Promise<number> {
  const server = createServer().listen({ host: '::', port: 0 })
  await new Promise(resolve => server.once('listening', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}

interface Served {
  readonly uid: number
  readonly host: string
  readonly port: number
  readonly name: string
  readonly on?: Host
}

async function serve(scope: Scope, { uid, host, port, name, on }: Served, script = TCP_SERVER): Promise<Program> {
  const argv = [process.execPath, '-e', script, host, String(port), name]
  const server = new Program(scope, at({ uid, ...(on !== undefined && { host: on }) }, argv))
  await server.says(/LISTENING/)
  return server
}

/** An agent of root for everybody, at which OWNER may serve. */
async function startAgent(scope: Scope, host?: Host): Promise<TestAgent> {
  const place = host === undefined ? {} : { host }
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'], ...place }).start()
  chmodSync(dirname(agent.runtimeDir), 0o755)
  await agent.cli('entry', 'add', '--uid', String(OWNER), 'dev.web.*.*')
  await agent.allow('dev.*.*.*', 'dev.*.*.*')
  return agent
}

async function expose(agent: TestAgent, uid: number, ...args: string[]): Promise<Program> {
  const exposed = agent.spawn(['expose', ...args], { uid })
  await exposed.says(/leads to/, 'stderr')
  return exposed
}

async function ask(agent: TestAgent, address: string): Promise<Outcome> {
  const client = agent.spawn(['connect', address, '--as', SHOP])
  client.stdin.end('secret')
  return await client.outcome()
}

async function isServed(agent: TestAgent, address: string, by: string): Promise<void> {
  // A server that was away or refused is failing until it was found well twice.
  await waitFor(
    async () => (await ask(agent, address)).stdout === `served by ${by}`,
    `${address} to be served by ${by}`
  )
}

async function isRefused(agent: TestAgent, address: string, intruder: Program, name: string): Promise<void> {
  const { code, stdout, stderr } = await ask(agent, address)
  assert.equal(code, 1, name)
  assert.equal(stdout, '', name)
  assert.match(stderr, REFUSED, name)
  assert.doesNotMatch(intruder.stdout, /GOT/, name)
}

test('another user who takes the port of a server that is down is not served, at whatever address', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startAgent(scope)
  for (const [index, [target, served, taken]] of [
    ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.1', '0.0.0.0'],
    // A socket of IPv6 that takes connections of IPv4 as well.
    ['localhost', '0.0.0.0', '::'],
    ['[::1]', '::1', '::1'],
    ['[::1]', '::', '::']
  ].entries()) {
    const name = `${target}, served at ${served}, taken at ${taken}`
    const address = `dev.web.site${index}.default`
    const port = await freePort()
    const server = await serve(scope, { uid: OWNER, host: served ?? '', port, name: 'owner' })
    const exposed = await expose(agent, OWNER, address, '--tcp', `${target}:${port}`)
    await isServed(agent, address, 'owner')
    await server.kill()
    const intruder = await serve(scope, { uid: OTHER, host: taken ?? '', port, name: 'other' })
    await isRefused(agent, address, intruder, name)
    await intruder.kill()
    const back = await serve(scope, { uid: OWNER, host: served ?? '', port, name: 'owner' })
    await isServed(agent, address, 'owner')
    await Promise.all([exposed.kill(), back.kill()])
  }
})

test(
  'a running expose says when another user takes the port of its server, and when that one has it back',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const agent = await startAgent(scope)
    const port = await freePort()
    const server = await serve(scope, { uid: OWNER, host: '127.0.0.1', port, name: 'owner' })
    const exposed = await expose(agent, OWNER, SITE, '--tcp', `127.0.0.1:${port}`)
    await isServed(agent, SITE, 'owner')
    await server.kill()
    const intruder = await serve(scope, { uid: OTHER, host: '127.0.0.1', port, name: 'other' })
    await exposed.says(
      new RegExp(`refused for now: uid ${OTHER} has 127.0.0.1:${port}/tcp.*somebody took its port`),
      'stderr'
    )
    // Once it is failing, the refusal has a next step as well.
    await waitFor(async () => /failing/.test((await ask(agent, SITE)).stderr), `${SITE} to be failing`)
    assert.match((await ask(agent, SITE)).stderr, /failing[\s\S]*\n {2}\S.*warren services/)
    await intruder.kill()
    await serve(scope, { uid: OWNER, host: '127.0.0.1', port, name: 'owner' })
    await exposed.says(/no longer refused/, 'stderr')
    await isServed(agent, SITE, 'owner')
  }
)

test('another user beside a server of one family is not served at the other', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startAgent(scope)
  const port = await freePort()
  await serve(scope, { uid: OWNER, host: '127.0.0.1', port, name: 'owner' })
  const intruder = await serve(scope, { uid: OTHER, host: '::1', port, name: 'other' })
  await expose(agent, OWNER, SITE, '--tcp', `[::1]:${port}`)
  await isRefused(agent, SITE, intruder, '[::1]')
  await expose(agent, OWNER, 'dev.web.both.default', '--tcp', `localhost:${port}`)
  await isServed(agent, 'dev.web.both.default', 'owner')
  assert.doesNotMatch(intruder.stdout, /GOT/)
})

test('localhost leads to its server at either family, and to nobody else at the one that is free', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startAgent(scope)
  const port = await freePort()
  const server = await serve(scope, { uid: OWNER, host: '::1', port, name: 'owner' })
  await expose(agent, OWNER, SITE, '--tcp', `localhost:${port}`)
  await isServed(agent, SITE, 'owner')
  const intruder = await serve(scope, { uid: OTHER, host: '127.0.0.1', port, name: 'other' })
  await isServed(agent, SITE, 'owner')
  await server.kill()
  await isRefused(agent, SITE, intruder, 'at 127.0.0.1')
  await intruder.kill()
  await serve(scope, { uid: OWNER, host: '127.0.0.1', port, name: 'owner' })
  await isServed(agent, SITE, 'owner')
})

test(
  'a port that another user has is said to be: by services, explain, expose and the log; other hosts read no uid',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const [a, b] = await startPair(scope)
    chmodSync(dirname(a.runtimeDir), 0o755)
    await a.cli('entry', 'add', '--uid', String(OWNER), 'dev.web.*.*')
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    await b.follows(a)
    const port = await freePort()
    const found = `uid ${OTHER} has 127.0.0.1:${port}/tcp, expected uid ${OWNER} or root`
    await serve(scope, { uid: OTHER, host: '127.0.0.1', port, name: 'other' })
    // Without health checks other hosts go on to try, and read why not.
    const tcp = ['--tcp', `127.0.0.1:${port}`]
    const quiet = 'dev.web.quiet.default'
    await expose(a, OWNER, quiet, ...tcp, '--no-health-check')
    await b.knows(quiet)
    const elsewhere = await ask(b, quiet)
    assert.match(elsewhere.stderr, REFUSED)
    assert.doesNotMatch(elsewhere.stderr, new RegExp(String(OTHER)))

    const exposed = await expose(a, OWNER, SITE, ...tcp)
    await exposed.says(new RegExp(`refused for now: ${found}`), 'stderr')
    const services = async (agent: TestAgent) =>
      (
        JSON.parse(await agent.cli('services', SITE, '--json')) as {
          services: Array<{ health: string; problem: string }>
        }
      ).services
    await waitFor(async () => (await services(b))[0]?.health === 'failing', `${SITE} to fail`)
    assert.equal((await services(a))[0]?.problem, found)
    assert.equal((await services(b))[0]?.problem, '')
    assert.match(await a.cli('services', SITE), new RegExp(`failing: ${found}`))
    const { code, stdout } = await a.attempt(['explain', SHOP, SITE])
    assert.equal(code, 1)
    assert.match(stdout, new RegExp(`NO +server +${found}`))
    assert.match((await ask(a, SITE)).stderr, REFUSED)
    const lines = a.program.stderr
      .split('\n')
      .filter(line => line.includes('port refused') && line.includes(SITE.replaceAll('.', '/')))
    assert.equal(lines.length, 1)
    const { uid, reason } = JSON.parse(lines[0] ?? '') as { uid: number; reason: string }
    assert.deepEqual([uid, reason], [OTHER, found])
  }
)

test('a listener that root made and handed to another user is served', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startAgent(scope)
  const port = await freePort()
  // The other user runs the same Node, and may not enter the checkout of root.
  const manager = new Program(scope, [
    programsForOthers().node,
    '-e',
    ACTIVATOR,
    String(port),
    String(THIRD),
    TCP_SERVER,
    'activated'
  ])
  await manager.says(/LISTENING/)
  await expose(agent, OWNER, SITE, '--tcp', `127.0.0.1:${port}`)
  await isServed(agent, SITE, 'activated')
})

test('--server-user names whose server it is, and any asks nobody', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startAgent(scope)
  const port = await freePort()
  const server = await serve(scope, { uid: THIRD, host: '127.0.0.1', port, name: 'third' })
  const tcp = ['--tcp', `127.0.0.1:${port}`]
  const [named, open] = ['dev.web.named.default', 'dev.web.open.default']
  await expose(agent, OWNER, SITE, ...tcp)
  await expose(agent, OWNER, named, ...tcp, '--server-user', String(THIRD))
  await expose(agent, OWNER, open, ...tcp, '--server-user', 'any')
  await isRefused(agent, SITE, server, 'the default')
  await isServed(agent, named, 'third')
  await isServed(agent, open, 'third')
  await server.kill()
  const intruder = await serve(scope, { uid: OTHER, host: '127.0.0.1', port, name: 'other' })
  await isRefused(agent, named, intruder, 'named')
  const unknown = await agent.attempt(['expose', 'dev.web.x.default', ...tcp, '--server-user', 'no-such-user'])
  assert.notEqual(unknown.code, 0)
  assert.match(unknown.stderr, /INVALID_ARGUMENT: this host knows no user "no-such-user"/)
  await agent.cli('register', 'dev.web.root.default', ...tcp, '--server-user', 'root', '--pid', String(process.pid))
  await isRefused(agent, 'dev.web.root.default', intruder, 'a name')
  await isServed(agent, open, 'other')
})

test('a registration of root keeps to the user whose server it found first', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startAgent(scope)
  const port = await freePort()
  const server = await serve(scope, { uid: THIRD, host: '127.0.0.1', port, name: 'third' })
  const exposed = agent.spawn(['expose', SITE, '--tcp', `127.0.0.1:${port}`])
  await exposed.says(/leads to/, 'stderr')
  // Without a connection in between.
  await server.kill()
  const intruder = await serve(scope, { uid: OTHER, host: '127.0.0.1', port, name: 'other' })
  await isRefused(agent, SITE, intruder, 'pinned')
  await intruder.kill()
  await serve(scope, { uid: THIRD, host: '127.0.0.1', port, name: 'third' })
  await isServed(agent, SITE, 'third')
})

test(
  'a port that address translation leads elsewhere is served to who says that nobody is to be asked',
  asRoot,
  async t => {
    if (!needsCommand(t as TestContext, 'nft')) return
    const scope = scopeOf(t)
    const [host] = await createHosts(scope, 'a', 'b')
    const agent = await startAgent(scope, host)
    host.run('nft', 'add table ip nat; add chain ip nat out { type nat hook output priority -100; }')
    host.run('nft', 'add rule ip nat out ip daddr 127.0.0.1 tcp dport 8080 redirect to :9090')
    await serve(scope, { uid: THIRD, host: '0.0.0.0', port: 9_090, name: 'third', on: host })
    const hidden = 'dev.web.hidden.default'
    for (const [address, more] of [
      [hidden, []],
      [SITE, ['--server-user', 'any']]
    ] as const) {
      const exposed = agent.spawn(['expose', address, '--tcp', '127.0.0.1:8080', ...more], { host, uid: OWNER })
      await exposed.says(/leads to/, 'stderr')
    }
    await isServed(agent, SITE, 'third')
    const { code, stderr } = await ask(agent, hidden)
    assert.equal(code, 1)
    assert.match(stderr, /DESTINATION_UNREACHABLE.*its port answers, and no socket of its host has it/)
    assert.match((await agent.attempt(['explain', SHOP, hidden])).stdout, /NO +server +127.0.0.1:8080\/tcp answers/)
    assert.match((await agent.attempt(['explain', SHOP, SITE])).stdout, /ok +server +nobody is asked/)
  }
)

test('a connection that address translation leads past a listener that lives is refused', asRoot, async t => {
  if (!needsCommand(t as TestContext, 'nft')) return
  const scope = scopeOf(t)
  const [host] = await createHosts(scope, 'a', 'b')
  const agent = await startAgent(scope, host)
  // The second has a socket of IPv6 that takes connections of IPv4 as well.
  const targets = [
    ['plain', '127.0.0.1', 8_000],
    ['dual', '::', 8_100]
  ] as const
  for (const [name, at, port] of targets) {
    await serve(scope, { uid: OWNER, host: at, port, name: 'owner', on: host })
    for (const [way, more] of [
      ['asked', []],
      ['any', ['--server-user', 'any']]
    ] as const) {
      const args = ['expose', `dev.web.${name}-${way}.default`, '--tcp', `127.0.0.1:${port}`, ...more]
      await agent.spawn(args, { host, uid: OWNER }).says(/leads to/, 'stderr')
      await isServed(agent, `dev.web.${name}-${way}.default`, 'owner')
    }
  }
  host.run('nft', 'add table ip nat; add chain ip nat out { type nat hook output priority -100; }')
  for (const [name, at, port] of targets) {
    const intruder = await serve(scope, { uid: OTHER, host: at, port: port + 1, name: 'other', on: host })
    host.run('nft', `add rule ip nat out ip daddr 127.0.0.1 tcp dport ${port} redirect to :${port + 1}`)
    const { code, stdout, stderr } = await ask(agent, `dev.web.${name}-asked.default`)
    assert.deepEqual([code, stdout], [1, ''], name)
    assert.match(stderr, /DESTINATION_UNREACHABLE.*its port has a listener, but a connection to it ends somewhere else/)
    assert.doesNotMatch(intruder.stdout, /GOT/, name)
    await isServed(agent, `dev.web.${name}-any.default`, 'other')
  }
  host.run('nft', 'delete table ip nat')
  for (const [name] of targets) await isServed(agent, `dev.web.${name}-asked.default`, 'owner')
})

// Sends each line of its input to PORT, and prints what comes back.
const UDP_CLIENT = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.on('message', payload => console.log('ANSWER ' + payload))
  require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
    socket.send(line, Number(process.argv[1]), '127.0.0.1')
  })`

interface FlowView {
  readonly protocol: string
  readonly dropped: string
}

for (const [name, target, served, taken] of [
  ['127.0.0.1', '127.0.0.1', '127.0.0.1', '127.0.0.1'],
  ['127.0.0.1, by the address for all', '127.0.0.1', '127.0.0.1', '::'],
  ['::1', '[::1]', '::1', '::1']
] as const) {
  test(`a flow of datagrams does not go on to another user who takes the port: ${name}`, asRoot, async t => {
    const scope = scopeOf(t)
    const agent = await startAgent(scope)
    const port = await freePort()
    const server = await serve(scope, { uid: OWNER, host: served, port, name: 'owner' }, UDP_SERVER)
    await expose(agent, OWNER, SITE, '--udp', `${target}:${port}`)
    const entrance = await freePort()
    const forward = agent.spawn(['forward', SITE, '--as', SHOP, '--udp', '--listen', `127.0.0.1:${entrance}`])
    await forward.says(/leads to/, 'stderr')
    const client = new Program(scope, [process.execPath, '-e', UDP_CLIENT, String(entrance)])
    const say = (text: string) => client.stdin.write(`${text}\n`)
    const dropped = async (): Promise<number> => {
      const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: FlowView[] }
      return flows.filter(flow => flow.protocol === 'udp').reduce((sum, flow) => sum + Number(flow.dropped), 0)
    }
    say('first')
    await client.says(/ANSWER served by owner to first/)
    await server.kill()
    // Until the agent knows that nobody has the port.
    await waitFor(async () => {
      say('lost')
      return (await dropped()) > 0
    }, 'a datagram to be dropped')
    const intruder = await serve(scope, { uid: OTHER, host: taken, port, name: 'other' }, UDP_SERVER)
    await waitFor(() => {
      say('secret')
      return agent.program.stderr
        .split('\n')
        .some(line => /another user has its port/.test(line) && /flow ended/.test(line))
    }, 'the flow to be cut')
    say('secret')
    await waitFor(async () => /failing: uid/.test(await agent.cli('services', SITE)), 'the service to fail')
    assert.doesNotMatch(intruder.stdout, /GOT/)
    assert.doesNotMatch(client.stdout, /other/)
    await intruder.kill()
    await serve(scope, { uid: OWNER, host: served, port, name: 'owner' }, UDP_SERVER)
    await waitFor(() => {
      say('again')
      return /ANSWER served by owner to again/.test(client.stdout)
    }, 'the owner to be heard again')
  })
}
