import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { asRoot, Program, type Scope, type Status, scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

const OWN = process.getuid?.() ?? 0
const COUNT = 50
/** www-data and the like: any user but those of the agent. */
const OTHER = 4_711

interface Item {
  readonly kind?: string
  readonly name?: string
  readonly place?: string
  readonly problem?: string
}

type WithItems = Status & {
  readonly declared?: number
  readonly declaredRunning?: number
  readonly waitingItems?: readonly Item[]
  readonly reloadProblem?: string
}

async function statusOf(agent: TestAgent): Promise<WithItems> {
  return (await agent.status()) as WithItems
}

async function listen(scope: Scope, onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, onConnection)
  scope.defer(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { server, port: (server.address() as { port: number }).port }
}

const echo = (socket: Socket): void => void socket.on('error', () => {}).pipe(socket)

/** A port that nobody has at the moment. */
async function freePort(scope: Scope): Promise<number> {
  const { server, port } = await listen(scope, () => {})
  await new Promise(resolve => server.close(resolve))
  return port
}

/** A configuration file, readable for every user and writable for root alone. */
function configFile(scope: Scope): string {
  const directory = scope.directory()
  chmodSync(directory, 0o755)
  return join(directory, 'warren.yaml')
}

function write(file: string, content: object): void {
  writeFileSync(file, JSON.stringify(content))
}

/** A client that writes a pattern of bytes, and checks that each comes back in its place. */
class Stream {
  readonly socket: Socket
  received = 0
  wrong = 0
  isClosed = false
  #sent = 0

  constructor(scope: Scope, path: string) {
    this.socket = connect(path)
    scope.defer(() => this.socket.destroy())
    this.socket
      .on('error', () => {})
      .on('close', () => {
        this.isClosed = true
      })
    this.socket.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte !== patternAt(this.received++)) this.wrong += 1
      this.#write()
    })
    this.socket.once('connect', () => this.#write())
  }

  #write(): void {
    // A few pieces are always under way.
    while (this.#sent - this.received < 4_096 && !this.socket.destroyed) {
      const from = this.#sent
      this.#sent += 1_021
      this.socket.write(Buffer.from(Array.from({ length: 1_021 }, (_, index) => patternAt(from + index))))
    }
  }
}

function patternAt(offset: number): number {
  return (offset * 31 + (offset >> 8)) & 0xff
}

/** An agent with fifty services and fifty forwards in files, and a stream through each forward. */
async function fifty(scope: Scope) {
  const { port } = await listen(scope, echo)
  const file = configFile(scope)
  const sockets = scope.directory()
  const parts = join(dirname(file), 'conf.d')
  mkdirSync(parts)
  const pathOf = (index: number): string => join(sockets, `${index}.sock`)
  const writeAll = (label: string, source: string): void => {
    const services = Array.from({ length: COUNT }, (_, index) => ({
      address: `prod.echo.s${index}.default`,
      user: OWN,
      tcp: `127.0.0.1:${port}`,
      ...(index === 0 && { labels: { version: label } })
    }))
    const forwards = Array.from({ length: COUNT }, (_, index) => ({
      destination: `prod.echo.s${index}.default`,
      listen: `unix:${pathOf(index)}`,
      as: index === 0 ? source : `prod.shop.c${index % 5}.default`,
      user: OWN
    }))
    write(file, { services })
    write(join(parts, 'forwards.yaml'), { forwards })
  }
  writeAll('1', 'prod.shop.first.default')
  const agent = new TestAgent(scope, { name: 'a', args: ['--config', file] })
  await agent.start(['--init', 'example.org', '--config', file])
  await agent.allow('prod.shop.*.*', 'prod.echo.*.*')
  const running = async (): Promise<void> => {
    await waitFor(async () => (await statusOf(agent)).declaredRunning === 2 * COUNT, 'all items to run')
  }
  await running()
  const streams = (): Stream[] => Array.from({ length: COUNT }, (_, index) => new Stream(scope, pathOf(index)))
  return { agent, writeAll, running, streams }
}

test('a reload after one of fifty has changed touches no connection of the other forty-nine', async t => {
  const { agent, writeAll, streams: open } = await fifty(scopeOf(t))
  const streams = open()
  const carry = async (bytes: number, of: readonly Stream[]): Promise<void> => {
    const until = of.map(({ received }) => received + bytes)
    await waitFor(() => of.every(({ received }, index) => received >= (until[index] ?? 0)), 'bytes to come back')
  }
  await carry(20_000, streams)
  writeAll('2', 'prod.shop.other.default')
  assert.deepEqual(JSON.parse(await agent.cli('reload', '--json')), {
    services: { added: 0, removed: 0, changed: 1, unchanged: COUNT - 1 },
    forwards: { added: 0, removed: 0, changed: 1, unchanged: COUNT - 1 },
    needRestart: []
  })
  const [first, ...others] = streams
  await waitFor(() => first?.isClosed === true, 'the end of the one that has changed')
  await carry(20_000, others)
  assert.deepEqual(
    others.map(({ wrong, isClosed }) => ({ wrong, isClosed })),
    others.map(() => ({ wrong: 0, isClosed: false }))
  )
})

test('after kill -9 and a start everything that files declare is back without a hand', async t => {
  const { agent, running, streams } = await fifty(scopeOf(t))
  await agent.kill()
  await agent.start()
  await running()
  const again = streams()
  await waitFor(() => again.every(({ received }) => received > 10_000), 'bytes through each forward')
  assert.ok(again.every(({ wrong }) => wrong === 0))
})

test('a service of a file is reached from a second host, once an entry grants it to its user', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const web = new Program(scope, [
    process.execPath,
    '-e',
    `process.setgid(${OTHER}); process.setuid(${OTHER})
     require('node:http').createServer((_, response) => response.end('hello from a')).listen(0, '127.0.0.1', function () {
       console.log(this.address().port)
     })`
  ])
  const [port] = await web.says(/^\d+$/m)
  const [fileA, fileB] = [configFile(scope), configFile(scope)]
  write(fileA, { services: [{ address: 'prod.shop.web.default', user: OTHER, tcp: `127.0.0.1:${port}` }] })
  await a.stop()
  await a.start(['--config', fileA])
  const waiting = await waitFor(async () => (await statusOf(a)).waitingItems?.[0], 'the service to wait')
  assert.match(waiting.problem ?? '', /PERMISSION_DENIED: no entry grants prod\.shop\.web\.default\.a to uid 4711/)
  assert.match(waiting.problem ?? '', /warren entry add --machine a --uid 4711 prod\.shop\.web\.default/)
  assert.equal(waiting.place, `${fileA}:1`)
  assert.match(await a.cli('status'), /WAITING +service prod\.shop\.web\.default tcp .*PERMISSION_DENIED/)

  // An entry for an executable is none for what has no process.
  await a.cli(
    'entry',
    'add',
    '--machine',
    'a',
    '--uid',
    String(OTHER),
    '--exe',
    process.execPath,
    'prod.shop.web.default'
  )
  await waitFor(
    async () => /what a file declares has no process/.test((await statusOf(a)).waitingItems?.[0]?.problem ?? ''),
    'the reason why that entry does not count'
  )
  await a.cli('entry', 'add', '--machine', 'a', '--uid', String(OTHER), 'prod.shop.web.default')
  await waitFor(async () => (await statusOf(a)).declaredRunning === 1, 'the service to run')

  await a.allow('prod.shop.browser.default', 'prod.shop.web.default')
  const local = await freePort(scope)
  const destination = 'prod.shop.web.default'
  write(fileB, {
    forwards: [{ destination, listen: `127.0.0.1:${local}`, as: 'prod.shop.browser.default', user: OWN }]
  })
  await b.stop()
  await b.start(['--config', fileB])
  await b.follows(a)
  await b.knows('prod.shop.web.default')
  const answer = await fetch(`http://127.0.0.1:${local}/`)
  assert.equal(await answer.text(), 'hello from a')
  assert.match(await a.cli('metrics'), /warren_declared_items\{kind="service",state="running"\} 1/)

  // The entry is removed: the service ends, and says why.
  const entries = JSON.parse(await a.cli('entry', 'list', '--json')) as { entries: { id: string }[] }
  for (const { id } of entries.entries) await a.cli('entry', 'remove', id)
  await waitFor(
    async () => /no entry grants/.test((await statusOf(a)).waitingItems?.[0]?.problem ?? ''),
    'the service to wait again'
  )
})

test('an agent without privilege runs what a file of its own user declares, for that user alone', asRoot, async t => {
  const scope = scopeOf(t)
  const file = configFile(scope)
  const service = { address: 'prod.echo.server.default', tcp: '127.0.0.1:1' }
  write(file, { services: [service] })
  chownSync(file, OTHER, OTHER)
  const agent = new TestAgent(scope, { name: 'a', args: [], uid: OTHER })
  await agent.start(['--init', 'example.org', '--config', file])
  assert.equal((await statusOf(agent)).declaredRunning, 1, 'by the built-in entry of the user of the agent')
  write(file, { services: [{ ...service, user: OTHER + 1 }] })
  const refused = await agent.attempt(['reload'])
  assert.match(refused.stderr, /warren\.yaml:1:\d+: this file is of uid 4711 and cannot name user 4712/)
  // Root may name anybody; the entries decide.
  chownSync(file, 0, 0)
  await agent.cli('reload')
  const [waiting] = (await statusOf(agent)).waitingItems ?? []
  assert.match(waiting?.problem ?? '', /no entry grants prod\.echo\.server\.default\.a to uid 4712/)
})

test('a port that is taken and a user who does not exist keep one item waiting, and no other', async t => {
  const scope = scopeOf(t)
  const { server, port: taken } = await listen(scope, () => {})
  const { port } = await listen(scope, echo)
  const file = configFile(scope)
  const free = await freePort(scope)
  const forward = { destination: 'prod.echo.server.default', as: 'prod.shop.cart.default', user: OWN }
  write(file, {
    services: [
      { address: 'prod.echo.server.default', user: OWN, tcp: `127.0.0.1:${port}` },
      { address: 'prod.echo.other.default', user: 'no-such-user-here', tcp: `127.0.0.1:${port}` }
    ],
    forwards: [
      { ...forward, listen: `127.0.0.1:${taken}` },
      { ...forward, listen: `127.0.0.1:${free}` }
    ]
  })
  if (OWN !== 0) return t.skip('files of other users than root name no other user')
  const agent = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org', '--config', file])
  const status = await statusOf(agent)
  assert.deepEqual([status.declared, status.declaredRunning], [4, 2])
  assert.deepEqual(
    status.waitingItems?.map(({ kind, problem }) => [kind, problem]),
    [
      [
        'service',
        'INVALID_ARGUMENT: this host knows no user "no-such-user-here" (Create the user, or correct the name)'
      ],
      [
        'forward',
        `PORT_IN_USE: another program listens on 127.0.0.1:${taken} (Stop that program, or choose another place to listen)`
      ]
    ]
  )
  server.close()
  await waitFor(async () => (await statusOf(agent)).declaredRunning === 3, 'the forward to have its port')
})

test('a reload that cannot be applied changes nothing and stands in status, also by SIGHUP', asRoot, async t => {
  const scope = scopeOf(t)
  const { port } = await listen(scope, echo)
  const file = configFile(scope)
  const service = { address: 'prod.echo.server.default', user: OWN, tcp: `127.0.0.1:${port}` }
  write(file, { services: [service] })
  const agent = new TestAgent(scope, { name: 'a', args: [] })
  await agent.start(['--init', 'example.org', '--config', file, '--log-level', 'info'])

  writeFileSync(file, 'services:\n  - adress: prod.echo.server.default\n')
  const refused = await agent.attempt(['reload'])
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /INVALID_CONFIG: .*warren\.yaml:2:5: .*unknown key|INVALID_CONFIG: .*has no address/)
  assert.match((await statusOf(agent)).reloadProblem ?? '', /warren\.yaml:2:5/)
  assert.match(await agent.cli('status'), /ALARM +the last reload was refused: .*warren\.yaml:2:5/)
  assert.equal((await statusOf(agent)).declaredRunning, 1, 'the former configuration')

  // Somebody else’s file is refused as well.
  write(file, { services: [] })
  write(file, { services: [service, { ...service, address: 'prod.echo.second.default' }] })
  chownSync(file, OTHER, OTHER)
  agent.program.signal('SIGHUP')
  await agent.program.says(/uid 4711 owns it/, 'stderr')
  assert.equal((await statusOf(agent)).declared, 1)

  chownSync(file, 0, 0)
  agent.program.signal('SIGHUP')
  await agent.program.says(/services: 1 added, 0 removed, 0 changed, 1 unchanged/, 'stderr')
  const status = await statusOf(agent)
  assert.deepEqual([status.declaredRunning, status.reloadProblem ?? ''], [2, ''])

  write(file, { 'log-level': 'debug', services: [service], name: 'b', limits: { proxy_flows: 77 } })
  const { stdout, stderr } = await agent.attempt(['reload'])
  assert.match(stdout, /^services: 0 added, 1 removed, 0 changed, 1 unchanged$/m)
  assert.match(stderr, /needs a restart of the agent to take effect: limits$/m, 'the others are on the command line')
})

test('an agent does not start with services in a file that others can write', asRoot, async t => {
  const scope = scopeOf(t)
  const file = configFile(scope)
  write(file, { services: [{ address: 'prod.echo.server.default', user: 0, tcp: '127.0.0.1:1' }] })
  chmodSync(file, 0o666)
  const agent = new TestAgent(scope, { name: 'a', args: [] })
  await assert.rejects(
    agent.start(['--init', 'example.org', '--config', file]),
    /everybody can write it, so it may not declare anything/
  )
})

test(
  'a unix listener of another user is theirs alone, and is made where nobody else can put a path',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const { port } = await listen(scope, echo)
    const file = configFile(scope)
    const [safe, unsafe] = [scope.directory(), scope.directory()]
    chmodSync(safe, 0o755)
    chmodSync(unsafe, 0o777)
    const forward = { destination: 'prod.echo.server.default', as: 'prod.shop.cart.default', user: OTHER }
    write(file, {
      services: [{ address: 'prod.echo.server.default', user: OWN, tcp: `127.0.0.1:${port}` }],
      forwards: [
        { ...forward, listen: `unix:${safe}/in.sock` },
        { ...forward, listen: `unix:${unsafe}/in.sock` },
        { ...forward, listen: `unix:${safe}/datagrams.sock`, udp: true }
      ]
    })
    const agent = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org', '--config', file])
    await agent.cli('entry', 'add', '--machine', 'a', '--uid', String(OTHER), 'prod.shop.cart.default')
    await agent.allow('prod.shop.cart.default', 'prod.echo.server.default')
    await waitFor(async () => (await statusOf(agent)).declaredRunning === 2, 'the listener')
    const [waiting, datagrams] = (await statusOf(agent)).waitingItems ?? []
    assert.match(waiting?.problem ?? '', /PERMISSION_DENIED: other users can change .*, where the socket is to be/)
    // The path of a client is for it to choose, and the agent would send there.
    assert.match(datagrams?.problem ?? '', /UNSUPPORTED: datagrams at a unix socket are not possible for uid 4711 here/)
    const client = async (uid: number): Promise<string> => {
      const code = `process.setgid(${uid}); process.setuid(${uid})
      require('node:net').connect('${safe}/in.sock').on('error', err => console.log(err.code)).on('data', data => {
        console.log(String(data)); process.exit()
      }).write('hello')`
      return (await new Program(scope, [process.execPath, '-e', code]).outcome()).stdout.trim()
    }
    assert.equal(await client(OTHER), 'hello')
    assert.equal(await client(OTHER + 1), 'EACCES')
  }
)
