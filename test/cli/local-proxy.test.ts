import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { LocalProxy, type LocalProxyOptions } from '../../src/cli/listeners/proxy/index.ts'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { decodeSocksDatagram, encodeSocksDatagram } from '../../src/listeners/index.ts'
import { FakeAgent } from '../client/fake-agent.ts'
import { waitFor } from '../harness/index.ts'

const UID = 1000
const NAME = 'dev.web.site.default.warren'

async function setUp(t: TestContext, options: Partial<LocalProxyOptions> = {}) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  const failures: unknown[] = []
  const opened: string[] = []
  const proxy = new LocalProxy({
    uidOf: () => UID,
    uids: new Set([UID]),
    open: (destination, signal) => {
      opened.push(destination)
      return connect(destination, { client, signal, explicitEnd: true })
    },
    explain: async (_err, destination) => `checks of ${destination}`,
    keepAliveMs: 0,
    onFailure: err => failures.push(err),
    ...options
  })
  t.after(() => proxy.close())
  const bound = await proxy.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 })
  const dial = (): Socket => {
    const socket = connectSocket({ host: '127.0.0.1', port: Number(bound.split(':')[1]), allowHalfOpen: true })
    t.after(() => socket.destroy())
    return socket
  }
  const serve = async (handler: (socket: Socket) => Promise<void>) => {
    await listen('dev.web.site.default', { client }, handler)
  }
  return { client, dial, serve, failures, opened, bound }
}

/** What comes until the end, or `until` is there. Does not fail: a reset is an end here. */
async function readAll(socket: Socket, until?: string): Promise<string> {
  let text = ''
  const done = Promise.withResolvers<void>()
  const onData = (chunk: Buffer): void => {
    text += chunk.toString('latin1')
    if (until !== undefined && text.includes(until)) done.resolve()
  }
  socket.on('data', onData)
  socket.once('end', done.resolve).once('close', done.resolve).on('error', done.resolve)
  await done.promise
  socket.off('data', onData)
  return text
}

function socksRequest(name: string, command = 1, port = 443): Buffer {
  return Buffer.concat([
    Buffer.from([5, command, 0, 3, name.length]),
    Buffer.from(name),
    Buffer.from([port >> 8, port & 0xff])
  ])
}

const GREETING = Buffer.from([5, 1, 0])
const reply = (code: number): string => String.fromCharCode(5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0)

const echo = async (socket: Socket): Promise<void> => {
  const text = await readAll(socket)
  socket.end(`got ${text}`)
}

test('a SOCKS client is connected, whatever pieces it speaks in, and what it sent ahead arrives', async t => {
  const { dial, serve } = await setUp(t)
  await serve(echo)
  const all = Buffer.concat([GREETING, socksRequest(NAME), Buffer.from('hello')])
  const atOnce = dial()
  atOnce.end(all)
  assert.equal(await readAll(atOnce), `${reply(0)}got hello`)
  const byByte = dial().setNoDelay(true)
  for (const byte of all) await new Promise(resolve => byByte.write(Buffer.of(byte), resolve))
  byByte.end()
  assert.equal(await readAll(byByte), `${reply(0)}got hello`)
})

test('a SOCKS client that asks for the port of HTTP is told why it is refused, and what is no HTTP sees its connection break', async t => {
  const { dial, failures } = await setUp(t, {
    open: async () => {
      throw new WarrenError(ErrorCode.Unauthorized, 'no rule <b>')
    },
    handshakeMs: 500
  })
  const answerTo = async (text: string): Promise<string> => {
    const socket = dial()
    socket.write(Buffer.concat([GREETING, socksRequest(NAME, 1, 80), Buffer.from(text)]))
    return await readAll(socket)
  }
  const head = `GET / HTTP/1.1\r\nHost: ${NAME}\r\n`
  const page = await answerTo(`${head}Accept: text/html\r\n\r\n${head}\r\n`)
  assert.ok(page.startsWith(`${reply(0)}HTTP/1.1 403 Forbidden\r\n`))
  // One answer, escaped for a browser, with the checks.
  assert.deepEqual([page.split('HTTP/1.1').length, page.includes('no rule &lt;b&gt;')], [2, true])
  assert.match(page, /checks of dev\.web\.site\.default/)
  assert.match(await answerTo(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`), /HTTP\/1\.1 403/)
  for (const other of ['\u0016\u0003\u0001\u0002', 'SSH-2.0-x\r\n', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', '']) {
    assert.equal(await answerTo(other), reply(0))
  }
  assert.equal(failures.filter(err => WarrenError.is(err, ErrorCode.Unauthorized)).length, 6)
})

test('a refusal is a code of SOCKS, and then the end', async t => {
  const refused = new Map<string, readonly [ErrorCode, number]>([
    ['dev.a.a.a.warren', [ErrorCode.Unauthorized, 2]],
    ['dev.b.b.b.warren', [ErrorCode.DestinationNotFound, 4]],
    ['dev.c.c.c.warren', [ErrorCode.DestinationUnreachable, 4]],
    ['dev.d.d.d.warren', [ErrorCode.Timeout, 6]],
    ['dev.e.e.e.warren', [ErrorCode.AgentNotRunning, 3]],
    ['dev.f.f.f.warren', [ErrorCode.CannotConnect, 1]]
  ])
  const { dial, failures, opened } = await setUp(t, {
    open: async destination => {
      throw new WarrenError(refused.get(`${destination}.warren`)?.[0] ?? ErrorCode.Internal, 'no')
    }
  })
  const answerTo = async (name: string, command?: number): Promise<string> => {
    const socket = dial()
    socket.write(Buffer.concat([GREETING, socksRequest(name, command)]))
    return await readAll(socket)
  }
  for (const [name, [code, socks]] of refused) {
    assert.equal(await answerTo(name), reply(socks), code)
    assert.ok(WarrenError.is(failures.pop(), code))
  }
  assert.equal(await answerTo('example.com'), reply(2))
  assert.equal(await answerTo(NAME, 2), reply(7))
  const socket = dial()
  socket.write(Buffer.concat([GREETING, Buffer.from([5, 1, 0, 1, 10, 0, 0, 1, 0, 80])]))
  assert.equal(await readAll(socket), reply(8))
  const insists = dial()
  insists.write(Buffer.from([5, 1, 2]))
  assert.equal(await readAll(insists), '\x05\xff')
  assert.deepEqual(opened, [])
})

test('nothing leads outside the mesh, in whatever form its name is given', async t => {
  const { dial, opened } = await setUp(t)
  const targets = [
    ...['example.com', 'example.com:80', '127.0.0.1:22', '[::1]:22', 'warren', '.warren', 'warren:80'],
    ...['dev.web.site.default', 'dev.web.site.default.warren.example.com', 'dev.web.*.default.warren'],
    ...['dev.{web,db}.site.default.warren', 'a.dev.web.site.default.m.warren', `${'a'.repeat(64)}.b.c.d.warren`]
  ]
  for (const target of targets) {
    for (const head of [
      `CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET http://${target}/ HTTP/1.1\r\nHost: x\r\n\r\n`
    ]) {
      const socket = dial()
      socket.write(head)
      assert.match(await readAll(socket), /^HTTP\/1\.1 40[03] /, head)
    }
  }
  for (const head of ['GET https://a.b.c.d.warren/', 'GET http://u:p@a.b.c.d.warren/', 'GET ftp://a.b.c.d.warren/']) {
    const socket = dial()
    socket.write(`${head} HTTP/1.1\r\nHost: x\r\n\r\n`)
    assert.match(await readAll(socket), /^HTTP\/1\.1 400 /, head)
  }
  assert.deepEqual(opened, [])
})

test('CONNECT makes a tunnel with ends of its own in each direction', async t => {
  const { dial, serve } = await setUp(t)
  await serve(echo)
  const socket = dial()
  socket.end(`CONNECT ${NAME}:443 HTTP/1.1\r\nHost: ${NAME}:443\r\n\r\nhello`)
  assert.equal(await readAll(socket), 'HTTP/1.1 200 Connection established\r\n\r\ngot hello')
})

test('a refused request gets a page with the checks, for a browser as HTML in which nothing is markup', async t => {
  const { dial, failures } = await setUp(t, {
    open: async () => {
      throw new WarrenError(ErrorCode.Unauthorized, 'no "rule" <b>', { hint: 'Try é\\.' })
    }
  })
  const ask = async (line: string, accept: string): Promise<string> => {
    const socket = dial()
    socket.write(`${line} HTTP/1.1\r\nHost: x\r\nAccept: ${accept}\r\n\r\n`)
    return await readAll(socket)
  }
  const lines = [`GET http://${NAME}/`, `CONNECT ${NAME}:443`]
  for (const line of lines) {
    const html = await ask(line, 'text/html,*/*')
    assert.match(html, /^HTTP\/1\.1 403 Forbidden\r\n/)
    assert.match(html, /no &quot;rule&quot; &lt;b&gt;/)
    assert.match(html, /checks of dev\.web\.site\.default/)
    assert.match(
      html,
      /\r\nProxy-Status: warren; error=http_request_denied; details="[^\r]*no \\"rule\\" <b>[^\r]*Try \?\\\\[^\r]*"\r\n/
    )
    assert.match(await ask(line, '*/*'), /text\/plain[\s\S]*UNAUTHORIZED: no "rule" <b>/)
  }
  assert.equal(failures.length, 4)
})

test('a request with an absolute URI reaches the server as one for it, without what is meant for the proxy', async t => {
  const { dial, serve } = await setUp(t)
  const heads: string[] = []
  await serve(async socket => {
    heads.push(await readAll(socket, '\r\n\r\n'))
    socket.end('HTTP/1.1 200 Fine\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
  })
  const socket = dial()
  const fields =
    'Host: other\r\nProxy-Authorization: secret\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Kept: 1\r\nTE: trailers'
  socket.write(`GET http://${NAME}:8080?q=A HTTP/1.1\r\n${fields}\r\n\r\n`)
  const answer = await readAll(socket, '\r\n\r\nok')
  assert.match(answer, /^HTTP\/1\.1 200 Fine\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 2\r\nVia: 1\.1 warren\r\n/)
  // The same connection takes the next request, which has a body of unknown length.
  const posted = `POST http://${NAME}/up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
  socket.write(posted)
  await readAll(socket, '\r\n\r\nok')
  const [first = '', second = ''] = heads
  assert.match(first, /^GET \/\?q=A HTTP\/1\.1\r\n/)
  assert.match(first, new RegExp(`\r\nHost: ${NAME}:8080\r\n`))
  assert.match(first, /\r\nX-Kept: 1\r\n/)
  assert.doesNotMatch(first, /secret|hop|other|TE:/i)
  assert.match(second, /^POST \/up HTTP\/1\.1\r\n[\s\S]*Transfer-Encoding: chunked\r\n/)
})

test('an answer that is cut is cut for the client too, and never looks whole', async t => {
  const { dial, serve } = await setUp(t)
  await serve(async socket => {
    await readAll(socket, '\r\n\r\n')
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', () => socket.destroy())
  })
  const socket = dial()
  socket.write(`GET http://${NAME}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  assert.doesNotMatch(await readAll(socket), /\r\n0\r\n/)
})

test('a client that does not say in time where it wants to go is disconnected', async t => {
  const { dial, opened } = await setUp(t, { handshakeMs: 100 })
  const beginnings = [
    '',
    '\x05',
    '\x05\x01\x00',
    '\x05\x01\x00\x05\x01\x00\x03',
    'G',
    `GET http://${NAME}/ HTTP/1.1\r\nX: `
  ]
  for (const beginning of beginnings) {
    const socket = dial()
    socket.write(Buffer.from(beginning, 'latin1'))
    await readAll(socket)
  }
  const slow = dial()
  const dripping = setInterval(() => slow.write('a'), 10)
  slow.write('GET http://')
  await readAll(slow)
  clearInterval(dripping)
  assert.deepEqual(opened, [])
})

test('time and bytes before each request of a connection are bounded', async t => {
  const { dial, serve } = await setUp(t, { handshakeMs: 300 })
  await serve(async socket => {
    await readAll(socket, '\r\n\r\n')
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
  })
  const socket = dial()
  socket.write(`GET http://${NAME}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readAll(socket, 'ok')
  socket.write('GET htt')
  await readAll(socket)
  const large = dial()
  large.write(`GET http://${NAME}/ HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`)
  assert.match(await readAll(large), /^HTTP\/1\.1 431 /)
})

test('a user has so many connections and no more, and gets them back', async t => {
  const { dial, failures } = await setUp(t, { maxPerUid: 2 })
  const held = [dial(), dial()]
  for (const socket of held) {
    socket.write(GREETING)
    await once(socket, 'readable')
  }
  const third = dial()
  third.write(GREETING)
  assert.equal(await readAll(third), '')
  assert.ok(WarrenError.is(failures[0], ErrorCode.LimitExceeded))
  for (const socket of held) socket.resetAndDestroy()
  await waitFor(async () => {
    const socket = dial()
    socket.write(GREETING)
    return (await readAll(socket, '\x05\0')) === '\x05\0' ? 'served' : undefined
  }, 'a place')
})

test('another user is told so in his own protocol, and one whom the kernel does not name gets nothing', async t => {
  const { dial, opened } = await setUp(t, { uidOf: () => UID + 1 })
  const http = dial()
  http.write(`GET http://${NAME}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  assert.match(await readAll(http), /^HTTP\/1\.1 403 [\s\S]*uid 1001 may not use this proxy/)
  const socks = dial()
  socks.write(GREETING)
  assert.equal(await readAll(socks), '\x05\xff')
  const unknown = await setUp(t, {
    uidOf: () => {
      throw new WarrenError(ErrorCode.PermissionDenied, 'the caller has gone')
    }
  })
  const socket = unknown.dial()
  socket.write(GREETING)
  assert.equal(await readAll(socket), '')
  assert.deepEqual([...opened, ...unknown.opened], [])
})

test('whatever a client sends, the proxy serves the next one', async t => {
  const { dial, serve } = await setUp(t, { handshakeMs: 200 })
  await serve(echo)
  const beginning = fc.constantFrom(
    '',
    '\x05',
    '\x05\x01\0',
    '\x05\x01\0\x05\x01\0',
    'CONNECT ',
    `GET http://${NAME}/`,
    'GET / HTTP/1.1\r\n'
  )
  const pieces = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(beginning, pieces, fc.boolean(), async (first, rest, ends) => {
      const socket = dial()
      const ended = readAll(socket)
      socket.write(Buffer.from(first, 'latin1'))
      for (const piece of rest) socket.write(piece)
      if (ends) socket.end()
      await ended
      socket.destroy()
    }),
    { numRuns: 150 }
  )
  const socket = dial()
  socket.end(Buffer.concat([GREETING, socksRequest(NAME), Buffer.from('hello')]))
  assert.equal(await readAll(socket), `${reply(0)}got hello`)
})

test('a browser is sent here for names of the mesh alone', async t => {
  const { dial, bound } = await setUp(t)
  const ask = async (path: string): Promise<string> => {
    const socket = dial()
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${bound}\r\nConnection: close\r\n\r\n`)
    return await readAll(socket)
  }
  const pac = await ask('/proxy.pac')
  assert.match(pac, /^HTTP\/1\.1 200 [\s\S]*application\/x-ns-proxy-autoconfig/)
  const source = pac.slice(pac.indexOf('function'))
  const find = new Function('dnsDomainIs', `${source}; return FindProxyForURL`)((host: string, domain: string) =>
    host.endsWith(domain)
  ) as (url: string, host: string) => string
  assert.equal(find(`http://${NAME}/`, NAME), `PROXY ${bound}; SOCKS5 ${bound}`)
  assert.equal(find('http://example.com/', 'example.com'), 'DIRECT')
  assert.match(await ask('/'), /^HTTP\/1\.1 404 [\s\S]*This is a proxy, and not a site/)
})

/** A flow that echoes, and remembers what was sent. */
class EchoFlow extends EventEmitter {
  readonly sent: string[] = []
  isClosed = false

  send(payload: Buffer): boolean {
    const copy = Buffer.from(payload)
    this.sent.push(String(copy))
    setImmediate(() => this.emit('message', copy))
    return true
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.emit('close')
  }
}

/** Associations of one user, whose datagrams are those of all sockets but `foreign`. */
async function setUpDatagrams(t: TestContext) {
  const flows = new Map<string, EchoFlow>()
  const foreign = new Set<number>()
  const asked = { foreign: 0 }
  const datagrams = {
    uidOfSender: ({ port }: { readonly port: number }) => {
      if (!foreign.has(port)) return UID
      asked.foreign += 1
      return UID + 1
    },
    onDrops: () => {},
    open: async (destination: string) => {
      if (destination === 'dev.no.no.no') throw new WarrenError(ErrorCode.Unauthorized, 'no rule')
      const flow = new EchoFlow()
      flows.set(destination, flow)
      return flow
    }
  }
  const { dial, failures } = await setUp(t, { datagrams })
  /** The answer to UDP ASSOCIATE, with the connection that it lasts as long as. */
  const associate = async (port = 0) => {
    const control = dial()
    control.write(Buffer.concat([GREETING, Buffer.from([5, 3, 0, 1, 0, 0, 0, 0, port >> 8, port & 0xff])]))
    const chunks: Buffer[] = []
    while (Buffer.concat(chunks).length < 12) chunks.push((await once(control, 'data'))[0] as Buffer)
    const answer = Buffer.concat(chunks).subarray(2)
    return { control, code: answer[1], relay: { host: answer.subarray(4, 8).join('.'), port: answer.readUInt16BE(8) } }
  }
  const socketOf = async (): Promise<UdpSocket> => {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    t.after(() => socket.close())
    return socket
  }
  return { dial, failures, flows, foreign, asked, associate, socketOf }
}

const toRelay = (socket: UdpSocket, relay: { readonly host: string; readonly port: number }, bytes: Buffer): void =>
  socket.send(bytes, relay.port, relay.host)

test('datagrams of a SOCKS client reach the names that they have, and answers come from these names', async t => {
  const { flows, failures, associate, socketOf } = await setUpDatagrams(t)
  const { code, relay, control } = await associate()
  assert.deepEqual([code, relay.host], [0, '127.0.0.1'])
  const socket = await socketOf()
  for (const name of ['dev.web.one.default.warren', 'dev.web.two.default.warren']) {
    toRelay(socket, relay, encodeSocksDatagram(name, 53, Buffer.from(`to ${name}`)))
    const [answer] = (await once(socket, 'message')) as [Buffer]
    assert.deepEqual(decodeSocksDatagram(answer), {
      kind: 'datagram',
      name,
      port: 53,
      payload: Buffer.from(`to ${name}`)
    })
  }
  toRelay(socket, relay, encodeSocksDatagram('dev.no.no.no.warren', 53, Buffer.from('refused')))
  toRelay(socket, relay, encodeSocksDatagram('example.com', 53, Buffer.from('elsewhere')))
  await waitFor(() => failures.length === 2, 'both refusals')
  assert.ok(failures.every(err => WarrenError.is(err, ErrorCode.Unauthorized)))
  assert.deepEqual([...flows.keys()], ['dev.web.one.default', 'dev.web.two.default'])
  const closed = once(control.resume(), 'close')
  control.end()
  await waitFor(() => [...flows.values()].every(flow => flow.isClosed), 'the flows to end with the connection')
  await closed
})

test('a port for datagrams takes those of its user from one port, in whole pieces, and no others', async t => {
  const { flows, foreign, failures, associate, socketOf } = await setUpDatagrams(t)
  const { relay } = await associate()
  const [other, own, second] = await Promise.all([socketOf(), socketOf(), socketOf()])
  foreign.add(other.address().port)
  const whole = (text: string): Buffer => encodeSocksDatagram(NAME, 53, Buffer.from(text))
  const fragment = whole('fragment')
  fragment[2] = 1
  toRelay(other, relay, whole('of another user'))
  await waitFor(() => failures.length === 1, 'the refusal of another user')
  toRelay(own, relay, fragment)
  toRelay(own, relay, whole('first'))
  await once(own, 'message')
  toRelay(second, relay, whole('from another port'))
  toRelay(other, relay, whole('of another user'))
  toRelay(own, relay, whole('last'))
  await once(own, 'message')
  assert.deepEqual(flows.get('dev.web.site.default')?.sent, ['first', 'last'])
  // Each kind is said once.
  await waitFor(() => failures.length === 3, 'three refusals')
  const { relay: next } = await associate(second.address().port)
  toRelay(own, next, whole('from another port than was said'))
  toRelay(second, next, whole('said before'))
  await once(second, 'message')
  assert.deepEqual(flows.get('dev.web.site.default')?.sent, ['said before'])
})

test('who takes the port of a client gets no answers that are meant for it', async t => {
  const { flows, foreign, asked, associate, socketOf } = await setUpDatagrams(t)
  const { relay } = await associate()
  const socket = await socketOf()
  const send = (text: string): void => toRelay(socket, relay, encodeSocksDatagram(NAME, 53, Buffer.from(text)))
  send('question')
  await once(socket, 'message')
  foreign.add(socket.address().port)
  const got: string[] = []
  socket.on('message', bytes => got.push(String(bytes.subarray(-6))))
  // The answer of the kernel counts for a millisecond.
  await new Promise(resolve => setTimeout(resolve, 2))
  const flow = flows.get('dev.web.site.default')
  flow?.emit('message', Buffer.from('secret'))
  assert.equal(asked.foreign, 1)
  send('forged')
  await waitFor(() => asked.foreign > 1, 'the kernel to be asked')
  foreign.clear()
  send('again!')
  await waitFor(() => got.includes('again!'), 'the next answer')
  assert.deepEqual([got, flow?.sent], [['again!'], ['question', 'again!']])
})

test('a user has so many ports for datagrams and no more, and gets them back', async t => {
  const { associate, dial, failures } = await setUpDatagrams(t)
  const all = await Promise.all(Array.from({ length: 64 }, () => associate()))
  assert.equal(new Set(all.map(({ relay }) => relay.port)).size, 64)
  const denied = dial()
  denied.write(Buffer.concat([GREETING, socksRequest(NAME, 3)]))
  assert.equal(await readAll(denied), reply(1))
  assert.ok(WarrenError.is(failures.pop(), ErrorCode.LimitExceeded))
  all[0]?.control.destroy()
  await waitFor(async () => {
    const socket = dial()
    socket.write(Buffer.concat([GREETING, socksRequest(NAME, 3)]))
    const answer = await readAll(socket, String.fromCharCode(5, 0, 5, 0))
    return answer.startsWith(String.fromCharCode(5, 0, 5, 0))
  }, 'room')
})
