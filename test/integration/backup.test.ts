import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { encodeJoinToken, parseJoinToken } from '../../src/identity/index.ts'
import { scopeOf, startPair, TestAgent, WARREN, waitFor } from '../harness/index.ts'

const PASSPHRASE = 'correct horse battery'

test('a founding host that is lost comes back from its backup, follows what was decided since, and admits hosts', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const directory = scope.directory()
  const [secret, file] = [join(directory, 'passphrase'), join(directory, 'a.backup')]
  writeFileSync(secret, `${PASSPHRASE}\n`)
  await a.cli('allow', 'dev.*.*.*', 'dev.web.first.default')
  const open = (await a.cli('token', 'create', 'c')).trim()
  await a.cli('backup', file, '--passphrase-file', secret)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const sealed = readFileSync(file)
  for (const plain of ['PRIVATE KEY', 'CERTIFICATE', 'SQLite format']) assert.ok(!sealed.includes(plain), plain)

  await a.cli('allow', 'dev.*.*.*', 'dev.web.second.default')
  await b.follows(a)
  const decided = (await b.status()).policyVersion
  const { peerId } = await a.status()
  await a.kill()
  const restore = ['restore', file, '--state-dir', a.stateDir, '--passphrase-file', secret]
  const refused = await a.attempt(restore)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /ALREADY_EXISTS: .* exists and is not an empty directory/)
  rmSync(a.stateDir, { recursive: true })
  writeFileSync(join(directory, 'wrong'), 'not the passphrase')
  const wrong = await a.attempt([...restore.slice(0, -1), join(directory, 'wrong')])
  assert.match(wrong.stderr, /PASSPHRASE_WRONG/)
  assert.ok(!existsSync(a.stateDir))
  assert.match((await a.attempt(restore)).stderr, /a of example.*, as of .*; its open join tokens are revoked/)

  await a.start([])
  await a.sees(1)
  assert.equal((await a.status()).peerId, peerId)
  await a.follows(b)
  assert.equal((await a.status()).policyVersion, decided)
  await a.cli('allow', 'dev.*.*.*', 'dev.web.third.default')
  await b.follows(a)
  const { rules } = JSON.parse(await b.cli('policy', 'show', '--json')) as { rules: { destination: string }[] }
  assert.deepEqual(rules.map(({ destination }) => /first|second|third/.exec(destination)?.[0]).sort(), [
    'first',
    'second',
    'third'
  ])
  // New records of the restored host outrank those that it published before the backup and after.
  const server = a.spawn(['serve', 'dev.web.third.default'])
  await b.knows('dev.web.third.default')
  await server.stop()

  const c = new TestAgent(scope, { name: 'c', args: [] })
  // The data port is another one since; all else of the old token is as it was.
  const token = (await a.cli('token', 'create', 'c')).trim()
  const { authorityAddresses } = parseJoinToken(token, Date.now())
  const old = encodeJoinToken({ ...parseJoinToken(open, Date.now()), authorityAddresses })
  await assert.rejects(c.start(['--join', old]), /TOKEN_REFUSED: the token was revoked/)
  await c.start(['--join', token])
  await c.sees(2)
})

test('joins go on while the root key is away; it comes back from its file, and from no other', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const x = await new TestAgent(scope, { name: 'x', args: [] }).start(['--init', 'example.org'])
  const directory = scope.directory()
  const [secret, file, other] = [join(directory, 'p'), join(directory, 'root'), join(directory, 'other')]
  writeFileSync(secret, PASSPHRASE)
  const key = join(a.stateDir, 'root.key')
  const before = readFileSync(key)
  const at = (agent: TestAgent): string[] => ['--state-dir', agent.stateDir, '--passphrase-file', secret]

  const unasked = await a.attempt(['root', 'export', file, ...at(a)])
  assert.equal(unasked.code, 2)
  assert.match(unasked.stderr, /would be deleted from this host.*\n.*--yes/)
  assert.ok(existsSync(key) && !existsSync(file))
  await a.cli('root', 'export', file, ...at(a), '--yes')
  assert.ok(!existsSync(key))
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.match((await a.attempt(['root', 'export', file, ...at(a), '--yes'])).stderr, /NOT_FOUND: the root key is not/)

  const b = new TestAgent(scope, { name: 'b', args: [] })
  await b.start(['--join', (await a.cli('token', 'create', 'b')).trim()])
  await b.sees(1)
  await a.stop()
  await a.start([])
  await waitFor(async () => (await a.status()).connected === 1, 'the founder without its root key to be back')

  await x.cli('root', 'export', other, ...at(x), '--yes')
  assert.match(
    (await a.attempt(['root', 'import', other, ...at(a)])).stderr,
    /CERTIFICATE_REFUSED: the key is not that/
  )
  await x.cli('backup', join(directory, 'backup'), '--passphrase-file', secret)
  const wrongKind = await a.attempt(['root', 'import', join(directory, 'backup'), ...at(a)])
  assert.match(wrongKind.stderr, /FILE_DAMAGED: the file is not a root key; it holds a backup/)
  assert.ok(!existsSync(key))
  await a.cli('root', 'import', file, ...at(a))
  assert.deepEqual(readFileSync(key), before)
})

test('a backup replaces a backup and nothing else, and - is standard output', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const directory = scope.directory()
  const at = (name: string): string => join(directory, name)
  writeFileSync(at('secret'), PASSPHRASE)
  const backup = (file: string, ...more: string[]) =>
    a.attempt(['backup', file, '--passphrase-file', at('secret'), ...more])
  writeFileSync(at('file'), 'precious')
  symlinkSync(at('file'), at('link'))
  symlinkSync(at('nowhere'), at('dangling'))
  symlinkSync('/proc/self/fd/1', at('stdout'))
  mkdirSync(at('directory'))
  execFileSync('mkfifo', [at('fifo')])
  if (process.getuid?.() === 0) execFileSync('mknod', [at('device'), 'c', '1', '3'])
  const names = readdirSync(directory).sort()
  for (const name of names.filter(one => one !== 'secret')) {
    const before = lstatSync(at(name))
    const { code, stderr } = await backup(at(name))
    assert.match(
      stderr,
      name === 'file' ? /ALREADY_EXISTS: .*file exists/ : /INVALID_ARGUMENT: .* is left unchanged/,
      name
    )
    if (name === 'device' || name === 'fifo') assert.match(stderr, /warren backup - > PATH/)
    assert.equal(code, name === 'file' ? 1 : 2)
    const after = lstatSync(at(name))
    assert.deepEqual([after.ino, after.mode, after.rdev], [before.ino, before.mode, before.rdev], name)
    assert.notEqual(
      (
        await a.attempt([
          'root',
          'export',
          at(name),
          '--yes',
          '--state-dir',
          a.stateDir,
          '--passphrase-file',
          at('secret')
        ])
      ).code,
      0
    )
  }
  assert.equal(readFileSync(at('file'), 'utf8'), 'precious')
  assert.ok(existsSync(join(a.stateDir, 'root.key')))
  assert.deepEqual(readdirSync(directory).sort(), names)

  assert.equal((await backup(at('a.backup'))).code, 0)
  const first = readFileSync(at('a.backup'))
  assert.equal((await backup(at('a.backup'))).code, 0)
  assert.ok(!first.equals(readFileSync(at('a.backup'))))
  assert.equal(
    (await a.attempt(['root', 'export', '-', '--yes', '--state-dir', a.stateDir, '--passphrase-file', at('secret')]))
      .code,
    2
  )
  // Standard output, as bytes: by a shell, since the harness reads text.
  const piped = a.spawn(['backup', '-', '--json', '--passphrase-file', at('secret')])
  assert.deepEqual([(await piped.outcome()).code, piped.stdout], [2, ''])
  const env = { ...process.env, WARREN_RUNTIME_DIR: a.runtimeDir }
  const stdout = execFileSync(process.execPath, [WARREN, 'backup', '-', '--passphrase-file', at('secret')], { env })
  writeFileSync(at('piped'), stdout)
  await a.stop()
  const restored = await a.attempt([
    'restore',
    at('piped'),
    '--state-dir',
    at('again'),
    '--passphrase-file',
    at('secret')
  ])
  assert.equal(restored.code, 0, restored.stderr)
  for (const name of ['peer.key', 'node.pem', 'admin.key'])
    assert.deepEqual(readFileSync(join(at('again'), name)), readFileSync(join(a.stateDir, name)))
})
