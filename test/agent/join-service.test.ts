import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { JoinService } from '../../src/ca/join-service.ts'
import { DEFAULT_LIFETIMES } from '../../src/ca/lifetimes.ts'
import { found } from '../../src/ca/membership/found.ts'
import { loadMembership } from '../../src/ca/membership/membership.ts'
import { silentLogger } from '../../src/core/index.ts'
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

async function setUp(t: TestContext) {
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
    meshAddresses: () => [],
    peerOf: () => undefined,
    revocations: () => [],
    lifetimeMs: DEFAULT_LIFETIMES.nodeMs,
    clock: new TestClock(NOW_MS),
    log: silentLogger,
    events
  })
  await service.renew()
  const joinWith = async (token: JoinToken) => {
    const connect = async () => {
      const [ours, theirs] = duplexPair()
      void serveJoin(
        theirs,
        service.asAuthority('192.0.2.2', () => {}),
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
