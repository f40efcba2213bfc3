import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { generatePeerKeyPair, parsePattern, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import {
  type AdminGrant,
  type AdminKey,
  type Bundle,
  type Content,
  draftBundle,
  evaluate,
  mayObserve,
  type Role,
  type Rule,
  requireAdmin,
  roleOf,
  SetReplica
} from '../../src/policy/index.ts'

const ROOT = keyOf()
const KEYS: readonly AdminKey[] = Array.from({ length: 5 }, keyOf)
const SCOPES = ['dev', 'prod', 'test']

function keyOf(): AdminKey {
  return peerKeyOf(rawPublicKey(generatePeerKeyPair()))
}

function next(current: Bundle | undefined, key: AdminKey, content: Partial<Content>, nowMs = 1_000): Bundle {
  const signer = key === ROOT ? 'root' : 'admin'
  return draftBundle(current, { ...content, trustDomain: 'example.org', nowMs }, signer)
}

function rule(id: string, effect: Rule['effect'], source: string, destination: string): Rule {
  return {
    id,
    effect,
    source: parsePattern(source),
    destination: parsePattern(destination),
    protocols: [],
    notBeforeMs: 0,
    untilMs: 0,
    reason: '',
    createdAtMs: 0
  }
}

function grant(id: string, key: AdminKey, role: Role, scopes: readonly string[] = [], name = 'bob'): AdminGrant {
  return { id, key, name, role, scopes, reason: '', createdAtMs: 0 }
}

const removal = (id: string, key: AdminKey, at: Bundle | undefined) => ({
  id,
  key,
  sequence: at?.version ?? 0n,
  sha256: at?.sha256 ?? '',
  reason: '',
  createdAtMs: 0
})

const address = (scope: string, name = 'a') => ({
  scope,
  appGroup: 'web',
  appIdentity: name,
  resourceGroup: 'default',
  machine: 'host'
})

const allows = (replica: SetReplica, from: string, to: string): boolean =>
  evaluate(
    replica.inForce.bundle,
    { source: address(from), destination: address(to, 'b'), protocol: 'tcp', whitelist: [] },
    5_000
  ).allowed

function replicaOf(root: Bundle, ...sets: ReadonlyArray<readonly [AdminKey, Bundle]>): SetReplica {
  const replica = new SetReplica(ROOT)
  replica.setRoot(root)
  for (const [key, set] of sets) if (replica.wants({ key, ...set })) replica.put(key, set)
  return replica
}

const [ANN = ROOT, BOB = ROOT, EVE = ROOT] = KEYS

test('an admin of a scope allows within it and nothing beyond, however the pattern is written', () => {
  const root = next(undefined, ROOT, { admins: [grant('a1', BOB, 'admin', ['dev'])] })
  const patterns = ['*', 'prod', '{dev,prod}', 'test']
  const rules = patterns.flatMap((one, at) => [
    rule(`r${at}a`, 'allow', `${one}.*.*.*`, 'dev.*.*.*'),
    rule(`r${at}b`, 'allow', 'dev.*.*.*', `${one}.*.*.*`),
    rule(`r${at}c`, 'deny', `${one}.*.*.*`, `${one}.*.*.*`)
  ])
  const set = next(undefined, BOB, { rules: [...rules, rule('ok', 'allow', 'dev.*.*.*', 'dev.*.*.*')] })
  const replica = replicaOf(root, [BOB, set])
  assert.deepEqual(
    replica.inForce.bundle?.rules.map(({ id, by }) => [id, by]),
    [['bob/ok', 'bob']]
  )
  assert.ok(allows(replica, 'dev', 'dev'))
  assert.match(replica.inForce.origins.get('rules bob/r0a')?.withoutEffect ?? '', /is not within scope dev/)
})

test('a denial of any set beats the permissions of all, and so does an invariant', () => {
  const root = next(undefined, ROOT, {
    admins: [grant('a1', BOB, 'admin', ['dev']), grant('a2', ANN, 'owner', [], 'ann')],
    rules: [rule('r1', 'allow', 'dev.*.*.*', 'dev.*.*.*'), rule('r2', 'allow', 'prod.*.*.*', 'prod.*.*.*')]
  })
  const bobs = next(undefined, BOB, { rules: [rule('r1', 'deny', 'dev.*.*.*', 'dev.*.*.*')] })
  const { rules: _none, ...never } = { ...rule('i1', 'deny', 'prod.*.*.*', 'prod.*.*.*'), rules: undefined }
  const anns = next(undefined, ANN, { invariants: [never] })
  assert.ok(!allows(replicaOf(root, [BOB, bobs]), 'dev', 'dev'))
  assert.ok(allows(replicaOf(root, [BOB, bobs]), 'prod', 'prod'))
  assert.ok(!allows(replicaOf(root, [ANN, anns]), 'prod', 'prod'))
})

test('an owner takes back any statement, an admin those of other admins of its scopes, and nobody else any', () => {
  const withdraw = (id: string, author: AdminKey) => ({ id, author, statement: 'r1', reason: '', createdAtMs: 0 })
  const deny = [rule('r1', 'deny', 'dev.*.*.*', 'dev.*.*.*')]
  const root = next(undefined, ROOT, {
    rules: [rule('r1', 'deny', 'prod.*.*.*', 'prod.*.*.*'), rule('r2', 'allow', 'dev.*.*.*', 'dev.*.*.*')],
    admins: [
      grant('a1', ANN, 'owner', [], 'ann'),
      grant('a2', BOB, 'admin', ['dev'], 'bob'),
      grant('a3', EVE, 'admin', ['dev', 'prod'], 'eve')
    ]
  })
  const bobs = next(undefined, BOB, { rules: deny })
  const ids = (...sets: ReadonlyArray<readonly [AdminKey, Bundle]>) =>
    replicaOf(root, ...sets).inForce.bundle?.rules.map(({ id }) => id)
  assert.deepEqual(ids([BOB, bobs]), ['r1', 'r2', 'bob/r1'])
  const eves = next(undefined, EVE, { withdrawals: [withdraw('w1', BOB), withdraw('w2', ROOT), withdraw('w3', ANN)] })
  const anns = next(undefined, ANN, { rules: deny })
  assert.deepEqual(ids([BOB, bobs], [EVE, eves], [ANN, anns]), ['r1', 'r2', 'ann/r1'])
  assert.deepEqual(ids([BOB, bobs], [ANN, next(undefined, ANN, { withdrawals: [withdraw('w1', ROOT)] })]), [
    'r2',
    'bob/r1'
  ])
})

test('of a removed admin the named version counts, and neither a later one nor another of its sequence', () => {
  const granted = next(undefined, ROOT, { admins: [grant('a1', BOB, 'admin', ['dev', 'prod'])] })
  const first = next(undefined, BOB, { rules: [rule('r1', 'allow', 'dev.*.*.*', 'dev.*.*.*')] })
  const other = next(undefined, BOB, { rules: [rule('r1', 'allow', 'prod.*.*.*', 'prod.*.*.*')] }, 0)
  const later = next(first, BOB, { rules: [...first.rules, rule('r2', 'allow', 'prod.*.*.*', 'prod.*.*.*')] }, 0)
  const removed = next(granted, ROOT, { adminRemovals: [removal('d2', BOB, first)] })
  const sets = [[BOB, first] as const, [BOB, other] as const, [BOB, later] as const]
  for (const order of [sets, sets.toReversed(), [sets[1], sets[0], sets[2]].filter(one => one !== undefined)]) {
    const replica = replicaOf(granted, ...order)
    replica.setRoot(removed)
    for (const [key, set] of order) if (replica.wants({ key, ...set })) replica.put(key, set)
    assert.ok(allows(replica, 'dev', 'dev') && !allows(replica, 'prod', 'prod'))
    assert.equal(roleOf(replica.inForce, BOB), undefined)
  }
  // Until it is held, nothing that gives a right counts.
  const without = replicaOf(granted, [BOB, later])
  without.setRoot(removed)
  assert.ok(!allows(without, 'dev', 'dev') && !allows(without, 'prod', 'prod'))
  const nothing = replicaOf(granted, [BOB, first])
  nothing.setRoot(next(granted, ROOT, { adminRemovals: [removal('d2', BOB, undefined)] }))
  assert.deepEqual(nothing.inForce.bundle?.rules, [])
})

test('a removed key gets no right again, and a removal by an admin who is no owner ends none', () => {
  const root = next(undefined, ROOT, {
    admins: [grant('a1', BOB, 'owner', [], 'bob'), grant('a2', EVE, 'admin', ['dev'], 'eve')]
  })
  const eves = next(undefined, EVE, {
    adminRemovals: [removal('d1', BOB, undefined)],
    admins: [grant('a1', ANN, 'owner')]
  })
  const replica = replicaOf(root, [EVE, eves])
  assert.equal(roleOf(replica.inForce, BOB), 'owner')
  assert.equal(roleOf(replica.inForce, ANN), undefined)
  const again = next(root, ROOT, { adminRemovals: [removal('d1', EVE, undefined)] })
  replica.setRoot(next(again, ROOT, { admins: [...(again.admins ?? []), grant('a9', EVE, 'owner', [], 'eve2')] }))
  assert.equal(roleOf(replica.inForce, EVE), undefined)
})

test('of two owners who remove each other the older stays; a younger one removes a lost root with all it gave', () => {
  const root = next(undefined, ROOT, { admins: [grant('a1', ANN, 'owner', [], 'ann'), grant('a2', BOB, 'owner')] })
  const anns = next(undefined, ANN, { adminRemovals: [removal('d1', BOB, undefined)] })
  const bobs = next(undefined, BOB, { adminRemovals: [removal('d1', ANN, undefined)] })
  for (const order of [
    [[ANN, anns] as const, [BOB, bobs] as const],
    [[BOB, bobs] as const, [ANN, anns] as const]
  ]) {
    const replica = replicaOf(root, ...order)
    assert.equal(roleOf(replica.inForce, ANN), 'owner')
    assert.equal(roleOf(replica.inForce, BOB), undefined)
  }
  const without = replicaOf(root, [BOB, next(undefined, BOB, { adminRemovals: [removal('d1', ROOT, root)] })])
  without.setRoot(next(root, ROOT, { rules: [rule('r9', 'allow', 'dev.*.*.*', 'dev.*.*.*')] }))
  assert.equal(roleOf(without.inForce, ROOT), undefined)
  assert.equal(roleOf(without.inForce, ANN), 'owner')
  assert.deepEqual(without.inForce.bundle?.rules, [])
})

test('an owner or an observer may ask about the whole mesh, an admin of scopes may not', () => {
  const root = next(undefined, ROOT, {
    admins: [grant('a1', ANN, 'observer', [], 'ann'), grant('a2', BOB, 'admin', ['dev'])]
  })
  const { inForce } = replicaOf(root)
  assert.deepEqual(
    [ROOT, ANN, BOB, EVE].map(key => mayObserve(inForce, key)),
    [true, true, false, false]
  )
})

test('an observer who tries to change something learns that it is one', () => {
  const root = next(undefined, ROOT, { admins: [grant('a1', ANN, 'observer', [], 'ann')] })
  assert.throws(() => requireAdmin(replicaOf(root).inForce, ANN), /ann, the admin of this host, is an observer/)
})

// One step of somebody's work: who, on which replica, and what he states there.
const step = fc.record({
  actor: fc.nat(5),
  target: fc.nat(5),
  replica: fc.nat(2),
  role: fc.constantFrom<Role>('owner', 'admin', 'observer'),
  scopes: fc.subarray(SCOPES, { minLength: 1 }),
  effect: fc.constantFrom('allow', 'deny'),
  kind: fc.constantFrom('rule', 'rule', 'rule', 'grant', 'remove', 'discard', 'withdraw', 'sync', 'fork')
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Every version that a script makes, each in the light of what the replica of its author holds then. */
function play(steps: readonly Step[]): {
  readonly replicas: SetReplica[]
  readonly roots: Bundle[]
  readonly made: Array<[AdminKey, Bundle]>
} {
  const all = [ROOT, ...KEYS]
  const first = next(undefined, ROOT, {
    admins: KEYS.map((key, at) => grant(`a${at}`, key, at < 3 ? 'owner' : 'admin', at < 3 ? [] : ['dev'], `n${at}`))
  })
  const replicas = Array.from({ length: 3 }, () => replicaOf(first))
  const roots = [first]
  const made: Array<[AdminKey, Bundle]> = []
  for (const [at, { actor, target, replica: where, role, scopes, effect, kind }] of steps.entries()) {
    const [replica, key, other] = [replicas[where], all[actor], all[target]]
    assert.ok(replica !== undefined && key !== undefined && other !== undefined)
    if (kind === 'sync') {
      exchange(replicas[target % 3] as SetReplica, replica)
      continue
    }
    const current = replica.newestOf(key)
    const id = `s${at}`
    const one = scopes[0] ?? 'dev'
    const content: Partial<Content> =
      kind === 'grant'
        ? { admins: [...(current?.admins ?? []), grant(id, other, role, role === 'admin' ? scopes : [], `n${target}`)] }
        : kind === 'remove' || kind === 'discard'
          ? {
              adminRemovals: [
                ...(current?.adminRemovals ?? []),
                removal(id, other, kind === 'remove' ? replica.newestOf(other) : undefined)
              ]
            }
          : kind === 'withdraw'
            ? {
                withdrawals: [
                  ...(current?.withdrawals ?? []),
                  { id, author: other, statement: `s${at - 1}`, reason: '', createdAtMs: 0 }
                ]
              }
            : {
                rules: [
                  ...(current?.rules ?? []),
                  rule(id, effect as 'allow' | 'deny', `${one}.*.*.*`, `${scopes.at(-1) ?? one}.*.*.*`)
                ]
              }
    // The root has one writer here: a fork of its bundle is another matter, as before.
    const set = next(
      kind === 'fork' && key !== ROOT ? replica.versionsOf(key)[0] : key === ROOT ? roots.at(-1) : current,
      key,
      content
    )
    if (key === ROOT) {
      roots.push(set)
      replica.setRoot(set)
    } else {
      made.push([key, set])
      if (replica.wants({ key, ...set })) replica.put(key, set)
    }
  }
  return { replicas, roots, made }
}

/** What `from` holds and `to` lacks; returns whether there was any. */
function exchange(from: SetReplica, to: SetReplica): boolean {
  let moved = false
  const root = from.newestOf(ROOT)
  if (root !== undefined && root.version > (to.newestOf(ROOT)?.version ?? 0n)) {
    to.setRoot(root)
    moved = true
  }
  for (const { key, set } of from.missing(to.held())) {
    if (!to.wants({ key, ...set })) continue
    to.put(key, set)
    moved = true
  }
  return moved
}

function settle(replicas: readonly SetReplica[], order: readonly number[]): void {
  for (let round = 0; round < 50; round += 1) {
    let moved = false
    for (const at of order) {
      const [from, to] = [replicas[at % 3], replicas[Math.trunc(at / 3) % 3]]
      if (from !== undefined && to !== undefined && from !== to) moved = exchange(from, to) || moved
    }
    for (const from of replicas) for (const to of replicas) if (from !== to) moved = exchange(from, to) || moved
    if (!moved) return
  }
  assert.fail('they do not settle')
}

const shown = ({ inForce }: SetReplica): string =>
  JSON.stringify([inForce.digest, inForce.bundle, inForce.admins.map(({ set: _, ...admin }) => admin)], (_, value) =>
    typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
  )

test('replicas that have exchanged all they hold have the same in force, whatever was said where, in whatever order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 24 }), fc.array(fc.nat(8), { maxLength: 12 }), (steps, order) => {
      const { replicas } = play(steps)
      settle(replicas, order)
      const [first, ...others] = replicas
      for (const other of others) assert.ok(shown(other) === shown(first as SetReplica), `${shown(other).slice(0, 80)}`)
    }),
    { numRuns: 300 }
  )
})

test('no admin of a scope ever changes a decision outside of it, whatever its set says', () => {
  const everything = fc.array(
    fc.record({
      effect: fc.constantFrom('allow', 'deny'),
      source: fc.constantFrom(...SCOPES, '*', '{dev,prod}'),
      destination: fc.constantFrom(...SCOPES, '*', '{dev,test}')
    }),
    { maxLength: 8 }
  )
  fc.assert(
    fc.property(everything, everything, fc.subarray(SCOPES), (ofRoot, ofAdmin, scopes) => {
      const make = (all: typeof ofRoot): Rule[] =>
        all.map(({ effect, source, destination }, at) =>
          rule(`r${at}`, effect as 'allow' | 'deny', `${source}.*.*.*`, `${destination}.*.*.*`)
        )
      const root = next(undefined, ROOT, { rules: make(ofRoot), admins: [grant('a1', BOB, 'admin', scopes)] })
      const set = next(undefined, BOB, {
        rules: make(ofAdmin),
        strict: true,
        adminRemovals: [removal('d1', ROOT, undefined)],
        admins: [grant('a1', EVE, 'owner')],
        withdrawals: make(ofRoot).map(({ id }, at) => ({
          id: `w${at}`,
          author: ROOT,
          statement: id,
          reason: '',
          createdAtMs: 0
        }))
      })
      const [alone, both] = [replicaOf(root), replicaOf(root, [BOB, set])]
      assert.equal(both.inForce.bundle?.strict, false)
      assert.equal(roleOf(both.inForce, EVE), undefined)
      for (const from of SCOPES) {
        for (const to of SCOPES) {
          if (scopes.includes(from) && scopes.includes(to)) continue
          assert.equal(allows(both, from, to), allows(alone, from, to), `${from} -> ${to}`)
        }
      }
    }),
    { numRuns: 300 }
  )
})

test('what a removed admin states later, or in place of what he stated, changes nothing on any host', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.array(step, { minLength: 1, maxLength: 6 }), (before, after) => {
      const { replicas, roots } = play(before.filter(({ kind }) => kind !== 'remove' && kind !== 'discard'))
      settle(replicas, [])
      const [replica] = replicas
      assert.ok(replica !== undefined)
      const counted = replica.newestOf(BOB)
      replica.setRoot(next(roots.at(-1), ROOT, { adminRemovals: [removal('last', BOB, counted)] }))
      const was = shown(replica)
      let base = counted
      for (const [at, { scopes, effect, kind }] of after.entries()) {
        const from = kind === 'fork' ? undefined : base
        const one = next(from, BOB, {
          rules: [rule(`z${at}`, effect as 'allow' | 'deny', `${scopes[0]}.*.*.*`, `${scopes[0]}.*.*.*`)]
        })
        if (kind !== 'fork') base = one
        if (one.sha256 === counted?.sha256) continue
        assert.ok(!replica.wants({ key: BOB, ...one }))
        // Also where it was held when the removal came.
        replica.put(BOB, one)
        assert.equal(shown(replica), was)
      }
    }),
    { numRuns: 200 }
  )
})
