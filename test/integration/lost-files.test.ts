import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { setsResponse } from '../../src/cluster/admins/messages.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  generateSigningKeyPair,
  keyToPem,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import { openSet, sealBundle } from '../../src/policy/index.ts'
import { VaultFile } from '../../src/state/names.ts'
import { Vault } from '../../src/state/vault.ts'
import { scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { upOn } from './support/up-on.ts'

const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
/** Of a founder as it is after its first rule, and of one in the middle of a rotation of its root. */
const FRESH = join(scope.directory(), 'fresh')
const ROTATING = join(scope.directory(), 'rotating')

/** A set of another admin, as it is stored. */
function setsOfAnother(): Uint8Array {
  const key = generatePeerKeyPair()
  const trustDomain = 'example.org'
  const signed = sealBundle(undefined, { trustDomain, nowMs: 1 }, bytes => sign(key, CONTEXT.policySet, bytes), 'admin')
  const set = openSet(signed, rawPublicKey(key), trustDomain)
  return setsResponse([{ key: peerKeyOf(rawPublicKey(key)), version: set.version, sha256: set.sha256, set }])
}

before(async () => {
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await agent.allow('dev.*.*.*', 'dev.*.*.*')
  await agent.stop()
  cpSync(agent.stateDir, FRESH, { recursive: true })
  await agent.start([])
  await agent.cli('root', 'rotate')
  const renewed = ['node.renewed.pem', 'authority.pem', 'root.former.key', 'trust.history']
  await waitFor(
    () => renewed.every(name => existsSync(join(agent.stateDir, name))),
    'certificates below the new root',
    150_000
  )
  await agent.stop()
  cpSync(agent.stateDir, ROTATING, { recursive: true })
  const vault = new Vault(ROTATING)
  vault.write(VaultFile.PendingAuthorityKey, keyToPem(generateSigningKeyPair()))
  vault.write(VaultFile.OwnAdminKey, keyToPem(generatePeerKeyPair()))
  vault.write(VaultFile.PolicySets, setsOfAnother())
})

const DAMAGES: Readonly<Record<Damage, (path: string) => void>> = {
  missing: path => rmSync(path),
  empty: path => truncateSync(path, 0),
  garbage: path => writeFileSync(path, 'garbage\n'.repeat(700)),
  truncated: path => truncateSync(path, Math.floor(readFileSync(path).length / 2))
}
type Damage = 'missing' | 'empty' | 'garbage' | 'truncated'

/** Damages that lose nothing, since the content is elsewhere: then the agent starts. */
const HARMLESS: Readonly<Record<string, readonly Damage[]>> = {
  'policy.bundle': ['missing'],
  manifest: ['truncated']
}
/** Without these a host is none, whatever its operator says. */
const ESSENTIAL: ReadonlySet<string> = new Set(['peer.key', 'node.key', 'node.pem', 'trust.bundle', 'root.sha256'])

const CASES: ReadonlyArray<readonly [state: string, file: string]> = [
  ...['peer.key', 'node.key', 'node.pem', 'trust.bundle', 'root.sha256', 'node.secret', 'jwt.keys', 'root.key'],
  ...['authority.key', 'admin.key', 'policy.bundle', 'manifest', 'warren.db']
]
  .map(file => [FRESH, file] as const)
  .concat(
    [
      ...['node.renewed.pem', 'trust.history', 'root.former.key', 'authority.pem', 'authority.pending.key'],
      ...['admin.own.key', 'policy.sets']
    ].map(file => [ROTATING, file] as const)
  )

test('the table below has every file of a state directory that stays, but one that nobody makes any more', () => {
  const files = new Set(CASES.map(([, file]) => file))
  assert.deepEqual(
    Object.values(VaultFile).filter(name => !files.has(name)),
    // The first is there until a join has ended: interrupted-join.test.ts.
    ['join.attempt', 'jwt.key']
  )
  for (const [state, file] of CASES) assert.ok(existsSync(join(state, file)), file)
})

/** Otherwise each file is missed, and has one of the other damages; and what was missed is put back. */
const IS_FULL = process.env['TEST_LOST_FILES'] === 'full'
const OTHERS = ['empty', 'garbage', 'truncated'] as const

function damagesOf(index: number): readonly Damage[] {
  return IS_FULL ? ['missing', ...OTHERS] : ['missing', OTHERS[index % OTHERS.length] ?? 'empty']
}

for (const [index, [state, file]] of CASES.entries()) {
  test(`a ${file} that is lost or damaged is named at the start, with what to do about it`, async t => {
    const own = scopeOf(t)
    const copy = (): string => {
      const path = join(own.directory(), 's')
      cpSync(state, path, { recursive: true })
      return path
    }
    const runs = damagesOf(index).map(async damage => {
      const path = copy()
      DAMAGES[damage](join(path, file))
      const names = readdirSync(path)
      const outcome = await upOn(own, path)
      if (HARMLESS[file]?.includes(damage) === true) {
        assert.equal(outcome, 'ready', `${damage}: ${JSON.stringify(outcome)}`)
        assert.ok(readFileSync(join(path, file)).length > 0)
        return
      }
      assert.ok(outcome !== 'ready', `${file}, ${damage}: it started`)
      assert.equal(outcome.code, 1)
      assert.match(
        outcome.stderr,
        new RegExp(`^warren: STATE_UNUSABLE: .*${join(path, file)}\\b.*\\n {2}\\S.{20}`, 'm'),
        damage
      )
      assert.doesNotMatch(outcome.stderr, /INTERNAL/)
      // Nothing was made in its place, so what can still be put back is.
      assert.deepEqual(readdirSync(path), names, damage)
      if (!IS_FULL && damage !== 'missing') return
      cpSync(join(state, file), join(path, file))
      assert.equal(await upOn(own, path), 'ready', `${file}, ${damage}: put back`)
    })
    await Promise.all(runs)
  })

  test(`without its ${file} a host goes on only if its operator says so, and if it can`, async t => {
    const own = scopeOf(t)
    const path = join(own.directory(), 's')
    cpSync(state, path, { recursive: true })
    rmSync(join(path, file))
    const outcome = await upOn(own, path, '--accept-lost-state')
    if (ESSENTIAL.has(file)) {
      assert.ok(outcome !== 'ready')
      assert.match(outcome.stderr, /Put it back from a backup\. Do not empty/)
      return
    }
    assert.equal(outcome, 'ready', JSON.stringify(outcome))
    // Once is enough.
    assert.equal(await upOn(own, path), 'ready')
  })
}

test('a founder that has lost its chain is not founded anew over its keys, whatever its unit says', async t => {
  const own = scopeOf(t)
  const files = Object.values(VaultFile).filter(name => existsSync(join(FRESH, name)))
  for (const gone of [
    ['node.pem'],
    ['node.pem', 'manifest'],
    ['node.pem', 'manifest', 'warren.db'],
    [...files, 'manifest'],
    files
  ]) {
    const path = join(own.directory(), 's')
    cpSync(FRESH, path, { recursive: true })
    for (const name of gone) rmSync(join(path, name))
    const before = readdirSync(path)
    for (const consent of [[], ['--accept-lost-state']]) {
      const outcome = await upOn(own, path, '--init', 'example.org', '--name', 'a', ...consent)
      assert.ok(outcome !== 'ready')
      assert.match(outcome.stderr, /STATE_UNUSABLE: .* is missing/, gone.join())
    }
    for (const name of before.filter(one => one.endsWith('.key')))
      assert.deepEqual(readFileSync(join(path, name)), readFileSync(join(FRESH, name)))
  }
  const path = join(own.directory(), 's')
  cpSync(FRESH, path, { recursive: true })
  rmSync(join(path, 'node.pem'))
  writeFileSync(join(path, 'manifest'), 'warren state 1\n')
  const outcome = await upOn(own, path, '--init', 'example.org', '--name', 'a')
  assert.ok(outcome !== 'ready')
  assert.match(outcome.stderr, /STATE_UNUSABLE: .*node\.pem is missing/)
  assert.deepEqual(readFileSync(join(path, 'root.key')), readFileSync(join(FRESH, 'root.key')))
})

test('what a founding had begun when it was interrupted is begun anew, and no key of it is kept by a host that joins', async t => {
  const own = scopeOf(t)
  const founder = await new TestAgent(own, { name: 'f', args: ['--init', 'example.org'] }).start()
  const path = join(own.directory(), 's')
  const vault = new Vault(path)
  for (const name of ['root.key', 'admin.key', 'authority.key'] as const)
    vault.write(name, readFileSync(join(FRESH, name)))
  const token = await founder.token('a')
  assert.equal(await upOn(own, path, '--join', token), 'ready')
  for (const name of ['root.key', 'admin.key', 'authority.key']) assert.ok(!existsSync(join(path, name)), name)
})

test('a state directory of before there was a manifest is taken as it is, and its losses are noticed from then on', async t => {
  const own = scopeOf(t)
  const path = join(own.directory(), 's')
  cpSync(FRESH, path, { recursive: true })
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(path, 'warren.db'))
  database.exec("DELETE FROM setting WHERE name = 'host'")
  database.close()
  for (const name of ['manifest', 'policy.bundle']) rmSync(join(path, name))
  assert.equal(await upOn(own, path), 'ready')
  assert.ok(existsSync(join(path, 'policy.bundle')))
  rmSync(join(path, 'admin.key'))
  const outcome = await upOn(own, path)
  assert.ok(outcome !== 'ready')
  assert.match(outcome.stderr, /admin\.key is missing/)
})

test('the database of another host is refused, also by an operator who accepts losses', async t => {
  const own = scopeOf(t)
  const other = await new TestAgent(own, { name: 'x', args: ['--init', 'example.org'] }).start()
  await other.stop()
  const path = join(own.directory(), 's')
  cpSync(FRESH, path, { recursive: true })
  cpSync(join(other.stateDir, 'warren.db'), join(path, 'warren.db'))
  const outcome = await upOn(own, path, '--accept-lost-state')
  assert.ok(outcome !== 'ready')
  assert.match(outcome.stderr, /STATE_UNUSABLE: the database \S+ is of another host/)
})
