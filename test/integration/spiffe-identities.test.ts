import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { connect as connectSession } from 'node:http2'
import { type AddressInfo, connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { decode, spiffePb } from '../../src/wire/index.ts'
import { asRoot, at, Program, type Scope, scopeOf, TestAgent, WARREN, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const STRANGER = 61_238
const HEADER_BYTES = 5
const MAX_STATE_BYTES = 1_000_000

interface Identity {
  readonly id: string
  readonly hint: string
}

/** Every state that FetchX509SVID sends to this process. */
function watch(scope: Scope, agent: TestAgent): Identity[][] {
  const states: Identity[][] = []
  const path = join(agent.runtimeDir, 'spiffe.sock')
  const session = connectSession('http://agent', { createConnection: () => connect(path) })
  scope.defer(() => session.destroy())
  const stream = session.request({
    ':method': 'POST',
    ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true'
  })
  let received = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    while (received.length >= HEADER_BYTES && received.length >= HEADER_BYTES + received.readUInt32BE(1)) {
      const end = HEADER_BYTES + received.readUInt32BE(1)
      const { svids } = decode(spiffePb.X509SVIDResponseSchema, received.subarray(HEADER_BYTES, end), MAX_STATE_BYTES)
      states.push(svids.map(({ spiffeId, hint }) => ({ id: spiffeId, hint })))
      received = received.subarray(end)
    }
  })
  stream.end(Buffer.alloc(HEADER_BYTES))
  return states
}

function identity(name: string): Identity {
  return { id: `spiffe://example.org/${name.replaceAll('.', '/')}/a`, hint: name }
}

test(
  'a program that registered nothing gets what is for its user, once, and no identity of forward and connect',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
    chmodSync(dirname(agent.runtimeDir), 0o755)
    await agent.allow('dev.*.*.*', 'dev.*.*.*')
    const server = createServer(socket => socket.end('served')).listen(0, '127.0.0.1')
    scope.defer(() => server.close())
    await once(server, 'listening')
    const target = `127.0.0.1:${(server.address() as AddressInfo).port}`
    // Two commands, and so two registrations of one identity.
    for (let copy = 0; copy < 2; copy += 1) {
      await agent.spawn(['expose', SITE, '--tcp', target, '--no-health-check']).says(new RegExp(SITE))
    }
    const forward = agent.spawn(['forward', SITE, '--as', SHOP, '--listen', '127.0.0.1:0'])
    const [, port = ''] = await forward.says(/127\.0\.0\.1:(\d+)/, 'stderr')

    const states = watch(scope, agent)
    await waitFor(() => states.length > 0, 'the first state')
    assert.deepEqual(states, [[identity(SITE)]])

    for (let asked = 0; asked < 3; asked += 1) {
      const client = connect(Number(port), '127.0.0.1')
      client.end()
      assert.equal(await text(client), 'served')
    }
    assert.equal(await agent.cli('connect', SITE, '--as', 'dev.shop.other.default'), 'served')
    // Whatever the connections had caused would have been sent before this.
    await agent.cli('register', 'dev.app.first.default', '--ttl', '1h')
    await waitFor(() => states.length > 1, 'the second state')
    assert.deepEqual(states.slice(1), [[identity('dev.app.first.default'), identity(SITE)]])

    // One process by name: it has that identity, and nobody else.
    const sleeper = new Program(scope, ['sleep', '600'])
    await agent.cli('register', 'dev.app.named.default', '--pid', String(sleeper.pid))
    await agent.cli('register', 'dev.app.last.default', '--ttl', '1h')
    await waitFor(() => states.length > 2, 'the third state')
    assert.deepEqual(
      states.at(-1)?.map(({ hint }) => hint),
      ['dev.app.first.default', 'dev.app.last.default', SITE]
    )
    const other = new Program(
      scope,
      at({ uid: STRANGER }, [
        process.execPath,
        WARREN,
        '--runtime-dir',
        agent.runtimeDir,
        'svid',
        'fetch',
        '--out',
        '-'
      ])
    )
    assert.match((await other.outcome()).stderr, /PERMISSION_DENIED: no identity is registered/)
  }
)
