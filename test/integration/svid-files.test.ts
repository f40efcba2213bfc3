import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import {
  asRoot,
  certificatesIn,
  needsCommand,
  Program,
  scopeOf,
  TestAgent,
  WARREN,
  waitFor,
  warren
} from '../harness/index.ts'

const SHOP = 'dev.shop.cart.default'
const SHOP_ID = 'spiffe://example.org/dev/shop/cart/default/a'
const USER = 61_238

async function founder(t: Parameters<typeof scopeOf>[0]) {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  return { scope, agent, out: join(scope.directory(), 'svid') }
}

function filesIn(directory: string) {
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8')
  const [leaf] = certificatesIn(read('svid.pem'))
  assert.ok(leaf instanceof X509Certificate)
  return {
    leaf,
    key: createPrivateKey(read('svid_key.pem')),
    mode: statSync(join(directory, 'svid_key.pem')).mode & 0o777
  }
}

test('svid fetch writes a certificate, its key for nobody else, and the roots that verify it', async t => {
  const { agent, out } = await founder(t)
  const none = await agent.attempt(['svid', 'fetch', '--out', out])
  assert.deepEqual([none.code, /PERMISSION_DENIED/.test(none.stderr)], [1, true], none.stderr)
  assert.deepEqual(readdirSync(out), [])

  assert.equal((await agent.cli('svid', 'fetch', SHOP, '--out', out)).trim(), SHOP_ID)
  assert.deepEqual(readdirSync(out).sort(), ['bundle.pem', 'svid.pem', 'svid_key.pem'])
  assert.equal(statSync(out).mode & 0o777, 0o700)
  const { leaf, key, mode } = filesIn(out)
  assert.equal(leaf.subjectAltName, `URI:${SHOP_ID}`)
  assert.ok(leaf.checkPrivateKey(key))
  assert.equal(mode, 0o600)
  assert.equal((await agent.status()).registrations ?? 0, 0, 'what it registered went with it')
  if (!needsCommand(t, 'openssl')) return
  const verify = ['verify', '-purpose', 'sslserver', '-CAfile', 'bundle.pem', '-untrusted', 'svid.pem', 'svid.pem']
  assert.match(execFileSync('openssl', verify, { cwd: out, encoding: 'utf8' }), /svid\.pem: OK/)
})

test('of several identities the one that was asked for is written, and none if nobody asked', async t => {
  const { agent, out } = await founder(t)
  for (const address of [SHOP, 'dev.web.site.default']) await agent.cli('register', address)
  const unsure = await agent.attempt(['svid', 'fetch', '--out', out])
  assert.deepEqual([unsure.code, unsure.stderr.includes(`--id: ${SHOP_ID}, `)], [2, true], unsure.stderr)
  const unknown = await agent.attempt(['svid', 'fetch', '--out', out, '--id', `${SHOP_ID}x`])
  assert.deepEqual([unknown.code, /NOT_FOUND/.test(unknown.stderr)], [1, true], unknown.stderr)
  await agent.cli('svid', 'fetch', '--out', out, '--id', SHOP_ID)
  assert.equal(filesIn(out).leaf.subjectAltName, `URI:${SHOP_ID}`)
})

test('svid fetch --watch writes each new certificate, whole, and tells a program to read it', async t => {
  const { agent, out } = await founder(t)
  const hook = 'openssl x509 -in "$WARREN_SVID_DIR/svid.pem" -noout -serial >>"$WARREN_SVID_DIR/seen"; false'
  const watching = agent.spawn(['svid', 'fetch', SHOP, '--out', out, '--watch', '--exec', hook])
  await watching.says(/HOOK_FAILED/, 'stderr')
  const first = filesIn(out)
  // Keys of SVIDs are in memory only, so the next agent has new ones to give.
  await agent.stop()
  await agent.start([])
  await waitFor(() => filesIn(out).leaf.serialNumber !== first.leaf.serialNumber, 'another certificate')
  await watching.says(/HOOK_FAILED[\s\S]*HOOK_FAILED/, 'stderr')
  const second = filesIn(out)
  assert.ok(second.leaf.checkPrivateKey(second.key))
  assert.equal(second.mode, 0o600)
  assert.deepEqual(readdirSync(out).sort(), ['bundle.pem', 'seen', 'svid.pem', 'svid_key.pem'], 'nothing half-written')
  assert.match(readFileSync(join(out, 'seen'), 'utf8'), new RegExp(`serial=${second.leaf.serialNumber}`))
  assert.equal((await watching.stop()).code, 0, watching.stderr)
  await waitFor(async () => ((await agent.status()).registrations ?? 0) === 0, 'the registration to end with it')
})

test('svid fetch --watch waits for an agent and for a registration', async t => {
  const { agent, out } = await founder(t)
  await agent.stop()
  const watching = agent.spawn(['svid', 'fetch', '--out', out, '--watch'])
  await watching.says(/waiting: no agent answers/, 'stderr')
  await agent.start([])
  await watching.says(/waiting: no identity is registered/, 'stderr')
  await agent.cli('register', SHOP, '--pid', String(process.pid), '--for-user')
  await watching.says(new RegExp(`^${SHOP_ID}$`, 'm'))
  assert.ok(existsSync(join(out, 'svid.pem')))
})

test('a key is written neither through a link nor where others may write', async t => {
  const { agent, scope, out } = await founder(t)
  await agent.cli('svid', 'fetch', SHOP, '--out', out)
  const victim = join(scope.directory(), 'victim')
  writeFileSync(victim, 'untouched')
  execFileSync('rm', [join(out, 'svid_key.pem')])
  symlinkSync(victim, join(out, 'svid_key.pem'))
  const linked = await agent.attempt(['svid', 'fetch', SHOP, '--out', out])
  assert.deepEqual([linked.code, /svid_key\.pem.*symbolic link/.test(linked.stderr)], [2, true], linked.stderr)
  assert.equal(readFileSync(victim, 'utf8'), 'untouched')
  execFileSync('rm', [join(out, 'svid_key.pem')])
  chmodSync(out, 0o770)
  const open = await agent.attempt(['svid', 'fetch', SHOP, '--out', out])
  assert.deepEqual([open.code, /can be written by others/.test(open.stderr)], [2, true], open.stderr)
})

test('another user gets files for an address that an entry grants, and for no other', asRoot, async t => {
  const { agent, scope } = await founder(t)
  chmodSync(dirname(agent.runtimeDir), 0o755)
  const home = scope.directory()
  chownSync(home, USER, USER)
  const out = join(home, 'svid')
  const fetch = (address: string) =>
    warren(scope, ['svid', 'fetch', address, '--out', out], { uid: USER }, agent.runtimeDir).outcome()
  assert.match((await fetch(SHOP)).stderr, /PERMISSION_DENIED: no entry grants/)
  await agent.cli('entry', 'add', '--uid', String(USER), SHOP)
  const { code, stderr } = await fetch(SHOP)
  assert.equal(code, 0, stderr)
  assert.deepEqual([statSync(join(out, 'svid_key.pem')).uid, filesIn(out).mode], [USER, 0o600])
  assert.match((await fetch('dev.web.site.default')).stderr, /PERMISSION_DENIED: no entry grants/)
})

test('files of another kind stay as they are, and no directory that was there changes its mode', async t => {
  const { agent, scope } = await founder(t)
  const out = scope.directory()
  chmodSync(out, 0o755)
  writeFileSync(join(out, 'bundle.pem'), 'a list of mine')
  const refused = await agent.attempt(['svid', 'fetch', SHOP, '--out', out])
  assert.deepEqual([refused.code, /takes no bundle\.pem: .* exists/.test(refused.stderr)], [2, true], refused.stderr)
  assert.match(refused.stderr, /\n {2}It is not replaced: move it away/)
  const file = await agent.attempt(['svid', 'fetch', SHOP, '--out', join(out, 'bundle.pem')])
  assert.match(file.stderr, /is a file and not a directory\n {2}Give a directory/)
  assert.equal(readFileSync(join(out, 'bundle.pem'), 'utf8'), 'a list of mine')
  assert.deepEqual(readdirSync(out), ['bundle.pem'])
  assert.equal(statSync(out).mode & 0o777, 0o755)
})

test('--out - writes key, certificate and roots to standard output, and nothing else', async t => {
  const { agent } = await founder(t)
  const pem = await agent.cli('svid', 'fetch', SHOP, '--out', '-')
  const [leaf] = certificatesIn(pem)
  assert.ok(leaf instanceof X509Certificate)
  assert.ok(leaf.checkPrivateKey(createPrivateKey(pem)))
  assert.match(pem, /^(-----BEGIN [A-Z ]+-----\n[\s\S]+?\n-----END [A-Z ]+-----\n)+$/)
  for (const option of [['--watch'], ['--exec', 'true'], ['--json']]) {
    const { code, stdout, stderr } = await agent.attempt(['svid', 'fetch', SHOP, '--out', '-', ...option])
    assert.deepEqual([code, stdout, /INVALID_OPTION/.test(stderr)], [2, '', true], stderr)
  }
})

test('where one of the three files is refused the others stay as they were, so that key and certificate match', async t => {
  const { agent, out } = await founder(t)
  await agent.cli('svid', 'fetch', SHOP, '--out', out)
  const names = ['bundle.pem', 'svid.pem', 'svid_key.pem']
  for (const odd of names) {
    const others = names.filter(name => name !== odd)
    const read = () => others.map(name => [readFileSync(join(out, name), 'utf8'), statSync(join(out, name)).ino])
    const before = read()
    const good = readFileSync(join(out, odd))
    rmSync(join(out, odd))
    execFileSync('mkfifo', [join(out, odd)])
    const refused = await agent.attempt(['svid', 'fetch', SHOP, '--out', out])
    assert.deepEqual([refused.code, refused.stderr.includes(`takes no ${odd}: `)], [2, true], refused.stderr)
    assert.match(refused.stderr, /INVALID_OPTION/)
    assert.deepEqual(read(), before, odd)
    rmSync(join(out, odd))
    writeFileSync(join(out, odd), good)
  }
})

test('--out without a path is refused, and nothing is written where the command runs', async t => {
  const { agent, scope } = await founder(t)
  const cwd = scope.directory()
  const fetch = [process.execPath, WARREN, 'svid', 'fetch', SHOP, '--out', '']
  const env = { WARREN_RUNTIME_DIR: agent.runtimeDir }
  const { code, stderr } = await new Program(scope, fetch, { cwd, env }).outcome()
  assert.deepEqual([code, /INVALID_ARGUMENT: --out is empty/.test(stderr)], [2, true], stderr)
  assert.deepEqual(readdirSync(cwd), [])
})

test('with standard output closed nothing is said to be written: --out - is refused, and what prints its data fails', async t => {
  const { agent, scope } = await founder(t)
  const run = async (line: string) => {
    const env = { WARREN_RUNTIME_DIR: agent.runtimeDir }
    return await new Program(scope, ['sh', '-c', `${WARREN} ${line} >&-`], { env }).outcome()
  }
  const key = await run(`svid fetch ${SHOP} --out -`)
  assert.deepEqual([key.code, /INVALID_OPTION: standard output is closed/.test(key.stderr)], [2, true], key.stderr)
  const status = await run('status')
  assert.deepEqual([status.code, /cannot write to standard output: it is closed/.test(status.stderr)], [1, true])
})
