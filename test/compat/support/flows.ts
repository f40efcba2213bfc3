import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { type Scope, settled, waitFor } from '../../harness/index.ts'
import type { MixedHost } from './host.ts'

const CHUNK_BYTES = 256 * 1024
const FAST_PATH = 'warren_fastpath_connections_total'
const OK = { role: 'client', result: 'ok' }
/** More flows in a second than begin on streams alone. */
const WAVE = 24

interface Server {
  readonly address: string
}

async function echo(scope: Scope, on: MixedHost, name: string): Promise<Server> {
  const { client } = on
  const address = `dev.web.${name}.default`
  const server = await on.build.library.listen(address, { client, whitelist: ['dev.*.*.*'], ports: [7] }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  scope.defer(() => server.close())
  // The host at the other end has acknowledged it.
  assert.deepEqual(server.registration?.replication?.missing, [], `the registration of ${address}`)
  return { address: `${address}.${on.name}` }
}

/**
 * A stream from `from` to a server on `to`: bytes come back whole, first on the session and then on a fast-path connection,
 * and the end is an end.
 */
export async function streamFlows(scope: Scope, from: MixedHost, to: MixedHost): Promise<void> {
  const { address } = await echo(scope, to, `echo-${from.name}-${to.name}`)
  await from.agent.knows(address)
  const socket = await from.build.library.connect(address, { client: from.client, as: 'dev.shop.cart.default' })
  socket.on('error', () => {})
  const before = await from.metric(FAST_PATH, OK)
  await exchange(socket)
  await waitFor(async () => {
    await exchange(socket)
    return (await from.metric(FAST_PATH, OK)) > before
  }, `a fast-path connection from ${from.name} to ${to.name}`)
  await exchange(socket)
  socket.end()
  socket.resume()
  await settled(once(socket, 'end'), 'the end of the stream')
}

/** A stream on a carrier that allows nothing beside the session. */
export async function carriedFlow(scope: Scope, from: MixedHost, to: MixedHost, carrier: RegExp): Promise<void> {
  const { address } = await echo(scope, to, `far-${from.name}-${to.name}`)
  await from.agent.knows(address)
  const socket = await from.build.library.connect(address, { client: from.client, as: 'dev.shop.far.default' })
  socket.on('error', () => {})
  await exchange(socket)
  const { flows } = await from.client.admin.listFlows({})
  assert.match(flows.find(flow => flow.destination === address)?.carrier ?? '', carrier)
  socket.destroy()
}

/** Many short flows at once, until one is on a pooled fast-path connection. */
export async function pooledFlows(scope: Scope, from: MixedHost, to: MixedHost): Promise<void> {
  const { address } = await echo(scope, to, `pool-${from.name}-${to.name}`)
  await from.agent.knows(address)
  const before = await from.metric(FAST_PATH, OK)
  const wave = async (): Promise<void> => {
    const flows = Array.from({ length: WAVE }, async () => {
      const { connect } = from.build.library
      const socket = await connect(address, { client: from.client, as: 'dev.shop.many.default' })
      socket.on('error', () => {})
      await exchange(socket, 16)
      socket.end()
      socket.resume()
      await settled(once(socket, 'end'), 'the end of a short stream')
    })
    await Promise.all(flows)
  }
  await waitFor(async () => {
    await wave()
    return (await from.metric(FAST_PATH, OK)) >= before + 2
  }, `pooled fast-path connections from ${from.name} to ${to.name}`)
  // These begin on them.
  await wave()
}

async function exchange(socket: Duplex, bytes = CHUNK_BYTES): Promise<void> {
  const question = randomBytes(bytes)
  const answer: Buffer[] = []
  let left = bytes
  const done = Promise.withResolvers<void>()
  const onData = (chunk: Buffer): void => {
    answer.push(chunk)
    left -= chunk.length
    if (left <= 0) done.resolve()
  }
  const onClose = (): void => done.reject(new Error('the stream ended early'))
  socket.on('data', onData).once('close', onClose)
  socket.write(question)
  await settled(done.promise, 'an answer')
  socket.off('data', onData).off('close', onClose)
  assert.ok(Buffer.concat(answer).equals(question), 'the answer is what was asked')
}

/** Datagrams from `from` to a server on `to`, by capsules at first and then by packets. */
export async function datagramFlows(scope: Scope, from: MixedHost, to: MixedHost): Promise<void> {
  const address = `dev.time.echo-${from.name}-${to.name}.default`
  const server = await to.build.library.listen(
    address,
    { client: to.client, protocol: 'udp', whitelist: ['dev.*.*.*'] },
    socket => {
      socket.on('error', () => {})
      socket.on('message', datagram => socket.send(datagram))
    }
  )
  scope.defer(() => server.close())
  await from.agent.knows(address)
  const options = { client: from.client, protocol: 'udp', as: 'dev.shop.clock.default' } as const
  const socket = await from.build.library.connect(`${address}.${to.name}`, options)
  const answers = new Set<string>()
  socket.on('error', () => {}).on('message', datagram => answers.add(datagram.toString()))
  scope.defer(() => socket.close())
  let asked = 0
  const isAnswered = async (): Promise<boolean> => {
    const question = `question ${asked}`
    asked += 1
    socket.send(question)
    const answered = await waitFor(() => answers.has(question), question, 500).catch(() => false)
    return answered === true
  }
  await waitFor(isAnswered, 'an answer to a datagram')
  await waitFor(async () => {
    const { flows } = await from.client.admin.listFlows({})
    return flows.some(flow => flow.destination.startsWith(address) && flow.carrier === 'udp') && (await isAnswered())
  }, `datagrams of ${from.name} to ${to.name} in packets`)
}
