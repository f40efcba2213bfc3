import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { duplexPair } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { WarrenError } from '../../src/core/index.ts'
import { generateSigningKeyPair, issueRoot, toPem } from '../../src/identity/index.ts'
import type { TlsCredentials } from '../../src/proxy/index.ts'
import { waitFor } from '../harness/wait-for.ts'
import { svidOf, TestPki } from './support/pki.ts'
import { type Host, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const SPIFFE = 'spiffe://test.example/dev/test/client/default/alpha'

describe('at the data port', () => {
  let world: World
  let near: Host
  let far: Host
  let id: string
  let reached = 0
  let joined = 0
  before(async () => {
    world = await World.create()
    near = await world.host('alpha')
    far = await world.host('beta', {
      join: async socket => {
        joined += 1
        socket.end('welcome')
      }
    })
    near.register('dev.test.client.default')
    const served = await far.serve(NAME, () => {
      reached += 1
    })
    id = served.id
  })
  after(() => world[Symbol.asyncDispose]())

  function tls(options: ConnectionOptions): TLSSocket {
    const [host = '', port = ''] = (far.dataAddresses[0] ?? '').split(':')
    const socket = connectTls({
      host,
      port: Number(port),
      servername: id.slice(0, 32),
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      ...options
    })
    socket.on('error', () => {})
    return socket
  }

  const shown = ({ certPem, key }: TlsCredentials): ConnectionOptions => ({
    cert: certPem,
    key: key.export({ type: 'pkcs8', format: 'pem' })
  })

  /** Status of a request for a flow, or 'closed' if nothing is answered. */
  async function ask(options: ConnectionOptions, headers: Record<string, string> = {}): Promise<number | 'closed'> {
    const socket = tls(options)
    const session = connectHttp2('https://agent', { createConnection: () => socket })
    session.on('error', () => {})
    try {
      return await new Promise(resolve => {
        session.once('close', () => resolve('closed'))
        socket.once('close', () => resolve('closed'))
        const stream = session.request({
          ':method': 'CONNECT',
          ':authority': id,
          'warren-destination': `${NAME}.beta`,
          'warren-protocol': 'tcp',
          ...headers
        })
        stream.on('error', () => {})
        stream.once('response', answer => resolve(Number(answer[':status'])))
      })
    } finally {
      session.destroy()
      socket.destroy()
    }
  }

  it('a member is answered', async () => {
    assert.equal(await ask(shown(await svidOf(near.node, SPIFFE))), 200)
    assert.equal(reached, 1)
  })

  it('who shows no certificate gets no answer', async () => {
    assert.equal(await ask({}), 'closed')
  })

  it('who signed for itself gets no answer', async () => {
    const key = generateSigningKeyPair()
    const certificate = await issueRoot({ trustDomain: 'test.example', key, nowMs: Date.now() })
    assert.equal(await ask(shown({ certPem: toPem(certificate), key })), 'closed')
  })

  it('a member of another trust domain of the same name gets no answer', async () => {
    const other = await (await TestPki.create()).node('alpha')
    assert.equal(await ask(shown(await svidOf(other, SPIFFE))), 'closed')
  })

  it('an expired certificate gets no answer', async () => {
    const past = { nowMs: Date.now() - 7_200_000, lifetimeMs: 3_600_000 }
    assert.equal(await ask(shown(await svidOf(near.node, SPIFFE, past))), 'closed')
  })

  it('a certificate for a workload of a machine that did not sign it gets no answer', async () => {
    const gamma = await world.pki.node('gamma')
    assert.equal(await ask(shown(await svidOf(gamma, SPIFFE))), 'closed')
  })

  it('the certificate of an agent gets no answer', async () => {
    const agent = await svidOf(near.node, 'spiffe://test.example/warren/agent/alpha')
    assert.equal(await ask(shown(agent)), 'closed')
  })

  it('TLS 1.2 gets no answer', async () => {
    const options = shown(await svidOf(near.node, SPIFFE))
    assert.equal(await ask({ ...options, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), 'closed')
  })

  it('an unknown protocol gets no answer', async () => {
    const socket = tls({ ...shown(await svidOf(near.node, SPIFFE)), ALPNProtocols: ['http/1.1'] })
    await new Promise<void>(resolve => socket.once('close', () => resolve()))
  })

  it('plain text gets no answer', async () => {
    const [host = '', port = ''] = (far.dataAddresses[0] ?? '').split(':')
    const socket = connectTcp({ host, port: Number(port) })
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\n\r\n')
    let bytes = 0
    socket.on('data', chunk => {
      bytes += chunk.length
    })
    await new Promise<void>(resolve => socket.once('close', () => resolve()))
    // A TLS alert at most.
    assert.ok(bytes <= 7, `${bytes} bytes were answered`)
  })

  it('a session cannot be resumed', async () => {
    const options = shown(await svidOf(near.node, SPIFFE))
    const socket = tls(options)
    const sessions: Buffer[] = []
    socket.on('session', session => sessions.push(session))
    await new Promise<void>(resolve => socket.once('secureConnect', () => resolve()))
    const http = connectHttp2('https://agent', { createConnection: () => socket })
    http.on('error', () => {})
    await new Promise<void>(resolve => http.once('remoteSettings', () => resolve()))
    const remembered = sessions[0] ?? socket.getSession()
    http.destroy()
    socket.destroy()
    assert.equal(await ask({ ...(remembered === undefined ? {} : { session: remembered }) }), 'closed')
  })

  it('a joiner is served without a certificate, and only by the join exchange', async () => {
    const socket = tls({ ALPNProtocols: ['warren-join/1'], servername: '' })
    let text = ''
    socket.setEncoding('utf8')
    for await (const chunk of socket) text += String(chunk)
    assert.equal(text, 'welcome')
    assert.equal(joined, 1)
  })

  it('a member is refused a registration other than the one whose certificate it asked for', async () => {
    const other = far.register('dev.test.third.default', { kind: 'tcp', host: '127.0.0.1', port: 1, server: undefined })
    const headers = { ':authority': other.id, 'warren-destination': 'dev.test.third.default.beta' }
    assert.equal(await ask(shown(await svidOf(near.node, SPIFFE)), headers), 400)
  })

  it('a member is refused a malformed request', async () => {
    const options = shown(await svidOf(near.node, SPIFFE))
    assert.equal(await ask(options, { 'warren-destination': '../../etc/passwd' }), 400)
    assert.equal(await ask(options, { 'warren-protocol': 'sctp' }), 400)
    assert.equal(await ask(options, { 'warren-destination': `${NAME}.alpha` }), 404)
  })

  it('a source that is not registered is refused', async () => {
    const spiffeId = 'spiffe://test.example/dev/test/nobody/default/alpha'
    assert.equal(await ask(shown(await svidOf(near.node, spiffeId))), 401)
  })

  it('connections that do not shake hands are bounded, and the oldest makes room', async () => {
    const host = await world.host('delta', { limits: { pendingHandshakes: 3, pendingHandshakesPerHost: 2 } })
    const [name = '', port = ''] = (host.dataAddresses[0] ?? '').split(':')
    const sockets: Socket[] = []
    for (let count = 0; count < 3; count += 1) {
      const socket = connectTcp({ host: name, port: Number(port) })
      sockets.push(socket.on('error', () => {}))
      await once(socket, 'connect')
    }
    await once(sockets[0]!, 'close')
    assert.deepEqual([...new Set(host.hits)], ['proxy_pending_handshakes_per_host'])
    assert.deepEqual(
      sockets.map(socket => socket.destroyed),
      [true, false, false]
    )
    for (const socket of sockets) socket.destroy()
  })

  it('one address fills no log of refused handshakes, and leaves lines to others', async () => {
    const host = await world.host('zeta')
    const [, port = ''] = (host.dataAddresses[0] ?? '').split(':')
    const refusals = () =>
      host.lines.filter(({ level, message }) => level === 'warn' && message === 'handshake at the data port failed')
    const speak = async (localAddress: string): Promise<void> => {
      const socket = connectTcp({ host: '127.0.0.1', port: Number(port), localAddress }).on('error', () => {})
      socket.resume().write('GET / HTTP/1.1\r\n\r\n')
      await once(socket, 'close')
    }
    for (let count = 0; count < 40; count += 1) await speak('127.0.0.2')
    await speak('127.0.0.3')
    await waitFor(() => refusals().length > 10, 'the refusals in the log')
    const from = (address: string): number =>
      refusals().filter(({ fields }) => fields.remote?.startsWith(`${address} `) === true).length
    assert.equal(from('127.0.0.2'), 10)
    assert.equal(from('127.0.0.3'), 1)
  })

  it('streams of admitted hosts have places of their own', async () => {
    const host = await world.host('epsilon', { limits: { pendingHandshakes: 1, pendingHandshakesPerHost: 1 } })
    const [name = '', port = ''] = (host.dataAddresses[0] ?? '').split(':')
    const stranger = connectTcp({ host: name, port: Number(port) })
    await once(stranger, 'connect')
    const [stream, theirs] = duplexPair()
    host.proxy.acceptCarrier(theirs, near.node.peer)
    stream.write('no handshake')
    await once(theirs, 'close')
    assert.deepEqual(host.hits, [])
    stranger.destroy()
  })

  it('a joiner is answered LIMIT_EXCEEDED where all places are busy, and a silent one makes room', async () => {
    const served: Array<() => void> = []
    const host = await world.host('zeta', {
      limits: { joins: 1, joinsPerHost: 1 },
      join: async (socket, _signal, requireRoom) => {
        const [request] = await once(socket, 'data')
        try {
          requireRoom()
          await new Promise<void>(resolve => served.push(resolve))
          socket.end(`welcome, ${String(request)}`)
        } catch (err) {
          socket.end(err instanceof WarrenError ? err.code : 'another error')
        }
      }
    })
    const [name = '', port = ''] = (host.dataAddresses[0] ?? '').split(':')
    const joiner = async (): Promise<TLSSocket> => {
      const options = { host: name, port: Number(port), ALPNProtocols: ['warren-join/1'], rejectUnauthorized: false }
      const socket = connectTls(options).on('error', () => {})
      await once(socket, 'secureConnect')
      return socket
    }
    const silent = await joiner()
    const busy = await joiner()
    busy.write('busy')
    await Promise.all([once(silent.resume(), 'close'), waitFor(() => served.length === 1, 'the busy one to be served')])
    const refused = await joiner()
    refused.write('refused')
    assert.equal(await textOf(refused), 'LIMIT_EXCEEDED')
    served[0]?.()
    assert.equal(await textOf(busy), 'welcome, busy')
  })
})
