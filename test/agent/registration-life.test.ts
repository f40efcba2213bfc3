import assert from 'node:assert/strict'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { EndReason } from '../../src/workloads/index.ts'
import { refusal, settle } from './support.ts'
import { caller, entryFor, OTHER_UID, WorkloadHost } from './workload-host.ts'

const LISTEN = { target: { kind: 'listen', hello: false, protocol: 'tcp' } } as const
// The longest pause between two looks at what has expired.
const LOOK_MS = 600

/** A host whose periodic work runs when the test says so. */
function hostOfMockedTime(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const host = new WorkloadHost(t)
  host.workloads.start()
  const pass = async (ms: number): Promise<void> => {
    host.clock.pass(ms)
    t.mock.timers.tick(LOOK_MS)
    await settle()
  }
  return { host, pass }
}

test('a token that never was, or is another user’s, is answered alike, before and after its end', async t => {
  const host = new WorkloadHost(t)
  const { workload, token, sleeper } = await host.registerProcess()
  const unknown = refusal(ErrorCode.InvalidSource, /^no registered workload of yours has this token$/)
  const other = caller(t, OTHER_UID)
  assert.throws(() => host.workloads.claim('nonsense', caller(t)), unknown)
  assert.throws(() => host.workloads.claim('', caller(t)), unknown)
  assert.throws(() => host.workloads.claim(`${token}x`, caller(t)), unknown)
  assert.throws(() => host.workloads.claim('x'.repeat(1_000_000), caller(t)), unknown)
  assert.throws(() => host.workloads.claim(token, other), unknown)
  assert.throws(() => host.workloads.heartbeat(token, other), unknown)
  assert.throws(() => host.workloads.keep(token, other), unknown)
  assert.equal(host.workloads.count, 1)
  host.workloads.end(workload.registrationId, 'deregistered')
  assert.throws(() => host.workloads.claim(token, other), unknown)
  await sleeper.kill()
})

test('what a token is answered after the end says whether to register again', async t => {
  const host = new WorkloadHost(t)
  const answers: Record<EndReason, [code: string, reason: RegExp]> = {
    deregistered: [ErrorCode.Timeout, /has ended: deregistered/],
    expired: [ErrorCode.Timeout, /has ended: expired/],
    'connection closed': [ErrorCode.Timeout, /has ended: connection closed/],
    'process ended': [ErrorCode.InvalidSource, /no longer runs/],
    'agent stopped': [ErrorCode.InvalidSource, /no longer runs/],
    revoked: [ErrorCode.InvalidSource, /was ended: revoked/],
    'no longer granted': [ErrorCode.InvalidSource, /was ended: no longer granted/]
  }
  for (const [reason, [code, text]] of Object.entries(answers) as Array<[EndReason, [ErrorCode, RegExp]]>) {
    const { workload, token } = await host.register()
    host.workloads.end(workload.registrationId, reason)
    assert.throws(() => host.workloads.claim(token, caller(t)), refusal(code, text, /[Rr]egister/), reason)
    host.workloads.end(workload.registrationId, 'expired')
    assert.deepEqual(host.ended.at(-1), [workload.registrationId, reason], 'it ends once')
  }
})

test('a claim that finds the process dead ends the registration', async t => {
  const host = new WorkloadHost(t)
  const { workload, token, sleeper } = await host.registerProcess()
  await sleeper.kill()
  // Nothing has looked yet: the watch of processes has had no turn.
  assert.equal(host.workloads.count, 1)
  assert.throws(() => host.workloads.claim(token, caller(t)), refusal(ErrorCode.InvalidSource, /no longer runs/))
  assert.equal(host.workloads.count, 0)
  assert.deepEqual(host.ended, [[workload.registrationId, 'process ended']])
})

test('the end of its process ends a registration, and takes its directory and its socket away', async t => {
  const host = new WorkloadHost(t)
  const { workload, sleeper } = await host.registerProcess(LISTEN)
  const directory = workload.directory ?? ''
  writeFileSync(join(directory, 's'), '')
  await sleeper.kill()
  assert.equal(await host.endOf(workload), 'process ended')
  assert.ok(!existsSync(directory))
  assert.ok(!workload.process.isAlive())
})

test('a registration expires after its time to live, and a heartbeat gives it another one', async t => {
  const { host, pass } = hostOfMockedTime(t)
  const { token } = await host.register({ ttlMs: 10_000 })
  await pass(9_000)
  assert.ok(host.workloads.heartbeat(token, caller(t)))
  await pass(9_000)
  assert.equal(host.ended.length, 0)
  await pass(999)
  assert.equal(host.ended.length, 0)
  await pass(1)
  assert.deepEqual(
    host.ended.map(([, reason]) => reason),
    ['expired']
  )
  assert.throws(() => host.workloads.heartbeat(token, caller(t)), refusal(ErrorCode.Timeout, /expired/))
})

test('while one stream keeps a registration its time does not run, and the end of the last one ends it', async t => {
  const { host, pass } = hostOfMockedTime(t)
  const { workload, token } = await host.register({ ttlMs: 1_000 })
  const first = host.workloads.keep(token, caller(t))
  const second = host.workloads.keep(token, caller(t))
  assert.ok(first.workload === workload)
  await pass(3_600_000)
  first.release()
  first.release()
  await pass(3_600_000)
  assert.deepEqual(host.ended, [], 'one is left, and another cannot be released twice')
  second.release()
  assert.deepEqual(host.ended, [[workload.registrationId, 'connection closed']])
  assert.equal(await second.ended, 'connection closed')
  second.release()
  assert.equal(host.ended.length, 1)
})

test('whoever keeps a registration is told of its end by any other cause', async t => {
  const host = new WorkloadHost(t)
  const { workload, token } = await host.register()
  const keepers = [host.workloads.keep(token, caller(t)), host.workloads.keep(token, caller(t))]
  host.workloads.end(workload.registrationId, 'revoked')
  assert.deepEqual(await Promise.all(keepers.map(({ ended }) => ended)), ['revoked', 'revoked'])
  for (const { release } of keepers) release()
  assert.deepEqual(host.ended, [[workload.registrationId, 'revoked']])
})

test('a stop ends every registration as stopped by the agent, and takes its directories away', async t => {
  const host = new WorkloadHost(t)
  const { token } = await host.register(LISTEN)
  await host.register(LISTEN)
  const { ended } = host.workloads.keep(token, caller(t))
  host.workloads.stop()
  assert.equal(await ended, 'agent stopped')
  assert.deepEqual(
    host.ended.map(([, reason]) => reason),
    ['agent stopped', 'agent stopped']
  )
  assert.deepEqual([host.workloads.count, readdirSync(host.listenDir)], [0, []])
})

test('a review ends what is revoked and what no entry grants any more, and nothing else', async t => {
  const host = new WorkloadHost(t)
  host.entries = [entryFor('*.*.*.*', { uid: OTHER_UID })]
  const { workload: own } = await host.register()
  const { workload: others } = await host.register({}, caller(t, OTHER_UID))
  const { workload: evil } = await host.register({ address: 'dev.evil.app.default' })
  await host.workloads.review()
  await settle()
  assert.equal(host.ended.length, 0)
  host.requireNotRevoked = spiffeId => {
    if (spiffeId.includes('evil')) throw new WarrenError(ErrorCode.Revoked, 'revoked')
  }
  host.entries = []
  await host.workloads.review()
  assert.equal(await host.endOf(evil), 'revoked')
  assert.equal(await host.endOf(others), 'no longer granted')
  assert.deepEqual(host.workloads.all(), [own])
})

test('a review looks at the executable if a new entry asks for it', async t => {
  const host = new WorkloadHost(t)
  host.entries = [entryFor('*.*.*.*', { uid: OTHER_UID })]
  const { workload } = await host.register({}, caller(t, OTHER_UID))
  host.entries = [entryFor('*.*.*.*', { exePath: process.execPath })]
  await host.workloads.review()
  host.entries = [entryFor('*.*.*.*', { exePath: '/bin/false' })]
  await host.workloads.review()
  assert.equal(await host.endOf(workload), 'no longer granted')
})
