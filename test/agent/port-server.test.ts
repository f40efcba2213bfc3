import assert from 'node:assert/strict'
import test from 'node:test'
import type { PortHolder } from '../../src/attest/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { type PortServer, PortServers } from '../../src/workloads/index.ts'
import { type ServerUser, serverUserOf } from '../../src/workloads/server-user.ts'
import { refusal, TestClock, TestLog } from './support.ts'
import { OTHER_UID, WorkloadHost } from './workload-host.ts'

const REGISTRANT: ServerUser = { kind: 'registrant' }

/** A port whose holder is what the test says: a uid, nobody, or a failure. */
function portOf(t: { uid: number; serverUser?: ServerUser }) {
  const clock = new TestClock()
  const log = new TestLog()
  const state: { holder: number | 'nobody' | 'failure'; cookie: bigint } = { holder: 'nobody', cookie: 1n }
  const ask = (): PortHolder | undefined => {
    if (state.holder === 'failure') throw new Error('send failed with EPERM')
    if (state.holder === 'nobody') return undefined
    return { uid: state.holder, inode: 1, cookie: state.cookie, state: 10, waiting: 0 }
  }
  const server = new PortServers({ ask, log, clock }).for({
    protocol: 'tcp',
    host: '127.0.0.1',
    port: 80,
    serverUser: t.serverUser ?? REGISTRANT,
    uid: t.uid,
    spiffeId: 'spiffe://example.org/dev/web/nginx/default/m1',
    registrationId: 'ab'.repeat(32)
  })
  assert.ok(server !== undefined)
  return { server, state, log, clock }
}

/** Which of these may have the port, asked in this order. */
function admitted(
  server: PortServer,
  state: { holder: number | 'nobody' | 'failure' },
  uids: readonly number[]
): number[] {
  return uids.filter(uid => {
    state.holder = uid
    try {
      server.holder()
      return true
    } catch (err) {
      assert.ok(WarrenError.is(err, ErrorCode.DestinationUnreachable))
      return false
    }
  })
}

test('a port is its registrant’s or root’s, or that of the user who was named', () => {
  const own = portOf({ uid: 1_000 })
  assert.deepEqual(admitted(own.server, own.state, [1_000, 1_001, 0, 33, 1_000]), [1_000, 0, 1_000])
  const named = portOf({ uid: 1_000, serverUser: { kind: 'named', uid: 33 } })
  assert.deepEqual(admitted(named.server, named.state, [1_000, 1_001, 0, 33]), [0, 33])
  const byRoot = portOf({ uid: 0, serverUser: { kind: 'named', uid: 33 } })
  assert.deepEqual(admitted(byRoot.server, byRoot.state, [34, 33, 0]), [33, 0])
})

test('a registration of root keeps to the user that it finds first', () => {
  const first = portOf({ uid: 0 })
  assert.equal(first.server.holder(), undefined)
  assert.deepEqual(admitted(first.server, first.state, [33, 34, 0, 33]), [33, 0, 33])
  // Root's own is the first as well: then nobody else's.
  const root = portOf({ uid: 0 })
  assert.deepEqual(admitted(root.server, root.state, [0, 33, 0]), [0, 0])
})

test('what the kernel does not say is refused', () => {
  const { server, state, log } = portOf({ uid: 1_000 })
  state.holder = 'failure'
  assert.throws(() => server.holder(), refusal(ErrorCode.DestinationUnreachable, /^who has its port cannot be told$/))
  assert.match(server.problem ?? '', /EPERM/)
  assert.equal(log.lines.filter(line => line === 'warn: port refused').length, 1)
})

test('only people of the host read which user has a port, and it is forgotten once it is well', () => {
  const { server, state } = portOf({ uid: 1_000 })
  state.holder = 1_001
  assert.throws(() => server.holder(), refusal(ErrorCode.DestinationUnreachable, /^another user has its port$/))
  assert.equal(server.refusal, 'another user has its port')
  assert.equal(server.problem, 'uid 1001 has 127.0.0.1:80/tcp, expected uid 1000 or root')
  assert.deepEqual(server.look(), { ok: false, text: server.problem, textForOthers: server.refusal, waiting: 0 })
  state.holder = 1_000
  assert.equal(server.holder(), 1n)
  assert.deepEqual([server.refusal, server.problem], [undefined, undefined])
  assert.deepEqual(server.look(), {
    ok: true,
    text: 'uid 1000 has 127.0.0.1:80/tcp',
    textForOthers: 'a server has 127.0.0.1:80/tcp',
    waiting: 0
  })
  // A look cannot tell whether something answers at a port that nobody has; what a connection found stands.
  state.holder = 'nobody'
  assert.deepEqual([server.look().ok, server.look().text], [false, 'nobody has 127.0.0.1:80/tcp'])
  assert.match(server.hidden().reason, /no socket of its host has it/)
  assert.match(server.look().text, /answers, and no socket of this host has it/)
})

test('the log says once a minute for each port, and ten times at once for each user, who took it', () => {
  const { server, state, log, clock } = portOf({ uid: 1_000 })
  const warnings = () => log.lines.filter(line => line.startsWith('warn: ')).length
  state.holder = 1_001
  for (let index = 0; index < 100; index += 1) assert.throws(() => server.holder())
  assert.equal(warnings(), 1)
  const fields = log.fields.find(({ uid }) => uid !== undefined)
  assert.equal(fields?.uid, 1_001)
  assert.match(fields?.reason ?? '', /expected uid 1000 or root/)
  clock.pass(60_000)
  assert.throws(() => server.holder())
  assert.equal(warnings(), 2)
  for (let uid = 2_000; uid < 2_100; uid += 1) {
    state.holder = uid
    assert.throws(() => server.holder())
  }
  assert.equal(warnings(), 11)
})

test('a system that cannot be asked is told of once, and `any` asks nobody', () => {
  const log = new TestLog()
  const servers = new PortServers({ ask: undefined, log, clock: new TestClock() })
  const claim = { protocol: 'udp', host: '::1', port: 53, uid: 1, spiffeId: '', registrationId: '' } as const
  assert.equal(servers.for({ ...claim, serverUser: { kind: 'any' } }), undefined)
  assert.deepEqual(log.lines, [])
  assert.equal(servers.for({ ...claim, serverUser: REGISTRANT }), undefined)
  assert.equal(servers.for({ ...claim, serverUser: REGISTRANT }), undefined)
  assert.equal(log.lines.length, 1)
  const asking = new PortServers({ ask: () => assert.fail('asked'), log, clock: new TestClock() })
  assert.equal(asking.for({ ...claim, serverUser: { kind: 'any' } }), undefined)
})

test('the user of a server is named by name or number, or is any', async () => {
  const uidOf = async (name: string) => (name === 'www-data' ? 33 : undefined)
  assert.deepEqual(await serverUserOf('', uidOf), REGISTRANT)
  assert.deepEqual(await serverUserOf('any', uidOf), { kind: 'any' })
  assert.deepEqual(await serverUserOf('www-data', uidOf), { kind: 'named', uid: 33 })
  assert.deepEqual(await serverUserOf('1001', uidOf), { kind: 'named', uid: 1_001 })
  for (const wrong of ['nobody-at-all', '4294967295', '9999999999', '-1', 'x'.repeat(500)]) {
    const denied = refusal(ErrorCode.InvalidArgument, /knows no user/, /by name or by number/)
    await assert.rejects(serverUserOf(wrong, uidOf), denied, wrong)
  }
})

test('a registration knows the user of its port from the start, and who registers is told what is wrong', async t => {
  const questions: unknown[] = []
  const host = new WorkloadHost(t, {
    users: { web: OTHER_UID },
    ask: question => {
      questions.push(question)
      return { uid: OTHER_UID, inode: 1, cookie: 5n, state: 10, waiting: 0 }
    }
  })
  const target = { kind: 'tcp', address: 'localhost:8080' } as const
  const named = await host.register({ target: { ...target, serverUser: 'web' } })
  assert.ok(named.workload.target?.kind === 'tcp')
  assert.equal(named.workload.target.server?.problem, undefined)
  // Whoever may has the port at 127.0.0.1, so the other family is not asked about.
  const question = { protocol: 'tcp', host: '127.0.0.1', port: 8_080, from: undefined }
  for (const asked of questions) assert.deepEqual(asked, question)
  assert.equal(named.workload.target.server?.host(), '127.0.0.1')
  const own = await host.register({ target: { ...target, serverUser: '4243' } })
  assert.ok(own.workload.target?.kind === 'tcp')
  assert.match(own.workload.target.server?.problem ?? '', /expected uid 4243/)
  await assert.rejects(
    host.register({ target: { ...target, serverUser: 'nobody-here' } }),
    refusal(ErrorCode.InvalidArgument, /knows no user "nobody-here"/)
  )
  const datagrams = await host.register({ target: { kind: 'udp', address: ':53' } })
  assert.equal(datagrams.workload.check?.name, 'holder')
})
