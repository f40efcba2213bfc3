import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { type Scope, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const OWN = process.getuid?.() ?? 0

/** Two hosts: a serves `port` as declared, b has a declared listener that leads there. Returns its port. */
async function declaredPair(scope: Scope, protocol: 'tcp' | 'udp', port: number) {
  const [a, b] = await startPair(scope)
  await a.allow('prod.shop.*.*', 'prod.data.*.*')
  const local = await freePort()
  const restart = async (agent: TestAgent, content: object): Promise<void> => {
    const directory = scope.directory()
    chmodSync(directory, 0o755)
    const file = join(directory, 'warren.yaml')
    writeFileSync(file, JSON.stringify(content))
    await agent.stop()
    await agent.start(['--config', file])
  }
  const address = 'prod.data.server.default'
  await restart(a, { services: [{ address, user: OWN, [protocol]: `127.0.0.1:${port}` }] })
  const forward = { destination: address, listen: `127.0.0.1:${local}`, as: 'prod.shop.cart.default', user: OWN }
  await restart(b, { forwards: [{ ...forward, ...(protocol === 'udp' && { udp: true }) }] })
  await b.follows(a)
  await b.knows(address)
  return { a, b, local }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** How a connection ended: with everything, or with an error. */
async function endOf(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let text = ''
  socket.on('data', chunk => {
    text += String(chunk)
  })
  socket
    .once('end', () => resolve(`${text} and the end`))
    .once('error', err => resolve((err as NodeJS.ErrnoException).code ?? ''))
  return await promise
}

test('a declared listener passes on ends as ends, and resets as resets, both ways', async t => {
  const scope = scopeOf(t)
  const accepted: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, socket => accepted.push(socket.on('error', () => {})))
  scope.defer(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { b, local } = await declaredPair(scope, 'tcp', (server.address() as { port: number }).port)
  const open = async (): Promise<readonly [client: Socket, served: Socket]> => {
    const before = accepted.length
    const client = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true })
    scope.defer(() => client.destroy())
    await once(client, 'connect')
    client.write('x')
    const served = await waitFor(() => accepted[before], 'the connection at the server')
    scope.defer(() => served.destroy())
    await once(served, 'data')
    return [client, served]
  }

  const [halves, answering] = await open()
  const asked = endOf(answering)
  halves.end('question')
  assert.equal(await asked, 'question and the end', 'half-close of the client')
  const answered = endOf(halves)
  answering.end('answer')
  assert.equal(await answered, 'answer and the end')

  const [reset, resetting] = await open()
  const atClient = endOf(reset)
  resetting.resetAndDestroy()
  assert.equal(await atClient, 'ECONNRESET', 'a reset of the server')

  const [going, left] = await open()
  const atServer = endOf(left)
  going.resetAndDestroy()
  assert.equal(await atServer, 'ECONNRESET', 'a reset of the client')

  // Whatever is wrong, a client is never given an end that nobody has sent.
  const [cut] = await open()
  const atCut = endOf(cut)
  await b.kill()
  assert.equal(await atCut, 'ECONNRESET', 'the agent was killed')
})

test('a client of a declared listener without a rule is reset', async t => {
  const scope = scopeOf(t)
  const { a, local } = await declaredPair(scope, 'tcp', 1)
  const { rules } = JSON.parse(await a.cli('policy', 'show', '--json')) as { rules: { id: string }[] }
  for (const { id } of rules) await a.cli('policy', 'remove', id)
  const refused = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true })
  scope.defer(() => refused.destroy())
  assert.equal(await endOf(refused), 'ECONNRESET')
})

test('a burst of datagrams to a declared listener arrives whole while its flow is opened, and each sender has its answers', async t => {
  const scope = scopeOf(t)
  const received: string[] = []
  const server = createSocket('udp4').bind(0, '127.0.0.1')
  scope.defer(() => void server.close())
  await once(server, 'listening')
  server.on('message', (payload, { port }) => {
    received.push(String(payload))
    server.send(`re ${payload}`, port)
  })
  const { local } = await declaredPair(scope, 'udp', server.address().port)
  const clients = ['one', 'two', 'three'].map(name => {
    const socket = createSocket('udp4')
    scope.defer(() => void socket.close())
    const answers: string[] = []
    socket.on('message', payload => answers.push(String(payload)))
    return { name, socket, answers, sent: Array.from({ length: 50 }, (_, index) => `${name} ${index}`) }
  })
  for (const { socket, sent } of clients) for (const text of sent) socket.send(text, local, '127.0.0.1')
  await waitFor(() => clients.every(({ answers, sent }) => answers.length >= sent.length), 'all answers')
  // Not in order: a flow may move from its stream to packets meanwhile.
  for (const { answers, sent } of clients) {
    assert.deepEqual(answers.toSorted(), sent.map(text => `re ${text}`).toSorted())
  }
  assert.equal(received.length, 150)
})
