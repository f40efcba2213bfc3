import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { collectState, encodeBackup } from '../../src/ca/backup/content.ts'
import { openBackup, readSealedFile, restoreState } from '../../src/ca/backup/index.ts'
import { MAX_SEALED_BYTES, SealedKind, seal, unseal } from '../../src/ca/backup/sealed.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import { openDatabase } from '../../src/state/database.ts'
import { Store } from '../../src/state/store.ts'
import { Vault, VaultFile } from '../../src/state/vault.ts'
import { joinUse } from './join-use.ts'

const PASSPHRASE = 'correct horse battery'
const withCode = (code: ErrorCode) => (err: unknown) => WarrenError.is(err, code)

function temporary(t: { after: (fn: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'warren-backup-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

test('what is sealed opens with its passphrase, and two seals of it have nothing in common', async () => {
  const content = Buffer.from('a root key')
  const one = await seal(SealedKind.Backup, content, PASSPHRASE)
  const two = await seal(SealedKind.Backup, content, PASSPHRASE)
  assert.deepEqual(await unseal(SealedKind.Backup, one, PASSPHRASE), content)
  assert.ok(!one.subarray(9).includes(two.subarray(9, 41)))
  assert.ok(!one.includes('a root key'))
})

test('one passphrase typed in two encodings of the same letters is one passphrase', async () => {
  const sealed = await seal(SealedKind.Backup, Buffer.from('x'), 'caf\u00e9 au lait chaud')
  assert.equal(String(await unseal(SealedKind.Backup, sealed, 'cafe\u0301 au lait chaud')), 'x')
})

test('a wrong passphrase, a changed file, a cut one, one of another kind and no such file are told apart', async () => {
  const sealed = await seal(SealedKind.Backup, Buffer.from('content'), PASSPHRASE)
  const reason = async (file: Uint8Array, passphrase = PASSPHRASE): Promise<string> =>
    await unseal(SealedKind.Backup, file, passphrase).then(String, (err: Error) => err.message)
  assert.match(await reason(sealed, 'wrong horse battery'), /^PASSPHRASE_WRONG/)
  const changed = Buffer.from(sealed)
  changed[90] = (changed[90] ?? 0) ^ 1
  assert.match(await reason(changed), /^FILE_DAMAGED: the passphrase is right, but the file was changed/)
  assert.match(await reason(sealed.subarray(0, -1)), /^FILE_DAMAGED: the passphrase is right, but/)
  assert.match(await reason(sealed.subarray(0, 60)), /^FILE_DAMAGED: the file is cut off/)
  assert.match(await reason(Buffer.from('hello')), /^FILE_DAMAGED: the file is not a backup/)
  const root = await seal(SealedKind.RootKey, Buffer.from('content'), PASSPHRASE)
  assert.match(await reason(root), /^FILE_DAMAGED: the file is not a backup; it holds a root key/)
  // Renamed in its header only: the kind is authenticated.
  root[8] = SealedKind.Backup
  assert.match(await reason(root), /^PASSPHRASE_WRONG/)
})

test('no change of any bit of a sealed file gives content', async () => {
  const sealed = await seal(SealedKind.Backup, Buffer.from('content of a backup'), PASSPHRASE)
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: sealed.length * 8 - 1 }), async bit => {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await assert.rejects(unseal(SealedKind.Backup, changed, PASSPHRASE), err =>
        [ErrorCode.FileDamaged, ErrorCode.PassphraseWrong].some(code => WarrenError.is(err, code))
      )
    }),
    { numRuns: 6 }
  )
})

test('a passphrase that could be guessed, and more than a file holds, are refused when sealing', async () => {
  await assert.rejects(seal(SealedKind.Backup, Buffer.of(), 'short'), withCode(ErrorCode.InvalidArgument))
  await assert.rejects(
    seal(SealedKind.Backup, Buffer.alloc(MAX_SEALED_BYTES), PASSPHRASE),
    withCode(ErrorCode.MessageTooLarge)
  )
})

test('what is no file, and a file that is too large, is not read', t => {
  const directory = temporary(t)
  assert.throws(() => readSealedFile(directory), withCode(ErrorCode.InvalidArgument))
  assert.throws(() => readSealedFile(join(directory, 'none')), withCode(ErrorCode.InvalidArgument))
  writeFileSync(join(directory, 'large'), Buffer.alloc(MAX_SEALED_BYTES + 1))
  assert.throws(() => readSealedFile(join(directory, 'large')), withCode(ErrorCode.FileDamaged))
})

const useOf = (source: string, usedAtMs: number) => joinUse({ source, machine: source, usedAtMs })
const MARK = { owner: 'peer-a' as PeerKey, epoch: 2n ** 50n, seq: 7n }

/** A state directory with a mark and three tokens, one of them used, and its backup. */
function stateWith(directory: string) {
  const vault = new Vault(directory)
  vault.write(VaultFile.PeerKey, 'secret')
  const store = new Store(openDatabase(vault.path('warren.db')))
  store.raiseHighWaterMarks([MARK])
  for (const id of ['open', 'used', 'later']) {
    const rest = { secretSha256: '', machine: id, scopes: [], createdAtMs: 0, expiresAtMs: 9 }
    store.joins.addToken({ id, ...rest, revokedAtMs: undefined })
  }
  store.joins.spend(useOf('used', 1), 1)
  return { vault, store }
}

test('a restored state has all files and marks of a state in use, for its owner only, and no token that may have been used since', async t => {
  const directory = temporary(t)
  const { vault, store } = stateWith(join(directory, 'old'))
  const content = { trustDomain: 'example.org', machine: 'a', madeAtMs: 5, files: collectState(vault, store) }
  store.joins.spend(useOf('later', 6), 1)
  assert.deepEqual(
    readdirSync(join(directory, 'old')).filter(name => name.includes('copy')),
    []
  )
  store.close()
  const sealed = await seal(SealedKind.Backup, encodeBackup(content), PASSPHRASE)

  const target = join(directory, 'new')
  mkdirSync(target, { mode: 0o755 })
  restoreState(target, await openBackup(sealed, PASSPHRASE), 100)
  assert.deepEqual(readFileSync(join(target, VaultFile.PeerKey), 'utf8'), 'secret')
  // A directory that was there keeps its mode; one that is made is for its owner alone.
  assert.equal(statSync(target).mode & 0o777, 0o755)
  restoreState(join(directory, 'made'), await openBackup(sealed, PASSPHRASE), 100)
  assert.equal(statSync(join(directory, 'made')).mode & 0o777, 0o700)
  for (const name of readdirSync(target)) assert.equal(statSync(join(target, name)).mode & 0o777, 0o600, name)
  const restored = new Store(openDatabase(join(target, 'warren.db')))
  t.after(() => restored.close())
  assert.deepEqual(restored.highWaterMarks(), [MARK])
  assert.equal(restored.joins.spend(useOf('open', 101), 1), false)
  assert.equal(restored.joins.spend(useOf('later', 101), 1), false)
  assert.equal(restored.joins.lastOf('used')?.usedAtMs, 1)
})

test('a restore touches nothing that is there already', t => {
  const directory = temporary(t)
  const content = { trustDomain: 'example.org', machine: 'a', madeAtMs: 5, files: new Map() }
  writeFileSync(join(directory, 'file'), 'mine')
  const refused = withCode(ErrorCode.AlreadyExists)
  assert.throws(() => restoreState(directory, content, 0), refused)
  assert.throws(() => restoreState(join(directory, 'file'), content, 0), refused)
  assert.equal(readFileSync(join(directory, 'file'), 'utf8'), 'mine')
  assert.ok(!existsSync(`${directory}.restoring`))
})

test('a restore puts the state together beside its place, and deletes nothing of others there', t => {
  const directory = temporary(t)
  const target = join(directory, 'state')
  const files = new Map([['peer.key', Buffer.from('x')]])
  const content = { trustDomain: 'example.org', machine: 'a', madeAtMs: 5, files }
  mkdirSync(`${target}.restoring`)
  writeFileSync(join(`${target}.restoring`, 'thesis.txt'), 'mine')
  assert.throws(() => restoreState(target, content, 0), withCode(ErrorCode.AlreadyExists))
  assert.equal(readFileSync(join(`${target}.restoring`, 'thesis.txt'), 'utf8'), 'mine')
  rmSync(`${target}.restoring`, { recursive: true })
  // What a restore that was killed has left, on the other hand.
  mkdirSync(`${target}.restoring`)
  for (const name of ['peer.key.new', 'warren.db', 'warren.db-wal'])
    writeFileSync(join(`${target}.restoring`, name), '')
  restoreState(target, content, 0)
  assert.ok(!existsSync(`${target}.restoring`))
  assert.equal(readFileSync(join(target, 'peer.key'), 'utf8'), 'x')
})

test('a state of which a file is lost makes no backup that would look whole', t => {
  const { vault, store } = stateWith(join(temporary(t), 'old'))
  t.after(() => store.close())
  rmSync(vault.path(VaultFile.PeerKey))
  assert.throws(() => collectState(vault, store), { code: ErrorCode.StateUnusable, reason: /peer\.key is missing/ })
})

test('a backup that names a file outside of the directory restores nothing', async t => {
  const directory = temporary(t)
  for (const name of ['../evil', '/etc/passwd', 'sub/file', '']) {
    const files = new Map([[name, Buffer.from('x')]])
    const bytes = encodeBackup({ trustDomain: 'example.org', machine: 'a', madeAtMs: 5, files })
    const sealed = await seal(SealedKind.Backup, bytes, PASSPHRASE)
    await assert.rejects(openBackup(sealed, PASSPHRASE), withCode(ErrorCode.FileDamaged), name)
  }
  assert.deepEqual(readdirSync(directory), [])
})
