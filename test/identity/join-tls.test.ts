import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  type JoinToken,
  join,
  keyToPem,
  serveJoin,
  toPem
} from '../../src/identity/index.ts'
import { create, encodeFrame, identityPb, toBinary } from '../../src/wire/index.ts'
import { code, domain, forever, founder, type Setup, setUp } from './authority.ts'
import { NOW_MS } from './domain.ts'

/** A TLS listener that shows `setup`'s certificate; ended with the test. Returns its address. */
async function listening(t: TestContext, setup: Setup, serve: (socket: TLSSocket) => void): Promise<string> {
  const { leaf, leafKey } = setup
  const [cert, key] = [toPem(leaf), keyToPem(leafKey)]
  const server = createServer({ minVersion: 'TLSv1.3', ALPNProtocols: [JOIN_ALPN], cert, key })
  const sockets = new Set<TLSSocket>()
  server.on('secureConnection', socket => {
    sockets.add(socket.on('error', () => {}))
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function joinOver(token: JoinToken) {
  return join({
    token,
    peerKey: generatePeerKeyPair(),
    nodeKey: generateSigningKeyPair(),
    connect: async (address, signal) => {
      const [host, port] = address.split(':')
      const options = { host, port: Number(port), ALPNProtocols: [JOIN_ALPN], rejectUnauthorized: false }
      const stream = connect({ ...options, minVersion: 'TLSv1.3' })
      await once(stream, 'secureConnect', { signal })
      return { stream, peerCertificate: stream.getPeerX509Certificate()?.raw ?? new Uint8Array() }
    },
    nowMs: () => NOW_MS,
    signal: forever
  })
}

test('a host joins over TLS', async t => {
  const setup = await setUp()
  const address = await listening(t, setup, socket => void serveJoin(socket, setup.authority, forever))
  const { node } = await joinOver(setup.token({ authorityAddresses: [address] }))
  assert.equal(node.machine, 'b')
})

test('of many hosts that use one token at once, over TLS, exactly one is admitted', async t => {
  const setup = await setUp()
  const address = await listening(t, setup, socket => void serveJoin(socket, setup.authority, forever))
  const token = setup.token({ authorityAddresses: [address] })
  const results = await Promise.allSettled(Array.from({ length: 12 }, () => joinOver(token)))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const result of results) {
    if (result.status === 'rejected') assert.ok(code('TOKEN_REFUSED', /already used/)(result.reason))
  }
})

test('whoever shows the true chain without having its key receives nothing at all', async t => {
  const truth = await setUp()
  const impostor = await setUp(domain, await domain.host('member'))
  const chain = [truth.leaf, ...founder.chain]
  const hello = toBinary(identityPb.JoinHelloSchema, create(identityPb.JoinHelloSchema, { certificateChain: chain }))
  const received: Buffer[] = []
  const ended = Promise.withResolvers<void>()
  const address = await listening(t, impostor, socket => {
    socket.on('data', (chunk: Buffer) => received.push(chunk)).on('close', ended.resolve)
    socket.write(encodeFrame(hello))
  })
  const token = truth.token({ authorityAddresses: [address] })
  await assert.rejects(joinOver(token), code('JOIN_FAILED', /than TLS proved/))
  await ended.promise
  assert.equal(Buffer.concat(received).length, 0)
  assert.equal(truth.tokens.usesOf(token.id).length, 0)
})

test('a lost connection after the request is not taken for an answer', async t => {
  const setup = await setUp()
  const hello = create(identityPb.JoinHelloSchema, { certificateChain: [setup.leaf, ...founder.chain] })
  const address = await listening(t, setup, socket => {
    socket.write(encodeFrame(toBinary(identityPb.JoinHelloSchema, hello)))
    socket.once('data', () => socket.destroy())
  })
  const token = setup.token({ authorityAddresses: [address] })
  await assert.rejects(joinOver(token), code('JOIN_FAILED', /127\.0\.0\.1/))
})

test('a port at which nobody or something else listens is named in the failure', async t => {
  const setup = await setUp()
  const closed = await listening(t, setup, socket => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
  const token = setup.token({ authorityAddresses: ['127.0.0.1:1', closed], secret: randomBytes(32) })
  await assert.rejects(joinOver(token), code('JOIN_FAILED', new RegExp(`127\\.0\\.0\\.1:1: .*; ${closed}: `)))
})
