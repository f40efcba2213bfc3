import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { dialAgent } from '../../src/ca/membership/dial.ts'
import { requireTlsGroups } from '../../src/core/index.ts'
import { hostsJoinedBy } from './support/carriers.ts'
import { agentCredentials } from './support/pki.ts'
import { dial, readBytes } from './support/sockets.ts'
import { readClientHello, readServerHello, X25519MLKEM768 } from './support/tls-hello.ts'
import { World } from './support/world.ts'

const NAME = 'dev.test.server.default'

/** A network in between that keeps what each side said. */
async function tap(world: World, address: string): Promise<{ address: string; client: Buffer[]; server: Buffer[] }> {
  const [host = '', port = ''] = address.split(':')
  const [client, server]: [Buffer[], Buffer[]] = [[], []]
  const listener = createServer(inner => {
    const outer = connectTcp({ host, port: Number(port) })
    for (const socket of [inner, outer]) socket.on('error', () => {})
    inner.on('data', (chunk: Buffer) => client.push(chunk)).pipe(outer)
    outer.on('data', (chunk: Buffer) => server.push(chunk)).pipe(inner)
  })
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  world.defer(() => void listener.close())
  const bound = listener.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound')
  return { address: `127.0.0.1:${bound.port}`, client, server }
}

describe('the keys of a TLS connection between two agents', () => {
  for (const carrier of ['direct', 'mesh'] as const) {
    it(`are agreed on with X25519MLKEM768 and nothing else is offered, over ${carrier}`, async () => {
      await using world = await World.create()
      const [near, far] = await hostsJoinedBy(world, carrier)
      let [client, server]: [Buffer[], Buffer[]] = [[], []]
      if (carrier === 'direct') {
        const tapped = await tap(world, far.dataAddresses[0] ?? '')
        far.dataAddresses = [tapped.address]
        ;({ client, server } = tapped)
      } else {
        const open = near.openStream
        near.openStream = async peer => {
          const stream = await open(peer)
          const write = stream._write.bind(stream)
          stream._write = (chunk: Buffer, encoding, callback) => {
            client.push(chunk)
            write(chunk, encoding, callback)
          }
          const push = stream.push.bind(stream)
          stream.push = (chunk: Buffer | null) => {
            if (chunk !== null) server.push(chunk)
            return push(chunk)
          }
          return stream
        }
      }
      await far.serve(NAME, socket => socket.pipe(socket))
      const { path } = await near.connect(near.register('dev.test.client.default'), NAME)
      const socket = await dial(path)
      socket.write('x')
      await readBytes(socket, 1)
      const offered = readClientHello(Buffer.concat(client))
      assert.deepEqual(offered, { groups: [X25519MLKEM768], shares: [X25519MLKEM768] })
      assert.equal(readServerHello(Buffer.concat(server)), X25519MLKEM768)
      socket.destroy()
    })
  }

  it('are not agreed on with another group by a host that joins or renews', async () => {
    await using world = await World.create()
    const { certPem, key } = await agentCredentials(await world.pki.node('gamma'))
    const listen = async (ecdhCurve: string): Promise<string> => {
      const options = { cert: certPem, key: key.export({ type: 'pkcs8', format: 'pem' }), ecdhCurve }
      const server = createTlsServer({ ...options, ALPNProtocols: ['warren-join/1'] }, socket => {
        socket.on('error', () => {})
      })
      server.on('tlsClientError', () => {})
      await once(server.listen(0, '127.0.0.1'), 'listening')
      world.defer(() => void server.close())
      const bound = server.address()
      if (bound === null || typeof bound === 'string') throw new Error('not bound')
      return `127.0.0.1:${bound.port}`
    }
    const attempt = async (groups: string) =>
      await dialAgent(await listen(groups), 'warren-join/1', AbortSignal.timeout(10_000))
    await assert.rejects(attempt('X25519:P-256'), /handshake failure/)
    const { stream } = await attempt('X25519:X25519MLKEM768')
    stream.destroy()
  })

  it('need a TLS library that knows the group: without it an agent says so at its start', () => {
    requireTlsGroups()
    assert.throws(() => requireTlsGroups('no-such-group'), { code: 'UNSUPPORTED', message: /does not know/ })
  })
})
