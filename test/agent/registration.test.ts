import assert from 'node:assert/strict'
import { lstatSync, readdirSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { asRoot } from '../harness/index.ts'
import { GID, refusal, Sleeper, UID } from './support.ts'
import { ADDRESS, caller, callerOf, entryFor, type input, OTHER_UID, WorkloadHost } from './workload-host.ts'

test('a registration has the address that was asked for, on this machine, and a token that only its holder has', async t => {
  const host = new WorkloadHost(t)
  const { workload, token } = await host.register({ application: 'shop', whitelist: ['dev.*.*.*'], labels: { v: '2' } })
  assert.equal(workload.spiffeId, 'spiffe://example.org/dev/web/nginx/default/m1')
  assert.equal(workload.address.machine, 'm1')
  assert.match(workload.registrationId, /^[0-9a-f]{64}$/)
  assert.deepEqual([workload.uid, workload.process.pid, workload.application], [UID, process.pid, 'shop'])
  assert.deepEqual([workload.whitelist.map(({ text }) => text), workload.labels], [['dev.*.*.*'], { v: '2' }])
  assert.deepEqual([workload.target, workload.protocols], [undefined, []])
  assert.ok(!Object.values(workload).includes(token))
  assert.deepEqual(host.added, [workload])
  assert.ok(host.workloads.claim(token, caller(t)) === workload)
  assert.ok(host.workloads.get(workload.registrationId) === workload)
  assert.equal(host.workloads.count, 1)
})

test('a registration is found by the first 32 digits of its id, and by nothing else, until it ends', async t => {
  const host = new WorkloadHost(t)
  const { workload } = await host.register()
  const { workload: other } = await host.register({ application: 'other' })
  const prefix = workload.registrationId.slice(0, 32)
  assert.ok(host.workloads.byPrefix(prefix) === workload)
  for (const wrong of ['', prefix.slice(1), prefix.slice(0, 31), workload.registrationId, 'f'.repeat(32)]) {
    assert.equal(host.workloads.byPrefix(wrong), undefined, wrong)
  }
  host.workloads.end(workload.registrationId, 'deregistered')
  assert.equal(host.workloads.byPrefix(prefix), undefined)
  assert.ok(host.workloads.byPrefix(other.registrationId.slice(0, 32)) === other)
})

test('a time to live is kept within one second and one day, and is a minute if nothing is said', async t => {
  const host = new WorkloadHost(t)
  const lives: number[] = []
  for (const ttlMs of [0, 1, 999, 1_000, 90_000, 86_400_000, 86_400_001, Number.MAX_SAFE_INTEGER]) {
    lives.push((await host.register({ ttlMs })).workload.ttlMs)
  }
  assert.deepEqual(lives, [60_000, 1_000, 1_000, 1_000, 90_000, 86_400_000, 86_400_000, 86_400_000])
})

test('registrations of one process within one millisecond have ids and tokens of their own', async t => {
  const host = new WorkloadHost(t)
  const made = await Promise.all(Array.from({ length: 20 }, () => host.register()))
  assert.equal(new Set(made.map(({ workload }) => workload.registrationId)).size, 20)
  assert.equal(new Set(made.map(({ token }) => token)).size, 20)
  const times = made.map(({ workload }) => workload.registeredAtMs - host.clock.nowMs).sort((a, b) => a - b)
  assert.deepEqual(times, [...Array(20).keys()], 'told apart by their time')
})

test('each kind of target says what is served', async t => {
  const host = new WorkloadHost(t)
  const target = async (asked: Parameters<typeof input>[0]) => {
    const { workload } = await host.register(asked)
    return [workload.target, workload.protocols]
  }
  assert.deepEqual(await target({ target: { kind: 'tcp', address: ':8080' } }), [
    { kind: 'tcp', host: '127.0.0.1', port: 8080, server: undefined },
    ['tcp']
  ])
  assert.deepEqual(await target({ target: { kind: 'udp', address: 'localhost:53' } }), [
    { kind: 'udp', host: 'localhost', port: 53, server: undefined },
    ['udp']
  ])
  const served = (await host.register({ target: { kind: 'unix', path: '/run/app.sock' } })).workload
  const owner = served.process
  assert.deepEqual(served.target, {
    kind: 'unix',
    path: '/run/app.sock',
    owner,
    uid: UID,
    outside: false,
    hello: false,
    protocol: 'tcp'
  })
  const { workload } = await host.register({ target: { kind: 'listen', hello: true, protocol: 'udp' } })
  assert.deepEqual(workload.protocols, ['udp'])
  assert.ok(workload.target?.kind === 'unix' && workload.target.hello && workload.directory !== undefined)
  assert.equal(dirname(workload.target.path), workload.directory)
  assert.equal(dirname(workload.directory), host.listenDir)
  const { mode, uid } = lstatSync(workload.directory)
  assert.deepEqual([mode & 0o777, uid], [0o700, UID])
})

test('the listening directory of another user is that user’s', asRoot, async t => {
  const host = new WorkloadHost(t)
  host.entries = [entryFor('dev.*.*.*', { uid: OTHER_UID })]
  const listen = { target: { kind: 'listen', hello: false, protocol: 'tcp' } } as const
  const { workload } = await host.register(listen, { ...caller(t, OTHER_UID), gid: 4_343 })
  const { mode, uid, gid } = lstatSync(workload.directory ?? '')
  assert.deepEqual([mode & 0o777, uid, gid], [0o700, OTHER_UID, 4_343])
})

test('a user without a grant is told which entry is missing', async t => {
  const host = new WorkloadHost(t)
  const other = caller(t, OTHER_UID)
  const denied = refusal(
    ErrorCode.PermissionDenied,
    /no entry grants dev\.web\.nginx\.default\.m1 to uid 4242/,
    /warren entry add --machine m1 --uid 4242 dev\.web\.nginx\.default$/
  )
  await assert.rejects(host.register({}, other), denied)
  host.entries = [entryFor('dev.web.*.*', { uid: OTHER_UID })]
  assert.equal((await host.register({}, other)).workload.uid, OTHER_UID)
  await assert.rejects(host.register({ address: 'dev.db.main.default' }, other), refusal(ErrorCode.PermissionDenied))
})

test('in strict mode the agent’s own user needs an entry as well', async t => {
  const host = new WorkloadHost(t)
  host.strict = true
  await assert.rejects(host.register(), refusal(ErrorCode.PermissionDenied, /strict is on/))
  host.entries = [entryFor('dev.web.*.*', { exePath: realpathSync(process.execPath) })]
  await host.register()
})

test('neither a scope that this host was not admitted for nor a revoked workload can be registered', async t => {
  const host = new WorkloadHost(t, { scopes: ['dev'] })
  await host.register()
  await assert.rejects(
    host.register({ address: 'prod.web.nginx.default' }),
    refusal(ErrorCode.PermissionDenied, /not admitted for scope "prod"/, /dev/)
  )
  host.requireNotRevoked = () => {
    throw new WarrenError(ErrorCode.Revoked, 'revoked')
  }
  await assert.rejects(host.register(), refusal(ErrorCode.Revoked))
})

test('what is too much of one registration is refused', async t => {
  const host = new WorkloadHost(t)
  const labels = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`l${at}`, 'x']))
  await host.register({ whitelist: Array(64).fill('dev.*.*.*'), labels: labels(32), application: 'a'.repeat(128) })
  for (const more of [
    { whitelist: Array(65).fill('dev.*.*.*') },
    { labels: labels(33) },
    { labels: { ['k'.repeat(256)]: '' } },
    { labels: { k: 'v'.repeat(256) } },
    { application: 'a'.repeat(129) },
    { whitelist: ['dev.**'] },
    { address: 'dev.web.nginx.default.m2' },
    { address: 'warren.web.nginx.default' },
    { address: 'dev.web' },
    { target: { kind: 'tcp', address: '192.0.2.1:80' } as const }
  ]) {
    await assert.rejects(host.register(more), refusal(ErrorCode.InvalidArgument), JSON.stringify(more).slice(0, 60))
  }
  assert.equal(host.workloads.count, 1)
})

test('one user’s registrations are limited, and those of the host; an end makes room', async t => {
  const host = new WorkloadHost(t, { limits: { maxPerUid: 2, maxTotal: 3 } })
  host.entries = [entryFor('*.*.*.*', { machine: 'm1', gid: GID })]
  const { workload } = await host.register()
  await host.register()
  await assert.rejects(host.register(), refusal(ErrorCode.LimitExceeded, new RegExp(`uid ${UID} `), /Deregister/))
  await host.register({}, caller(t, OTHER_UID))
  await assert.rejects(host.register({}, caller(t, OTHER_UID)), refusal(ErrorCode.LimitExceeded))
  host.workloads.end(workload.registrationId, 'deregistered')
  await host.register({}, caller(t, OTHER_UID))
})

// Once it stayed until its time to live was over, with its directory, and nobody had its token.
test('a registration that the registry refuses leaves nothing behind', async t => {
  const host = new WorkloadHost(t)
  host.announce = () => {
    throw new WarrenError(ErrorCode.LimitExceeded, 'a record of 9000 bytes')
  }
  const listen = { target: { kind: 'listen', hello: false, protocol: 'tcp' } } as const
  await assert.rejects(host.register(listen), refusal(ErrorCode.LimitExceeded, /9000/))
  assert.equal(host.workloads.count, 0)
  assert.deepEqual(readdirSync(host.listenDir), [])
  assert.deepEqual(host.ended, [])
})

test('a registration can be made for another process of the same user, and for none of another user', async t => {
  const host = new WorkloadHost(t)
  const sleeper = await Sleeper.start(t)
  const { workload } = await host.register({ ownerPid: sleeper.pid })
  assert.equal(workload.process.pid, sleeper.pid)
  await sleeper.kill()
  assert.equal(await host.endOf(workload), 'process ended')
  await assert.rejects(host.register({ ownerPid: sleeper.pid }), refusal(ErrorCode.InvalidSource))
  host.entries = [entryFor('*.*.*.*', { uid: OTHER_UID })]
  await assert.rejects(
    host.register(
      { ownerPid: process.pid + 0, address: ADDRESS },
      { ...callerOf(await Sleeper.start(t)), uid: OTHER_UID }
    ),
    refusal(ErrorCode.InvalidSource, /another user's/)
  )
})

test('a process that has ended registers nothing', async t => {
  const host = new WorkloadHost(t)
  const sleeper = await Sleeper.start(t)
  const dead = callerOf(sleeper)
  await sleeper.kill()
  await assert.rejects(host.register({}, dead), refusal(ErrorCode.InvalidSource))
  assert.equal(host.workloads.count, 0)
})

test('nothing is registered once the agent has stopped, even if it was asked before', async t => {
  const host = new WorkloadHost(t)
  const asked = host.register({ target: { kind: 'listen', hello: false, protocol: 'tcp' } })
  host.workloads.stop()
  await assert.rejects(asked, refusal(ErrorCode.NotReady, /stopping/))
  assert.deepEqual(readdirSync(host.listenDir), [])
})
