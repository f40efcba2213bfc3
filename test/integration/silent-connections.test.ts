import assert from 'node:assert/strict'
import { connect as connectTcp, type Socket } from 'node:net'
import test from 'node:test'
import { connect as connectTls } from 'node:tls'
import { type Scope, scopeOf, settled, startPair, TestAgent } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOPS = 'dev.*.*.*'

interface Port {
  readonly host: string
  readonly port: number
}

/** Connections that say nothing, opened again when they are closed, until the scope ends. */
class Silence {
  readonly #open: (localAddress: string) => Socket
  #isOver = false
  readonly #sockets = new Set<Socket>()

  constructor(scope: Scope, open: (localAddress: string) => Socket) {
    this.#open = open
    scope.defer(() => this.end())
  }

  /** Resolves once each of `count` connections of an address has connected for the first time, or was closed at once. */
  async from(localAddress: string, count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#one(localAddress)))
  }

  end(): void {
    this.#isOver = true
    for (const socket of this.#sockets) socket.destroy()
  }

  #one(localAddress: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const socket = this.#open(localAddress)
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('connect', () => resolve())
    socket.once('secureConnect', () => resolve())
    socket.once('close', () => {
      resolve()
      this.#sockets.delete(socket)
      // A flood has no reason to hurry: it holds places, and does not use up the processor.
      if (!this.#isOver) setTimeout(() => !this.#isOver && void this.#one(localAddress), 200)
    })
    return promise
  }
}

function idle(scope: Scope, { host, port }: Port): Silence {
  return new Silence(scope, localAddress => connectTcp({ host, port, localAddress }))
}

/** Connections that set up TLS as a host that joins, or renews, and then say nothing. */
function idleTls(scope: Scope, { host, port }: Port, alpn: string): Silence {
  return new Silence(scope, localAddress => {
    const socket = connectTcp({ host, port, localAddress })
    return connectTls({ socket, ALPNProtocols: [alpn], rejectUnauthorized: false })
  })
}

async function dataPortOf(agent: TestAgent): Promise<Port> {
  const [host = '', port = ''] = ((await agent.status()).dataAddresses[0] ?? '').split(':')
  return { host, port: Number(port) }
}

async function meshPortOf(agent: TestAgent): Promise<Port> {
  const [, , host = '', , port = ''] = ((await agent.status()).meshAddresses[0] ?? '').split('/')
  return { host, port: Number(port) }
}

test('connections that say nothing keep no host from joining, not even one of the same address', async t => {
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  await a.start()
  const port = await dataPortOf(a)
  for (const alpn of ['warren-join/1', 'warren-renew/1']) await idleTls(scope, port, alpn).from('127.0.0.2', 40)
  await idleTls(scope, port, 'warren-join/1').from('127.0.0.1', 40)
  await idle(scope, port).from('127.0.0.1', 600)

  const b = new TestAgent(scope, { name: 'b', args: [] })
  await b.start(['--join', await a.token('b')])
  await b.sees(1)
})

for (const carrier of ['direct', 'mesh']) {
  test(`650 idle connections of five addresses stop no new session and no new host (${carrier})`, async t => {
    const scope = scopeOf(t)
    const [a, b] = await startPair(scope, { args: ['--carrier', carrier] })
    await a.allow(SHOPS, SITE)
    await b.follows(a)
    const serve = a.spawn(['serve', SITE])
    await serve.says(/serving/, 'stderr')
    await b.knows(SITE)
    const addresses = [2, 3, 4, 5, 6].map(last => `127.0.0.${last}`)
    for (const port of [await dataPortOf(a), await meshPortOf(a)]) {
      const silence = idle(scope, port)
      await Promise.all(addresses.map(address => silence.from(address, 130)))
    }

    const client = b.spawn(['connect', SITE])
    client.stdin.write('through the idle ones\n')
    await settled(serve.says(/through the idle ones/), 'the first bytes')
    const c = new TestAgent(scope, { name: 'c', args: [] })
    await c.start(['--join', await a.token('c'), '--carrier', carrier])
    await c.sees(1)
    assert.equal((await a.status()).state, 'ready')
  })
}
