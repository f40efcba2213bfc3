import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import { openDatabase } from '../../src/state/database.ts'
import { Manifest } from '../../src/state/manifest.ts'
import { Store } from '../../src/state/store.ts'
import { Vault, VaultFile } from '../../src/state/vault.ts'
import { joinUse } from './join-use.ts'

const A = 'peer-a' as PeerKey

function temporary(t: { after: (fn: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'warren-state-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const unusable = (err: unknown) => WarrenError.is(err, ErrorCode.StateUnusable)

test('a key is readable by its owner only, in a directory of its owner only', t => {
  const directory = join(temporary(t), 'state')
  const vault = new Vault(directory)
  vault.write(VaultFile.PeerKey, 'secret')
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  assert.equal(statSync(join(directory, VaultFile.PeerKey)).mode & 0o777, 0o600)
  assert.equal(String(vault.read(VaultFile.PeerKey)), 'secret')
  assert.equal(vault.read(VaultFile.NodeKey), undefined)
  assert.throws(() => vault.require(VaultFile.NodeKey), unusable)
})

test('a state directory that is a link or a file, that others may write to or that has other things in it is refused, and left as it is', t => {
  const directory = temporary(t)
  symlinkSync(directory, join(directory, 'link'))
  writeFileSync(join(directory, 'file'), '')
  mkdirSync(join(directory, 'open'))
  chmodSync(join(directory, 'open'), 0o777)
  chmodSync(directory, 0o755)
  for (const path of ['link', 'file', 'open', '.']) {
    const before = statSync(join(directory, path)).mode
    assert.throws(() => new Vault(join(directory, path)), unusable, path)
    assert.equal(statSync(join(directory, path)).mode, before, path)
  }
  assert.deepEqual(readdirSync(directory).sort(), ['file', 'link', 'open'])
})

test('a state directory that was there keeps its mode, and one that is made is for its owner alone', t => {
  const directory = temporary(t)
  mkdirSync(join(directory, 'there'), { mode: 0o755 })
  mkdirSync(join(directory, 'there', 'lost+found'))
  for (const round of ['first', 'second']) {
    new Vault(join(directory, 'there'))
    assert.equal(statSync(join(directory, 'there')).mode & 0o777, 0o755, round)
  }
  new Vault(join(directory, 'new', 'deep'))
  assert.equal(statSync(join(directory, 'new', 'deep')).mode & 0o777, 0o700)
})

test('a manifest tells what a file had in it last, until the file goes, also one that another process has noted', t => {
  const path = join(temporary(t), 'manifest')
  const [one, other] = [new Manifest(path), new Manifest(path)]
  const [first, second] = [Buffer.from('first'), Buffer.from('second')]
  one.noteContent('a.key', first)
  assert.ok(!one.hadContent('a.key', first), 'nothing is noted before there is a manifest')
  one.begin(['a.key'])
  one.noteContent('b.key', first)
  assert.ok(!one.hadContent('b.key', first), 'nor of a file that is not listed')
  one.noteContent('a.key', first)
  other.noteContent('a.key', second)
  assert.deepEqual([one.hadContent('a.key', first), one.hadContent('a.key', second)], [false, true])
  const size = statSync(path).size
  one.noteContent('a.key', second)
  assert.equal(statSync(path).size, size, 'what is noted is not noted again')
  appendFileSync(path, '=a.key 00')
  assert.ok(one.hadContent('a.key', second), 'a line that was cut off says nothing')
  one.drop('a.key')
  one.add('a.key')
  assert.ok(!one.hadContent('a.key', second))
})

test('a manifest tells which files there must be, whoever writes to it, and skips a line that was cut off', t => {
  const path = join(temporary(t), 'manifest')
  const [one, other] = [new Manifest(path), new Manifest(path)]
  one.add('root.key')
  assert.equal(one.names(), undefined, 'nothing is noted before there is a manifest')
  one.begin(['peer.key'])
  one.add('root.key')
  other.drop('root.key')
  one.add('node.pem')
  other.add('node.pem')
  assert.deepEqual([...(one.names() ?? [])], ['peer.key', 'node.pem'])
  appendFileSync(path, '+admin.ke')
  assert.deepEqual([...(one.names() ?? [])], ['peer.key', 'node.pem'])
  one.add('admin.key')
  assert.deepEqual([...(other.names() ?? [])], ['peer.key', 'node.pem', 'admin.key'])
  for (const damage of ['', 'hello', 'hello\n+peer.key\n', '\0'.repeat(40)]) {
    writeFileSync(path, damage)
    assert.throws(() => one.names(), unusable, JSON.stringify(damage))
  }
})

test('a high-water mark only rises, and survives a restart', t => {
  const path = join(temporary(t), 'warren.db')
  const first = new Store(openDatabase(path))
  first.raiseHighWaterMarks([{ owner: A, epoch: 2n ** 60n, seq: 5n }])
  first.raiseHighWaterMarks([{ owner: A, epoch: 2n ** 60n, seq: 4n }])
  first.raiseHighWaterMarks([{ owner: A, epoch: 3n, seq: 9n }])
  first.close()
  const second = new Store(openDatabase(path))
  assert.deepEqual(second.highWaterMarks(), [{ owner: A, epoch: 2n ** 60n, seq: 5n }])
  second.close()
})

test('a second agent on the same state is refused while the first one runs', t => {
  const path = join(temporary(t), 'warren.db')
  const first = openDatabase(path)
  assert.throws(
    () => openDatabase(path),
    (err: unknown) => unusable(err) && /another agent/.test((err as WarrenError).reason)
  )
  first.close()
  openDatabase(path).close()
})

test('a database of a newer program is refused, and is as it was for that program', t => {
  const path = join(temporary(t), 'warren.db')
  const version = (change = ''): unknown => {
    const database = new DatabaseSync(path)
    if (change !== '') database.exec(change)
    const row = database.prepare('PRAGMA user_version').get()
    database.close()
    return row?.['user_version']
  }
  openDatabase(path).close()
  const ours = Number(version())
  assert.equal(version(`PRAGMA user_version = ${ours + 1}`), ours + 1)
  assert.throws(
    () => openDatabase(path),
    (err: unknown) => unusable(err) && /a newer version of warren/.test((err as WarrenError).reason)
  )
  assert.equal(version(), ours + 1)
})

test('a join token is used once', t => {
  const store = new Store(openDatabase(join(temporary(t), 'warren.db')))
  store.joins.addToken({
    id: 'aa',
    secretSha256: 'bb',
    machine: 'b',
    scopes: ['dev'],
    createdAtMs: 0,
    expiresAtMs: 100,
    revokedAtMs: undefined
  })
  assert.deepEqual(store.joins.find('aa')?.scopes, ['dev'])
  assert.ok(store.joins.spend(joinUse({ source: 'aa', keys: 'keys 50', usedAtMs: 50 }), 1))
  assert.ok(!store.joins.spend(joinUse({ source: 'aa', keys: 'keys 51', usedAtMs: 51 }), 1))
  assert.equal(store.joins.usesOf('aa')[0]?.usedAtMs, 50)
  store.joins.forget(101, 101)
  assert.equal(store.joins.find('aa'), undefined)
  store.close()
})

test('a revoked token is not used any more, and a used one not revoked', t => {
  const store = new Store(openDatabase(join(temporary(t), 'warren.db')))
  const token = { secretSha256: 'bb', machine: 'b', scopes: [], createdAtMs: 1, expiresAtMs: 100 }
  const open = { revokedAtMs: undefined }
  store.joins.addToken({ ...token, ...open, id: 'aa' })
  store.joins.addToken({ ...token, ...open, id: 'cc', createdAtMs: 2 })
  assert.deepEqual(
    store.joins.tokens().map(({ id }) => id),
    ['cc', 'aa']
  )
  assert.ok(store.joins.revokeToken('aa', 50))
  assert.ok(!store.joins.revokeToken('aa', 51))
  assert.ok(!store.joins.spend(joinUse({ source: 'aa', keys: 'keys 52', usedAtMs: 52 }), 1))
  assert.equal(store.joins.find('aa')?.revokedAtMs, 50)
  assert.ok(store.joins.spend(joinUse({ source: 'cc', keys: 'keys 53', usedAtMs: 53 }), 1))
  assert.ok(!store.joins.revokeToken('cc', 54))
  store.close()
})

test('a database of the first version is brought up to date, with what is in it', t => {
  const path = join(temporary(t), 'warren.db')
  const old = new DatabaseSync(path)
  old.exec(`CREATE TABLE join_token (
    id TEXT PRIMARY KEY, secret_sha256 TEXT NOT NULL, machine TEXT NOT NULL, scopes TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL, used_at_ms INTEGER) STRICT;
    INSERT INTO join_token VALUES ('aa', 'bb', 'b', '[]', 100, NULL)`)
  old.close()
  chmodSync(path, 0o600)
  for (const round of ['first', 'second']) {
    const store = new Store(openDatabase(path))
    assert.equal(store.joins.find('aa')?.createdAtMs, 0, `${round} opening`)
    assert.equal(store.joins.find('aa')?.revokedAtMs, undefined)
    store.close()
  }
})

test('a token that an earlier version used is used, and its host keeps its name', t => {
  const path = join(temporary(t), 'warren.db')
  const old = new DatabaseSync(path)
  old.exec(`CREATE TABLE join_token (
    id TEXT PRIMARY KEY, secret_sha256 TEXT NOT NULL, machine TEXT NOT NULL, scopes TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL, used_at_ms INTEGER, created_at_ms INTEGER NOT NULL DEFAULT 0,
    revoked_at_ms INTEGER, used_by TEXT) STRICT;
    INSERT INTO join_token VALUES ('aa', 'bb', 'b', '[]', 100, 7, 1, NULL, 'peer-b 0123');
    INSERT INTO join_token VALUES ('cc', 'dd', 'c', '[]', 100, NULL, 1, NULL, NULL);
    PRAGMA user_version = 2`)
  old.close()
  chmodSync(path, 0o600)
  const store = new Store(openDatabase(path))
  assert.equal(store.joins.spend(joinUse({ usedAtMs: 9, keys: 'others' }), 1), false)
  assert.deepEqual(
    store.joins.usesOf('aa').map(({ peer, keys, usedAtMs }) => [peer, keys, usedAtMs]),
    [['peer-b', 'peer-b 0123', 7]]
  )
  assert.equal(store.joins.lastOf('b')?.peer, 'peer-b')
  assert.equal(store.joins.spend(joinUse({ source: 'cc', machine: 'c' }), 1), true)
  store.close()
})

test('a token of three uses is spent by three hosts, and what it has admitted is kept longer than the token', t => {
  const store = new Store(openDatabase(join(temporary(t), 'warren.db')))
  const kept = { secretSha256: '', scopes: [], createdAtMs: 0, expiresAtMs: 100, revokedAtMs: undefined }
  store.joins.addToken({ ...kept, id: 'aa', machine: 'web-*', uses: 3, from: ['10.0.0.0/8'], needsApproval: true })
  const spend = (keys: string) => store.joins.spend(joinUse({ keys, machine: `web-${keys}`, usedAtMs: 50 }), 3)
  assert.deepEqual(['1', '2', '3', '4'].map(spend), [true, true, true, false])
  assert.equal(store.joins.usedOfTokens().get('aa')?.used, 3)
  assert.equal(store.joins.revokeToken('aa', 60), false)
  const [token] = store.joins.tokens()
  assert.deepEqual([token?.uses, token?.from, token?.needsApproval, token?.ephemeral], [3, ['10.0.0.0/8'], true, false])
  store.joins.forget(101, 101)
  assert.equal(store.joins.find('aa'), undefined)
  assert.equal(store.joins.lastOf('web-2')?.usedAtMs, 50)
  store.close()
})

test('a damaged database is refused, not replaced, wherever the damage is', t => {
  const path = join(temporary(t), 'warren.db')
  writeFileSync(path, Buffer.alloc(8192, 7))
  assert.throws(() => openDatabase(path), unusable)
  rmSync(path)
  const store = new Store(openDatabase(path))
  store.setSetting('policy', Buffer.alloc(64 * 1024, 7))
  store.close()
  // Its schema is in the first pages, and can be read.
  truncateSync(path, 40 * 1024)
  const cut = statSync(path).size
  assert.throws(() => openDatabase(path), unusable)
  assert.equal(statSync(path).size, cut)
})

test('a database that an older program has used since opens again, with what that one noted', t => {
  const path = join(temporary(t), 'warren.db')
  openDatabase(path).close()
  for (const version of [0, 1, 2]) {
    const old = new DatabaseSync(path)
    old.exec(`INSERT INTO join_token (id, secret_sha256, machine, scopes, expires_at_ms, used_at_ms, used_by)
      VALUES ('t${version}', '', 'web', '[]', 1, 2, 'peer keys'); PRAGMA user_version = ${version}`)
    old.close()
    const database = openDatabase(path)
    const uses = database.prepare('SELECT source FROM join_use ORDER BY source').all()
    assert.equal(uses.length, version + 1)
    database.close()
  }
})
