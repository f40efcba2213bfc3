import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { StreamForwarder, type StreamForwarderOptions } from '../../src/cli/listeners/stream/forwarder.ts'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { ErrorCode, raceAbort, WarrenError } from '../../src/core/index.ts'
import { socketsAt } from '../../src/listeners/index.ts'
import { readExactly } from '../../src/wire/index.ts'
import { FakeAgent } from '../client/fake-agent.ts'

async function setUp(t: TestContext) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  const start = async (options: Omit<StreamForwarderOptions, 'keepAliveMs'>) => {
    const forwarder = new StreamForwarder({ ...options, keepAliveMs: 0 })
    t.after(() => forwarder.close())
    const bound = await forwarder.listen(socketsAt({ kind: 'tcp', host: '127.0.0.1', port: 0 }))
    return (): Socket => {
      const socket = connectSocket({ host: '127.0.0.1', port: Number(bound.split(':')[1]), allowHalfOpen: true })
      t.after(() => socket.destroy())
      return socket
    }
  }
  return { client, start }
}

async function readAll(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', chunk => {
    text += String(chunk)
  })
  await once(socket, 'end')
  return text
}

test('a client can say where it wants to be connected, and what follows is carried from its first byte', async t => {
  const { client, start } = await setUp(t)
  for (const name of ['one', 'two']) {
    await listen(`dev.web.${name}.default`, { client }, async socket => {
      const request = await readAll(socket)
      socket.end(`${name} got ${request}`)
    })
  }
  const dial = await start({
    open: async (local, signal) => {
      const name = String(await readExactly(local, 3, signal))
      local.write('to ')
      return await connect(`dev.web.${name}.default`, { client, signal })
    },
    onFailure: assert.ifError
  })
  const replies = ['one', 'two'].map(name => {
    const socket = dial()
    // In one piece, so that what follows is there before the destination is known.
    socket.end(`${name}hello`)
    return readAll(socket)
  })
  assert.deepEqual(await Promise.all(replies), ['to one got hello', 'to two got hello'])
})

test('a client that is refused with an answer reads it, and then the end', async t => {
  const { start } = await setUp(t)
  const failures: unknown[] = []
  const dial = await start({
    open: async local => {
      local.end('not here')
      throw new Error('refused')
    },
    onFailure: err => failures.push(err)
  })
  assert.equal(await readAll(dial()), 'not here')
  assert.match(String(failures), /refused/)
})

test('a client that goes away ends the opening of its connection, which is no failure', async t => {
  const { start } = await setUp(t)
  const failures: unknown[] = []
  const begun = Promise.withResolvers<void>()
  const givenUp = Promise.withResolvers<unknown>()
  const dial = await start({
    open: async (_local, signal) => {
      begun.resolve()
      return await raceAbort(new Promise<never>(() => {}), signal).catch((err: unknown) => {
        givenUp.resolve(err)
        throw err
      })
    },
    onFailure: err => failures.push(err)
  })
  const socket = dial()
  await begun.promise
  socket.resetAndDestroy()
  assert.match(String(await givenUp.promise), /the local client went away/)
  assert.deepEqual(failures, [])
})

test('localhost is listened at in both families, at one port', async t => {
  const served: string[] = []
  const open = async (local: Socket): Promise<never> => {
    served.push(local.localAddress ?? '')
    throw new Error('nobody there')
  }
  const forwarder = new StreamForwarder({ open, onFailure: () => {}, keepAliveMs: 0 })
  t.after(() => forwarder.close())
  const bound = await forwarder.listen(socketsAt({ kind: 'tcp', host: 'localhost', port: 0 }))
  assert.match(bound, /^localhost:\d+$/)
  for (const host of ['127.0.0.1', '::1']) {
    const socket = connectSocket({ host, port: Number(bound.split(':')[1]) })
    await new Promise(resolve => socket.on('error', () => {}).once('close', resolve))
  }
  assert.deepEqual(served, ['127.0.0.1', '::1'])
})

test('at its end a listener serves those that it has, for as long as it is given, and no others', async t => {
  const { client } = await setUp(t)
  await listen('dev.web.site.default', { client }, async socket => {
    // The one that is cut at the end.
    socket.on('error', () => {})
    const request = await readAll(socket)
    if (request !== 'for ever') socket.end(`got ${request}`)
  })
  const failures: unknown[] = []
  const forwarder = new StreamForwarder({
    open: async (_local, signal) => await connect('dev.web.site.default', { client, signal }),
    keepAliveMs: 0,
    onFailure: err => failures.push(err)
  })
  t.after(() => forwarder.close())
  const bound = await forwarder.listen(socketsAt({ kind: 'tcp', host: '127.0.0.1', port: 0 }))
  const dial = (): Socket =>
    connectSocket({ host: '127.0.0.1', port: Number(bound.split(':')[1]), allowHalfOpen: true })
  const served = dial()
  await once(served, 'connect')
  const settled = forwarder.settle(new AbortController().signal)
  served.end('hello')
  assert.equal(await readAll(served), 'got hello')
  await settled
  const [refused] = (await once(dial(), 'error')) as [NodeJS.ErrnoException]
  assert.equal(refused.code, 'ECONNREFUSED')

  await forwarder.listen(socketsAt({ kind: 'tcp', host: '127.0.0.1', port: Number(bound.split(':')[1]) }))
  const waits = dial()
  waits.end('for ever')
  await once(waits, 'connect')
  await forwarder.settle(AbortSignal.timeout(50))
  const cut = once(waits.resume(), 'error')
  forwarder.close()
  await cut
  assert.ok(failures.every(err => WarrenError.is(err, ErrorCode.StreamTruncated)))
})
