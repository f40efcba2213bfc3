import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { JoinService } from '../../src/ca/join-service.ts'
import { DEFAULT_LIFETIMES } from '../../src/ca/lifetimes.ts'
import { found } from '../../src/ca/membership/found.ts'
import { loadMembership } from '../../src/ca/membership/membership.ts'
import { ErrorCode, type LogFields, type Logger, silentLogger, WarrenError } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type JoinToken,
  join,
  parseJoinToken,
  serveJoin
} from '../../src/identity/index.ts'
import { openDatabase, Store } from '../../src/state/index.ts'
import { Vault } from '../../src/state/vault.ts'
import { scopeOf } from '../harness/index.ts'
import { NOW_MS, TRUST_DOMAIN } from '../identity/domain.ts'
import { TestClock } from './support.ts'

const forever = new AbortController().signal

async function setUp(t: TestContext, log: Logger = silentLogger, listening: Promise<string[]> = Promise.resolve([])) {
  const vault = new Vault(scopeOf(t).directory())
  await found(vault, TRUST_DOMAIN, 'a', DEFAULT_LIFETIMES, NOW_MS)
  const membership = loadMembership(vault, DEFAULT_LIFETIMES, NOW_MS)
  assert.ok(membership !== undefined)
  const store = new Store(openDatabase(vault.path('warren.db')))
  t.after(() => store.close())
  const events = new EventBus(silentLogger)
  const heard: string[] = []
  events.on('host-admitted', ({ machine, remote }) => heard.push(`${machine} from ${remote} is admitted`))
  events.on('join-refused', ({ remote, reason }) => heard.push(`${remote} is refused: ${reason}`))
  const service = new JoinService({
    membership,
    store,
    dataAddresses: () => ['192.0.2.1:7461'],
    meshAddresses: () => listening,
    peerOf: () => undefined,
    revocations: () => [],
    lifetimeMs: DEFAULT_LIFETIMES.nodeMs,
    clock: new TestClock(NOW_MS),
    log,
    events
  })
  await service.renew()
  const joinWith = async (token: JoinToken, remote = '192.0.2.2') => {
    const connect = async () => {
      const [ours, theirs] = duplexPair()
      void serveJoin(
        theirs,
        service.asAuthority(remote, () => {}),
        forever
      )
      return { stream: ours, peerCertificate: service.agentChain()[0] ?? new Uint8Array() }
    }
    const keys = { peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
    return await join({ token, ...keys, connect, nowMs: () => NOW_MS, signal: forever })
  }
  return { service, heard, joinWith }
}

test('whoever listens learns the name of a host that is admitted, and of one refusal after another', async t => {
  const { service, heard, joinWith } = await setUp(t)
  const made = service.tokens.create({ machine: 'b', ttlMs: 0, scopes: [] })
  const token = parseJoinToken(made.token, NOW_MS)
  await joinWith(token)
  await assert.rejects(joinWith(token), { code: 'TOKEN_REFUSED' })
  assert.deepEqual(heard, ['b from 192.0.2.2 is admitted', '192.0.2.2 is refused: TOKEN_REFUSED'])
})

test('strangers whose joins are refused or fail do not fill the log, nor hide those of other networks', async t => {
  const lines: Array<{ readonly message: string } & LogFields> = []
  const warn = (message: string, fields: LogFields = {}): void => void lines.push({ message, ...fields })
  const log: Logger = { ...silentLogger, warn }
  const { service, joinWith } = await setUp(t, log)
  const made = service.tokens.create({ machine: 'b', ttlMs: 0, scopes: [] })
  const token = parseJoinToken(made.token, NOW_MS)
  const wrong = { ...token, secret: new Uint8Array(32) }
  for (let count = 0; count < 40; count += 1) {
    await assert.rejects(joinWith(wrong, '192.0.2.2'))
    const [ours, theirs] = duplexPair()
    const served = serveJoin(
      theirs,
      service.asAuthority('2001:db8::1', () => {}),
      forever
    )
    ours.resume().end(Buffer.of(0, 0, 0, 9))
    await served
  }
  await assert.rejects(joinWith(wrong, '192.0.2.3'))
  const of = (message: string, remote: string): number =>
    lines.filter(line => line.message === message && line.remote === remote).length
  assert.equal(of('join refused', '192.0.2.2'), 10)
  assert.equal(of('join failed', '2001:db8::1'), 10)
  assert.equal(of('join refused', '192.0.2.3'), 1)
})

test('a host that joins before the mesh listens here waits, and is told where it does', async t => {
  const mesh = Promise.withResolvers<string[]>()
  const { service, heard, joinWith } = await setUp(t, silentLogger, mesh.promise)
  const made = service.tokens.create({ machine: 'b', ttlMs: 0, scopes: [] })
  const joining = joinWith(parseJoinToken(made.token, NOW_MS))
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(heard, [])
  mesh.resolve(['/ip4/192.0.2.1/tcp/7460'])
  assert.deepEqual((await joining).meshAddresses, ['/ip4/192.0.2.1/tcp/7460'])
})

test('a host that joins where the mesh never listens is not admitted, and may use its token elsewhere', async t => {
  const failed = Promise.reject(new WarrenError(ErrorCode.NotReady, 'the mesh has stopped'))
  failed.catch(() => {})
  const { service, heard, joinWith } = await setUp(t, silentLogger, failed)
  const made = service.tokens.create({ machine: 'b', ttlMs: 0, scopes: [] })
  await assert.rejects(joinWith(parseJoinToken(made.token, NOW_MS)))
  assert.ok(heard.every(line => !line.includes('admitted')))
  const [left] = service.tokens.list()
  assert.equal(left?.used, 0)
})
