import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { indexOf } from '../../src/cli/listeners/names/directory.ts'
import { NameListeners, type NameListenersOptions } from '../../src/cli/listeners/names/listeners.ts'
import { MeshNames } from '../../src/cli/listeners/names/mesh-names.ts'
import { NameAddresses } from '../../src/cli/listeners/names/name-addresses.ts'
import { NameUsers, type UserSource } from '../../src/cli/listeners/names/name-users.ts'
import { Permissions } from '../../src/cli/listeners/names/permissions.ts'
import { zoneName } from '../../src/cli/listeners/names/zone.ts'
import type { AgentClient } from '../../src/client/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { Rcode } from '../../src/listeners/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { asRoot, type Scope, scopeOf, waitFor } from '../harness/index.ts'

const onLinux = { skip: process.platform === 'linux' ? false : 'only Linux has all of 127.0.0.0/8' }
const is = (code: ErrorCode) => (err: unknown) => WarrenError.is(err, code)
const onFailure = (err: unknown): void => assert.fail(String(err))

test('a name stands for an address in whatever case, and for a port below it', () => {
  const address = 'dev.db.main.default'
  const service = { kind: 'service', address, port: undefined }
  assert.deepEqual(zoneName('dev.db.main.default.warren', undefined), service)
  assert.deepEqual(zoneName('DEV.Db.main.default.WARREN.', undefined), service)
  assert.deepEqual(zoneName('dev.db.main.default.m1.warren', undefined), { ...service, address: `${address}.m1` })
  assert.deepEqual(zoneName('_postgresql._tcp.dev.db.main.default.warren', undefined), service)
  assert.deepEqual(zoneName('_5432._tcp.dev.db.main.default.warren', undefined), { ...service, port: 5432 })
  assert.deepEqual(zoneName('db.main.warren', 'Dev'), service)
  assert.deepEqual(zoneName('_5432._tcp.db.main.warren', 'dev'), { ...service, port: 5432 })
})

test('what is above a service exists and has nothing, what is none does not exist, and all else is not ours', () => {
  const kindOf = (name: string, scope?: string): string => zoneName(name, scope).kind
  for (const name of [
    'warren',
    'default.warren',
    'db.main.warren',
    'a.b.c.warren',
    '_tcp.dev.db.main.default.warren',
    '_dns._udp.dev.db.main.default.warren'
  ])
    assert.equal(kindOf(name), 'inner', name)
  for (const name of [
    'a.b.c.d.e.f.warren',
    '*.db.main.default.warren',
    '_x.dev.db.main.default.warren',
    'dev.db..x.y.warren'
  ])
    assert.equal(kindOf(name), 'malformed', name)
  for (const name of ['example.com', 'warren.example.com', 'xwarren', '.', '1.0.64.127.in-addr.arpa'])
    assert.equal(kindOf(name), 'other', name)
})

const service = (address: string, ports: number[], protocols = [apiPb.Protocol.TCP]) => ({ address, ports, protocols })

test('a destination has the ports of all its instances, and one machine those of its own', () => {
  const index = indexOf([
    service('dev.db.main.default.m1', [5432]),
    service('dev.db.main.default.m2', [5432, 9187]),
    service('dev.user.me.default.m1', [], []),
    service('dev.dns.main.default.m1', [53], [apiPb.Protocol.UDP])
  ])
  const found = (name: string) => index.get(name)?.map(({ address, ports, servesTcp }) => [address, ports, servesTcp])
  assert.deepEqual(found('dev.db.main.default'), [['dev.db.main.default', [5432, 9187], true]])
  assert.deepEqual(found('dev.db.main.default.m1'), [['dev.db.main.default.m1', [5432], true]])
  assert.deepEqual(found('dev.dns.main.default'), [['dev.dns.main.default', [], false]])
  assert.equal(found('dev.user.me.default'), undefined)
  const many = [1, 2].map(m =>
    service(
      `dev.a.b.c.m${m}`,
      Array.from({ length: 16 }, (_, i) => m * 100 + i)
    )
  )
  assert.equal(indexOf(many).get('dev.a.b.c')?.[0]?.ports.length, 16)
})

test('addresses that differ in case alone are both found, so that neither is taken for the other', () => {
  const index = indexOf([service('dev.db.Main.default.m1', [1]), service('dev.db.main.default.m2', [2])])
  assert.equal(index.get('dev.db.main.default')?.length, 2)
  assert.deepEqual(
    index.get('dev.db.main.default.m1')?.map(({ address }) => address),
    ['dev.db.Main.default.m1']
  )
})

test('a name keeps its address over a restart, and no two have the same', async t => {
  const directory = join(scopeOf(t).directory(), 'dns')
  const addresses = await NameAddresses.open(directory, { onFailure })
  const names = Array.from({ length: 1_000 }, (_, index) => `dev.web.n${index}.default`)
  const first = names.map(name => addresses.addressOf(name))
  assert.equal(new Set(first).size, names.length)
  for (const address of first) assert.match(address, /^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+$/)
  addresses.close()
  const again = await NameAddresses.open(directory, { onFailure })
  assert.deepEqual(
    names.map(name => again.addressOf(name)),
    first
  )
  assert.deepEqual(again.recent(2), names.slice(-2))
  const moved = again.replace(names[0] ?? '')
  assert.ok(!first.includes(moved))
  again.close()
  const third = await NameAddresses.open(directory, { onFailure })
  assert.equal(third.addressOf(names[0] ?? ''), moved)
  third.close()
})

test('addresses are bounded: the one that was asked for longest ago makes room', async t => {
  const directory = join(scopeOf(t).directory(), 'dns')
  const addresses = await NameAddresses.open(directory, { onFailure, maxNames: 3 })
  const [a, b] = ['a', 'b', 'c'].map(name => addresses.addressOf(name))
  assert.equal(addresses.addressOf('a'), a)
  addresses.addressOf('d')
  assert.equal(addresses.addressOf('a'), a)
  assert.notEqual(addresses.addressOf('b'), b)
  addresses.close()
  assert.equal(JSON.parse(readFileSync(join(directory, 'addresses.json'), 'utf8')).addresses.length, 3)
})

test('one process has the addresses, and a damaged or strange file is not guessed at', async t => {
  const scope = scopeOf(t)
  const directory = join(scope.directory(), 'dns')
  const addresses = await NameAddresses.open(directory, { onFailure })
  addresses.addressOf('a')
  await assert.rejects(NameAddresses.open(directory, { onFailure }), is(ErrorCode.AlreadyExists))
  addresses.close()
  const file = join(directory, 'addresses.json')
  const texts = [
    'x',
    '{"warrenDns":1,"addresses":[["a","10.0.0.1"]]}',
    '{"warrenDns":1,"addresses":[["a","127.0.0.1"]]}',
    '{"warrenDns":1,"addresses":[["a","127.64.0.1"],["b","127.64.0.1"]]}'
  ]
  for (const text of texts) {
    writeFileSync(file, text)
    await assert.rejects(NameAddresses.open(directory, { onFailure }), is(ErrorCode.StateUnusable), text)
  }
  const open = join(scope.directory(), 'open')
  await (await NameAddresses.open(open, { onFailure })).close()
  chmodSync(open, 0o777)
  await assert.rejects(NameAddresses.open(open, { onFailure }), is(ErrorCode.StateUnusable))
})

test('another user who may look into the directory of addresses keeps nobody from it by a lock', asRoot, async t => {
  const scope = scopeOf(t)
  const above = scope.directory()
  const directory = join(above, 'dns')
  mkdirSync(directory, { mode: 0o755 })
  for (const path of [above, directory]) chmodSync(path, 0o755)
  const held = spawn('setpriv', [
    ...['--reuid=61290', '--regid=61290', '--clear-groups', 'flock', '--no-fork', '--exclusive', directory],
    ...['/bin/sh', '-c', 'echo held; exec sleep 600']
  ])
  scope.defer(() => void held.kill('SIGKILL'))
  await once(held.stdout, 'data')
  const addresses = await NameAddresses.open(directory, { onFailure })
  await assert.rejects(NameAddresses.open(directory, { onFailure }), is(ErrorCode.AlreadyExists))
  addresses.close()
  // Nor may that user open what is locked, and what that user could open is not locked.
  const lock = join(directory, 'warren-dns.lock')
  assert.equal(statSync(lock).mode & 0o777, 0o600)
  chmodSync(lock, 0o644)
  await assert.rejects(NameAddresses.open(directory, { onFailure }), is(ErrorCode.StateUnusable))
  rmSync(lock)
  symlinkSync('/dev/null', lock)
  await assert.rejects(NameAddresses.open(directory, { onFailure }), is(ErrorCode.StateUnusable))
})

async function listeners(scope: Scope, options: Partial<NameListenersOptions> = {}) {
  const addresses = await NameAddresses.open(join(scope.directory(), 'dns'), { onFailure })
  const opened: string[] = []
  const names = new NameListeners({
    addresses,
    keepAliveMs: 0,
    onFailure: () => {},
    open: async destination => {
      opened.push(destination)
      // Both ends of a connection of this process stand for one of the mesh.
      const server = createServer({ allowHalfOpen: true }, socket => socket.pipe(socket)).listen(0, '127.0.0.1')
      scope.defer(() => void server.close())
      await once(server, 'listening')
      const { port } = server.address() as { port: number }
      return connectSocket({ host: '127.0.0.1', port, allowHalfOpen: true }) as never
    },
    ...options
  })
  scope.defer(() => {
    names.close()
    addresses.close()
  })
  return { names, addresses, opened }
}

function dial(scope: Scope, host: string, port: number): Socket {
  const socket = connectSocket({ host, port })
  socket.on('error', () => {})
  scope.defer(() => void socket.destroy())
  return socket
}

async function isOpen(scope: Scope, host: string, port: number): Promise<boolean> {
  const socket = dial(scope, host, port)
  return await new Promise(resolve => {
    socket.once('connect', () => resolve(true)).once('close', () => resolve(false))
  })
}

test('a destination has listeners at its ports once it is asked for, and clients reach it there', onLinux, async t => {
  const scope = scopeOf(t)
  const { names, opened } = await listeners(scope)
  const [one, same, other] = await Promise.all([
    names.ready('dev.db.main.default', [25_432, 29_187], 0),
    names.ready('dev.db.main.default', [25_432, 29_187], 0),
    names.ready('dev.db.other.default', [25_432], 0)
  ])
  assert.deepEqual([one.ports, one.problems, names.size], [[25_432, 29_187], [], 3])
  assert.equal(same.address, one.address)
  assert.notEqual(other.address, one.address)
  const client = dial(scope, other.address, 25_432)
  client.end('hello')
  const [echo] = (await once(client, 'data')) as [Buffer]
  assert.equal(echo.toString(), 'hello')
  assert.deepEqual(opened, ['dev.db.other.default'])
  // It declares one port less, and another.
  assert.deepEqual((await names.ready('dev.db.main.default', [29_187, 29_188], 0)).ports, [29_187, 29_188])
  assert.equal(await isOpen(scope, one.address, 25_432), false)
  assert.equal(await isOpen(scope, one.address, 29_188), true)
})

test(
  'what a client of a name wrote before the end has its time to arrive, and others come no more',
  onLinux,
  async t => {
    const scope = scopeOf(t)
    const arrived: string[] = []
    const server = createServer({ allowHalfOpen: true }, socket => {
      socket.on('data', chunk => arrived.push(String(chunk))).on('end', () => socket.end('whole'))
    }).listen(0, '127.0.0.1')
    scope.defer(() => void server.close())
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const opening = Promise.withResolvers<void>()
    const { names } = await listeners(scope, {
      open: async () => {
        await opening.promise
        return connectSocket({ host: '127.0.0.1', port, allowHalfOpen: true }) as never
      }
    })
    const { address } = await names.ready('dev.db.main.default', [25_433], 0)
    const client = dial(scope, address, 25_433)
    await once(client, 'connect')
    client.end('last words')
    const settled = names.settle(AbortSignal.timeout(20_000))
    await waitFor(async () => !(await isOpen(scope, address, 25_433)) || undefined, 'the port to be free')
    opening.resolve()
    const [answer] = (await once(client, 'data')) as [Buffer]
    await settled
    assert.deepEqual([arrived.join(''), answer.toString()], ['last words', 'whole'])
  }
)

test('a client of a name that does not end is reset when its time is over', onLinux, async t => {
  const scope = scopeOf(t)
  const { names } = await listeners(scope)
  const { address } = await names.ready('dev.db.main.default', [25_434], 0)
  const client = dial(scope, address, 25_434)
  client.write('x')
  await once(client, 'data')
  const closed = new Promise(resolve => client.once('close', resolve))
  await names.settle(AbortSignal.abort())
  names.close()
  await closed
})

test('the idlest makes room, but none that has a client or was answered a moment ago', onLinux, async t => {
  const scope = scopeOf(t)
  const { names } = await listeners(scope, { maxListeners: 4, holdMs: 0 })
  const busy = await names.ready('dev.a.busy.default', [25_400], 1)
  const idle = await names.ready('dev.a.idle.default', [25_400], 1)
  const client = dial(scope, busy.address, 25_400)
  client.write('x')
  await once(client, 'data')
  for (const name of ['c', 'd', 'e', 'f']) await names.ready(`dev.a.${name}.default`, [25_400], 1)
  assert.ok(names.size <= 4)
  assert.equal(await isOpen(scope, idle.address, 25_400), false)
  assert.equal(await isOpen(scope, busy.address, 25_400), true)

  const held = await listeners(scope, { maxListeners: 4 })
  for (const name of ['a', 'b', 'c']) await held.names.ready(`dev.a.${name}.default`, [25_401], 1)
  await assert.rejects(held.names.ready('dev.a.d.default', [25_401], 1), is(ErrorCode.LimitExceeded))
  // What one user may take leaves the rest to others.
  assert.deepEqual((await held.names.ready('dev.a.d.default', [25_401], 2)).problems, [])
})

test(
  'a name gets another address where a program has its port, and says so if it has every address',
  onLinux,
  async t => {
    const scope = scopeOf(t)
    const { names, addresses } = await listeners(scope)
    const former = addresses.addressOf('dev.db.main.default')
    const squatter = createServer().listen(25_500, former)
    scope.defer(() => void squatter.close())
    await once(squatter, 'listening')
    const { address } = await names.ready('dev.db.main.default', [25_500], 0)
    assert.notEqual(address, former)
    assert.equal(addresses.addressOf('dev.db.main.default'), address)

    const everywhere = createServer().listen(25_501, '0.0.0.0')
    scope.defer(() => void everywhere.close())
    await once(everywhere, 'listening')
    await assert.rejects(names.ready('dev.db.other.default', [25_501], 0), (err: unknown) => {
      return WarrenError.is(err, ErrorCode.PortInUse) && /25501/.test(`${err.reason} ${err.hint}`)
    })
    assert.equal(names.size, 1)
    const { ports, problems } = await names.ready('dev.db.main.default', [25_500, 25_501], 0)
    assert.deepEqual([ports, problems.length], [[25_500], 1])
  }
)

test('whether a destination is allowed is asked once for many questions, and only a refusal refuses', async () => {
  const asked: string[] = []
  const permissions = new Permissions(async destination => {
    asked.push(destination)
    const code = destination.startsWith('no') ? ErrorCode.Unauthorized : ErrorCode.DestinationUnreachable
    if (destination !== 'yes') throw new WarrenError(code, 'it is so')
  })
  const ask = async (destination: string): Promise<boolean> =>
    (await permissions.objectionTo(destination, 'me'))?.code === ErrorCode.Unauthorized
  assert.deepEqual(await Promise.all(['yes', 'no', 'away', 'yes', 'no'].map(ask)), [false, true, false, false, true])
  assert.deepEqual(asked, ['yes', 'no', 'away'])
  await waitFor(
    async () => (await ask('no')) && asked.filter(one => one === 'no').length > 1,
    'a refusal to be asked again'
  )
})

test(
  'a refused name with a page exists for questions of every type, and one without a page for none',
  onLinux,
  async t => {
    const scope = scopeOf(t)
    const addresses = await NameAddresses.open(join(scope.directory(), 'dns'), { onFailure })
    const refuse = () => Promise.reject(new WarrenError(ErrorCode.PermissionDenied, 'no entry'))
    const services = [service('dev.web.page.default.m1', [80]), service('dev.web.none.default.m1', [5432])]
    const workload = { listServices: async () => ({ services }), register: refuse }
    const client = { workload, onClose: () => () => {}, hold: () => () => {} } as unknown as AgentClient
    const names = new MeshNames({
      ...{ client: () => client, addresses, ports: [], strategy: 'balanced', keepAliveMs: 0, uidOf: () => 0 },
      users: new NameUsers({
        as: 'dev.shop.cart.default',
        users: new Map([[0, 'shared' as const]]),
        nameOf: undefined
      }),
      onFailure: () => {}
    })
    scope.defer(() => {
      names.close()
      addresses.close()
    })
    const ask = async (name: string, type: string) => {
      const common = { id: 1, dnsClass: 'IN', isRecursionDesired: false, payloadBytes: undefined }
      return await names.answer({ ...common, name: `dev.web.${name}.default.warren`, type }, 0)
    }
    // Who may not listen at port 80 has no page.
    const forPage = process.getuid?.() === 0 ? ['A', 'ANY'] : []
    for (const type of [...forPage, 'AAAA', 'SRV', 'UNKNOWN_65', 'TXT']) {
      const { rcode, answers = [], error } = await ask('page', type)
      assert.equal(rcode, Rcode.NoError, type)
      assert.equal(answers.length, ['A', 'ANY', 'TXT'].includes(type) ? 1 : 0, type)
      assert.match(error?.text ?? '', /no entry/, type)
    }
    for (const type of ['A', 'AAAA']) assert.equal((await ask('none', type)).rcode, Rcode.NoSuchName, type)
  }
)

test('each user has a source of their own, which no other user can have by a name', async () => {
  const names = new Map([
    [1000, 'alice'],
    [1001, 'a.b'],
    [1002, 'uid-1000'],
    [1003, 'www-data'],
    [1004, '-rf']
  ])
  const users = new NameUsers({
    as: 'dev.shop.shared.default',
    users: new Map<number, UserSource>([
      [0, 'shared'],
      [33, { as: 'dev.shop.cart.default' }]
    ]),
    nameOf: async uid => names.get(uid)
  })
  assert.equal(users.haveOwn, true)
  const to = 'dev.web.site.default'
  const found = await Promise.all([0, 33, 1000, 1001, 1002, 1003, 1004, 1005].map(uid => users.sourceOf(uid, to)))
  assert.deepEqual(found, [
    'dev.shop.shared.default',
    'dev.shop.cart.default',
    ...['alice', 'uid-1001', 'uid-1002', 'www-data', 'uid-1004', 'uid-1005'].map(name => `dev.user.${name}.default`)
  ])
  const some = new NameUsers({ users: new Map([[0, 'shared' as const]]), nameOf: undefined })
  assert.equal(some.haveOwn, false)
  await assert.rejects(some.sourceOf(1000, to), is(ErrorCode.PermissionDenied))
})
