import assert from 'node:assert/strict'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { AdminSets, AdminStore } from '../../src/cluster/admins/index.ts'
import { announceSet } from '../../src/cluster/admins/messages.ts'
import { SENDER_RATE } from '../../src/cluster/admins/set-exchange.ts'
import { PolicyService } from '../../src/cluster/policy-service.ts'
import { silentLogger, silentMetrics, systemClock } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  type PeerKey,
  parsePattern,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import {
  addAdmin,
  type Bundle,
  type Content,
  openSet,
  type Role,
  type Rule,
  removeAdmin,
  sealBundle
} from '../../src/policy/index.ts'
import { Vault } from '../../src/state/index.ts'

const NEIGHBOUR: PeerKey = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const ROOT_KEY = generatePeerKeyPair()
const ROOT = peerKeyOf(rawPublicKey(ROOT_KEY))
const trustDomain = 'example.org'

interface Node {
  readonly directory: string
  readonly sets: AdminSets
  readonly policy: PolicyService
  readonly announced: Uint8Array[]
  /** Who answers what this host asks. */
  peer: Node | undefined
}

function node(t: TestContext, isRoot: boolean, former?: Node): Node {
  const directory = former?.directory ?? mkdtempSync(join(tmpdir(), 'warren-sets-'))
  if (former === undefined) t.after(() => rmSync(directory, { recursive: true }))
  const announced: Uint8Array[] = []
  const asked = (): Node => {
    if (made.peer === undefined) throw new Error('nobody answers')
    return made.peer
  }
  const publish = async (bytes: Uint8Array): Promise<number> => announced.push(bytes)
  const vault = new Vault(directory)
  const sets = new AdminSets({
    trustDomain,
    rootKey: ROOT,
    isRoot,
    store: new AdminStore(vault, { rootKey: ROOT, trustDomain }),
    transport: { publish, request: async (_peer, bytes) => asked().sets.exchange.answer(bytes) },
    onChange: reason => made.policy.setsChanged(reason),
    clock: systemClock,
    log: silentLogger,
    metrics: silentMetrics
  })
  const policy = new PolicyService({
    trustDomain,
    adminPublicKey: rawPublicKey(ROOT_KEY),
    adminKey: isRoot ? ROOT_KEY : undefined,
    load: () => vault.read('policy.bundle') ?? undefined,
    save: signed => vault.write('policy.bundle', signed),
    transport: { publish, request: async (_peer, bytes) => asked().policy.answer(bytes) },
    sets,
    onBundle: () => {},
    onChange: () => {},
    clock: systemClock,
    log: silentLogger
  })
  t.after(() => policy.stop())
  const made: Node = { directory, sets, policy, announced, peer: former?.peer }
  policy.start()
  return made
}

async function sync(from: Node, to: Node): Promise<void> {
  to.peer = from
  await to.policy.fetch(NEIGHBOUR)
  await to.sets.exchange.fetch(NEIGHBOUR)
}

async function grant(owner: Node, other: Node, name: string, role: Role, ...scopes: string[]): Promise<void> {
  const key = other.sets.makeKey(false)
  const { content } = addAdmin(owner.sets.inForce, owner.sets.editor(), { name, key, role, scopes, reason: '' })
  await owner.policy.change(content)
  await sync(owner, other)
}

const rule = (effect: 'allow' | 'deny', source: string, destination: string) => ({
  effect,
  source: parsePattern(source),
  destination: parsePattern(destination),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason: ''
})

const rulesOf = ({ policy }: Node): string[] => (policy.bundle?.rules ?? []).map(({ id }) => id)

/** What whoever has this key can make, without any check. */
function signSet(key: KeyObject, current: Bundle | undefined, content: Partial<Content>): Bundle {
  const signed = sealBundle(
    current,
    { ...content, trustDomain, nowMs: 1 },
    bytes => sign(key, CONTEXT.policySet, bytes),
    'admin'
  )
  return openSet(signed, rawPublicKey(key), trustDomain)
}

const keyOf = ({ directory }: Node): KeyObject => createPrivateKey(readFileSync(join(directory, 'admin.own.key')))

test('a compromised admin of one scope changes nothing outside of it, whatever its key signs', async t => {
  const [root, bob, host] = [node(t, true), node(t, false), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev')
  await root.policy.add(rule('deny', 'prod.*.*.*', 'prod.*.*.*'))
  await sync(root, host)
  await sync(root, bob)
  await assert.rejects(bob.policy.add(rule('allow', 'prod.*.*.*', 'dev.*.*.*')), { code: 'NOT_ADMIN' })
  await assert.rejects(bob.policy.setStrict(true), { code: 'NOT_ADMIN' })
  await assert.rejects(bob.policy.revoke({ machine: 'host', reason: '' }), { code: 'NOT_ADMIN' })
  await assert.rejects(bob.policy.remove('r2'), { code: 'NOT_ADMIN' })

  const key = keyOf(bob)
  const stated = (id: string, one: ReturnType<typeof rule>): Rule => ({ ...one, id, createdAtMs: 1 })
  const evil = signSet(key, undefined, {
    rules: [
      stated('r1', rule('allow', 'prod.*.*.*', 'prod.*.*.*')),
      stated('r2', rule('deny', '*.*.*.*', '*.*.*.*')),
      stated('r3', rule('allow', 'dev.*.*.*', 'dev.*.*.*'))
    ],
    strict: true,
    revocations: [
      { id: 'x1', machine: 'host', beforeMs: 9, peers: [], keys: [], pattern: undefined, reason: '', createdAtMs: 1 },
      {
        id: 'x2',
        machine: undefined,
        beforeMs: 0,
        peers: [NEIGHBOUR],
        keys: [],
        pattern: undefined,
        reason: '',
        createdAtMs: 1
      }
    ],
    admins: [{ id: 'a1', key: NEIGHBOUR, name: 'eve', role: 'owner', scopes: [], reason: '', createdAtMs: 1 }],
    adminRemovals: [{ id: 'd1', key: ROOT, sequence: 0n, sha256: '', reason: '', createdAtMs: 1 }],
    withdrawals: [{ id: 'w1', author: ROOT, statement: 'r2', reason: '', createdAtMs: 1 }]
  })
  assert.equal(host.policy.onGossip(announceSet(peerKeyOf(rawPublicKey(key)), evil), NEIGHBOUR), 'accept')
  assert.deepEqual(rulesOf(host), ['r2', 'bob/r3'])
  assert.deepEqual([host.policy.bundle?.strict, host.policy.bundle?.revocations], [false, []])
  assert.deepEqual(
    host.sets.inForce.admins.map(({ name, removal }) => [name, removal]),
    [
      ['founder', undefined],
      ['bob', undefined]
    ]
  )
})

test('a set of a key without rights is neither verified nor held, and one with a bad signature refused with who brings it', async t => {
  const [root, bob, host] = [node(t, true), node(t, false), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev')
  await sync(root, host)
  const stranger = generatePeerKeyPair()
  const foreign = signSet(stranger, undefined, {})
  assert.equal(host.policy.onGossip(announceSet(peerKeyOf(rawPublicKey(stranger)), foreign), NEIGHBOUR), 'ignore')
  const bobs = peerKeyOf(rawPublicKey(keyOf(bob)))
  assert.equal(host.policy.onGossip(announceSet(bobs, foreign), NEIGHBOUR), 'reject')
  // An observer states nothing.
  const carol = node(t, false)
  await grant(root, carol, 'carol', 'observer')
  await sync(root, host)
  const observed = signSet(keyOf(carol), undefined, {})
  assert.equal(host.policy.onGossip(announceSet(peerKeyOf(rawPublicKey(keyOf(carol))), observed), NEIGHBOUR), 'ignore')
  assert.deepEqual(
    host.sets.inForce.admins.map(({ set }) => set?.version),
    [root.policy.version, undefined, undefined]
  )
})

test('a member makes a host verify so many sets in a second and no more, and an admin is not slowed down by forgeries', async t => {
  const [root, bob, host] = [node(t, true), node(t, false), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev')
  await sync(root, host)
  const forged = announceSet(peerKeyOf(rawPublicKey(keyOf(bob))), signSet(generatePeerKeyPair(), undefined, {}))
  const verdicts = Array.from({ length: 4 * SENDER_RATE.burst }, () => host.policy.onGossip(forged, NEIGHBOUR))
  assert.ok(verdicts.filter(verdict => verdict === 'reject').length < 2 * SENDER_RATE.burst)
  assert.ok(verdicts.includes('ignore'))
  await bob.policy.add(rule('allow', 'dev.*.*.*', 'dev.*.*.*'))
  const other = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
  assert.equal(host.policy.onGossip(bob.announced.at(-1) ?? new Uint8Array(), other), 'accept')
  assert.deepEqual(rulesOf(host), ['bob/r1'])
})

test('a restart forgets no set, and a damaged file stops the start', async t => {
  const [root, bob, host] = [node(t, true), node(t, false), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev')
  await bob.policy.add(rule('deny', 'dev.*.*.*', 'dev.*.*.*'))
  await sync(root, host)
  await sync(bob, host)
  assert.deepEqual(rulesOf(node(t, false, host)), ['bob/r1'])
  const path = join(host.directory, 'policy.sets')
  writeFileSync(path, readFileSync(path).fill(0, 40, 60))
  assert.throws(() => node(t, false, host), { code: 'STATE_UNUSABLE' })
})

test('an admin whose set was lost takes it back from others, and signs after it', async t => {
  const [root, bob, host] = [node(t, true), node(t, false), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev')
  for (const name of ['a', 'b']) await bob.policy.add(rule('deny', `dev.${name}.*.*`, 'dev.*.*.*'))
  await sync(root, host)
  await sync(bob, host)
  rmSync(join(bob.directory, 'policy.sets'))
  const again = node(t, false, bob)
  await sync(host, again)
  assert.equal((await again.policy.add(rule('deny', 'dev.c.*.*', 'dev.*.*.*'))).id, 'bob/r3')
  await sync(again, host)
  assert.deepEqual(rulesOf(host), ['bob/r1', 'bob/r2', 'bob/r3'])
})

test('a removed admin signs nothing more, and a new key of its host begins anew', async t => {
  const [root, bob] = [node(t, true), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev')
  assert.throws(() => bob.sets.makeKey(true), { code: 'INVALID_ARGUMENT' })
  await bob.policy.add(rule('allow', 'dev.*.*.*', 'dev.*.*.*'))
  await sync(bob, root)
  const { content } = removeAdmin(root.sets.inForce, root.sets.editor(), {
    name: 'bob',
    discard: false,
    reason: 'left'
  })
  await root.policy.change(content)
  await sync(root, bob)
  await assert.rejects(bob.policy.add(rule('allow', 'dev.a.*.*', 'dev.*.*.*')), {
    code: 'NOT_ADMIN',
    reason: /removed by founder: left/
  })
  assert.throws(
    () =>
      addAdmin(root.sets.inForce, root.sets.editor(), {
        name: 'bob',
        key: bob.sets.makeKey(false),
        role: 'owner',
        scopes: [],
        reason: ''
      }),
    { code: 'INVALID_ARGUMENT' }
  )
  bob.sets.makeKey(true)
  await grant(root, bob, 'bob2', 'admin', 'dev')
  await bob.policy.add(rule('deny', 'dev.*.*.*', 'dev.x.*.*'))
  await sync(bob, root)
  assert.deepEqual(rulesOf(root), ['bob/r1', 'bob2/r1'])
})

test('what would break an invariant of another admin is refused where it is signed, and denied where it arrives', async t => {
  const [root, bob] = [node(t, true), node(t, false)]
  await grant(root, bob, 'bob', 'admin', 'dev', 'prod')
  const { id: _, ...pair } = { ...rule('deny', 'dev.*.*.*', 'prod.*.*.*'), id: 'i1' }
  await root.policy.change({ invariants: [{ ...pair, id: 'i1', createdAtMs: 0 }] })
  await bob.policy.add(rule('allow', 'dev.*.*.*', 'prod.*.*.*'))
  await sync(root, bob)
  await sync(bob, root)
  for (const { policy } of [root, bob]) {
    assert.deepEqual(
      policy.bundle?.rules.map(({ id, effect }) => [id, effect]),
      [
        ['bob/r1', 'allow'],
        ['i1', 'deny']
      ]
    )
  }
  await assert.rejects(bob.policy.add(rule('allow', 'dev.a.*.*', 'prod.a.*.*')), { code: 'INVARIANT_BROKEN' })
})

test('a change that a person signs is made only if nothing has changed meanwhile', async t => {
  const [a, b] = [node(t, true), node(t, false)]
  const key = generatePeerKeyPair()
  b.sets.useKey({ key: peerKeyOf(rawPublicKey(key)), uri: 'ssh-agent:SHA256:x' })
  await grant(a, b, 'bob', 'owner')
  const controller = new AbortController()
  const { signal: connection } = controller
  t.after(() => controller.abort())
  const { signing } = b.sets
  const offers = signing.offer(connection, connection)
  await offers.next()
  const deny = (source: string) => signing.within(connection, () => b.policy.add(rule('deny', source, 'dev.db.*.*')))
  const answer = async (): Promise<void> => {
    const wanted = (await offers.next()).value
    assert.ok(wanted)
    signing.answer(connection, wanted.id, { signature: sign(key, wanted.context, wanted.content) })
  }
  const first = deny('dev.a.*.*')
  await answer()
  assert.equal((await first).id, 'bob/r1')
  assert.deepEqual(rulesOf(b), ['bob/r1'])
  await sync(b, a)
  assert.deepEqual(rulesOf(a), ['bob/r1'], 'as any set of an admin')

  // Two changes at a time: both begin with version 1, and one of them is made.
  const [one, other] = [deny('dev.b.*.*'), deny('dev.c.*.*')]
  const late = assert.rejects(other, { code: 'NOT_READY' })
  await answer()
  await answer()
  await one
  await late

  const removed = deny('dev.d.*.*')
  const refused = assert.rejects(removed, { code: 'NOT_ADMIN' })
  const { content } = removeAdmin(a.sets.inForce, a.sets.editor(), { name: 'bob', discard: false, reason: '' })
  await a.policy.change(content)
  await sync(a, b)
  await answer()
  await refused

  // A restart remembers whose key it is, and has no private key.
  b.policy.stop()
  const again = node(t, false, b)
  assert.equal(again.sets.ownKey, peerKeyOf(rawPublicKey(key)))
  assert.doesNotMatch(readFileSync(join(b.directory, 'admin.own.key'), 'utf8'), /PRIVATE/)
  await assert.rejects(again.policy.add(rule('deny', 'dev.e.*.*', 'dev.db.*.*')), { code: 'NOT_ADMIN' })
})
