import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { asRoot, needsCommand, Program, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const DB = 'dev.db.main.default'
const UID = String(process.getuid?.())
const DAEMON_GID = 1

const scope = scopeOf({ after: end => after(end as () => Promise<void>) })
const PORT = '127.0.0.1:9'
const config = join(scope.directory(), 'warren.yaml')
const service = { address: 'dev.db.file.default', user: Number(UID), tcp: PORT, 'dns-names': ['file.db.example'] }
writeFileSync(config, JSON.stringify({ services: [service] }))
const args = ['--init', 'example.org', '--svid-lifetime', '10s', '--config', config]
const agent = new TestAgent(scope, { name: 'a', args })
before(async () => {
  await agent.start()
  await agent.cli(
    'entry',
    'add',
    '--uid',
    UID,
    '--dns-name',
    'localhost',
    '--dns-name',
    '*.db.example',
    'dev.db.*.default'
  )
})

const read = (directory: string, name: string): string => readFileSync(join(directory, name), 'utf8')

async function fetchFor(...names: readonly string[]): Promise<string> {
  const out = join(scope.directory(), 'svid')
  await agent.cli('svid', 'fetch', DB, '--out', out, ...names.flatMap(name => ['--dns', name]))
  return out
}

test('a client that knows a server by its name takes the certificate of a workload', async t => {
  if (!needsCommand(t, 'curl') || !needsCommand(t, 'openssl')) return
  const out = await fetchFor('localhost', 'main.db.example')
  const leaf = new X509Certificate(read(out, 'svid.pem'))
  const id = 'spiffe://example.org/dev/db/main/default/a'
  assert.equal(leaf.subjectAltName, `URI:${id}, DNS:localhost, DNS:main.db.example`)
  assert.equal(leaf.subject, 'CN=dev/db/main/default/a\nO=warren')
  const server = createServer({ cert: read(out, 'svid.pem'), key: read(out, 'svid_key.pem') }, (_request, response) => {
    response.end('hello')
  })
  t.after(() => server.close())
  await new Promise<void>(resolve => server.listen(0, 'localhost', resolve))
  const { port } = server.address() as AddressInfo
  const curl = (name: string) =>
    new Program(scope, [
      'curl',
      '-sS',
      '--cacert',
      join(out, 'bundle.pem'),
      '--connect-to',
      `::localhost:${port}`,
      `https://${name}/`
    ]).outcome()
  assert.equal((await curl('localhost')).stdout, 'hello')
  assert.equal((await curl('main.db.example')).stdout, 'hello')
  assert.match((await curl('other.db.example')).stderr, /no alternative certificate subject name matches/)
  const verify = (name: string) => {
    const args = [
      'verify',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      name,
      '-CAfile',
      'bundle.pem',
      '-untrusted',
      'svid.pem',
      'svid.pem'
    ]
    return spawnSync('openssl', args, { cwd: out }).status
  }
  assert.equal(verify('main.db.example'), 0)
  // The subject has the address with slashes, so a program that looks for a name there finds none.
  assert.notEqual(verify('dev.db.main.default.a'), 0)
})

test('nobody gets a name that no entry grants, root no more than others', async () => {
  for (const name of ['db.example', 'a.b.db.example', 'example.com']) {
    const refused = await agent.attempt(['register', DB, '--dns-name', name])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, new RegExp(`no entry grants ${DB}\\.a to uid ${UID} with a certificate for ${name}`))
    assert.ok(refused.stderr.includes(`--dns-name ${name} ${DB}`), refused.stderr)
  }
  const other = await agent.attempt(['register', 'dev.web.site.default', '--dns-name', 'localhost'])
  assert.match(other.stderr, /PERMISSION_DENIED/)
  const address = await agent.attempt(['register', DB, '--dns-name', '10.0.0.1'])
  assert.match(address.stderr, /INVALID_ARGUMENT: "10\.0\.0\.1" is no DNS name/)
  const alone = await agent.attempt(['svid', 'fetch', '--out', '-', '--dns', 'localhost'])
  assert.match(alone.stderr, /INVALID_OPTION: --dns goes with an address/)
})

test('the command that a refusal gives keeps what the entry of before named', async () => {
  const address = 'dev.kept.main.default'
  const before = ['--machine', 'a', '--uid', UID, '--gateway', 'far.example:5432', '--dns-name', 'kept.example']
  await agent.cli('entry', 'add', ...before, address)
  const refused = await agent.attempt(['register', address, '--dns-name', 'new.example'])
  const advice = ['entry', 'add', ...before, '--dns-name', 'new.example', address]
  assert.ok(refused.stderr.includes(`warren ${advice.join(' ')}\n`), refused.stderr)
  await agent.cli(...advice)
  const svid = await agent.cli('svid', 'fetch', address, '--out', '-', '--dns', 'new.example', '--dns', 'kept.example')
  assert.match(new X509Certificate(svid).subjectAltName ?? '', /DNS:new\.example, DNS:kept\.example/)
})

test('servers of expose, run and files have the names that their entries grant, and no others', async () => {
  const namesOf = async (svid: Promise<string>): Promise<string | undefined> =>
    new X509Certificate(await svid).subjectAltName
  const fetched = async (name: string): Promise<string> => {
    const id = `spiffe://example.org/dev/db/${name}/default/a`
    return await waitFor(async () => {
      const { code, stdout } = await agent.attempt(['svid', 'fetch', '--id', id, '--out', '-'])
      return code === 0 ? stdout : undefined
    }, `the certificate of ${name}`)
  }
  const expose = (name: string) => ['expose', 'dev.db.exposed.default', '--tcp', PORT, '--dns-name', name]
  await agent.spawn(expose('exposed.db.example')).says(/^dev\.db\.exposed\.default\.a$/m)
  for (const name of ['exposed', 'file']) {
    assert.match((await namesOf(fetched(name))) ?? '', new RegExp(`/${name}/default/a, DNS:${name}\\.db\\.example$`))
  }
  const run = ['run', '--as', 'dev.db.run.default', '--svid-files', '--dns-name', 'run.db.example', '--']
  const written = agent.cli(...run, '/bin/sh', '-c', 'cat $WARREN_SVID_DIR/svid.pem')
  assert.match((await namesOf(written)) ?? '', /, DNS:run\.db\.example$/)
  for (const command of [expose('other.example'), ['run', '--as', DB, '--dns-name', 'other.example', '--', 'true']]) {
    const refused = await agent.attempt(command)
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /PERMISSION_DENIED: no entry grants .* with a certificate for other\.example/)
  }
})

test('a registration ends when its name is granted no more', async () => {
  const entry = (
    await agent.cli('entry', 'add', '--uid', UID, '--dns-name', 'gone.example', 'dev.gone.*.default')
  ).trim()
  const registering = agent.spawn([
    'svid',
    'fetch',
    'dev.gone.main.default',
    '--dns',
    'gone.example',
    '--watch',
    '--out',
    join(scope.directory(), 'svid')
  ])
  await registering.says(/^spiffe:/m)
  await agent.cli('entry', 'remove', entry)
  const { code, stderr } = await registering.outcome()
  assert.equal(code, 1)
  assert.match(stderr, /INVALID_SOURCE: the agent ended the registration: no longer granted/)
})

test('files that change as one show one certificate with its key, through each renewal', async () => {
  const out = join(scope.directory(), 'svid')
  const watching = agent.spawn(['svid', 'fetch', DB, '--out', out, '--watch', '--as-one'])
  await watching.says(/^spiffe:/m)
  assert.equal(readlinkSync(join(out, 'svid.pem')), '..data/svid.pem')
  const seen = new Set<string>()
  await waitFor(() => {
    // As a program reads them that was told of a change of the link: all of one directory.
    const data = join(out, readlinkSync(join(out, '..data')))
    try {
      const leaf = new X509Certificate(read(data, 'svid.pem'))
      assert.ok(leaf.checkPrivateKey(createPrivateKey(read(data, 'svid_key.pem'))))
      seen.add(leaf.serialNumber)
    } catch (err) {
      // It was replaced, and removed, while it was read.
      if (existsSync(data)) throw err
    }
    return seen.size > 2
  }, 'two renewals')
  assert.equal((await watching.stop()).code, 0)
  assert.equal(readdirSync(out).filter(name => name.startsWith('..warren-')).length, 1)
})

test('files of before become links, and links of somebody else are not followed', async () => {
  const out = await fetchFor()
  assert.ok(lstatSync(join(out, 'svid.pem')).isFile())
  await agent.cli('svid', 'fetch', DB, '--out', out, '--as-one')
  assert.ok(lstatSync(join(out, 'svid.pem')).isSymbolicLink())
  const foreign = scope.directory()
  symlinkSync('/etc', join(foreign, '..data'))
  const refused = await agent.attempt(['svid', 'fetch', DB, '--out', foreign, '--as-one'])
  assert.deepEqual([refused.code, /is a symbolic link/.test(refused.stderr)], [2, true], refused.stderr)
  assert.deepEqual(readdirSync(foreign), ['..data'])
})

test('the key is for the group that is named, as its mode says, and for nobody else', asRoot, async () => {
  const out = join(scope.directory(), 'svid')
  const modes = () => [out, join(out, 'svid_key.pem')].map(path => [statSync(path).gid, statSync(path).mode & 0o777])
  await agent.cli('svid', 'fetch', DB, '--out', out, '--group', String(DAEMON_GID))
  assert.deepEqual(modes(), [
    [DAEMON_GID, 0o750],
    [DAEMON_GID, 0o640]
  ])
  await agent.cli('svid', 'fetch', DB, '--out', out, '--group', String(DAEMON_GID), '--mode', '440', '--as-one')
  assert.deepEqual(modes(), [
    [DAEMON_GID, 0o750],
    [DAEMON_GID, 0o440]
  ])
  for (const option of [
    ['--mode', '0644'],
    ['--mode', '660'],
    ['--group', 'no-such-group']
  ]) {
    assert.equal((await agent.attempt(['svid', 'fetch', DB, '--out', out, ...option])).code, 2, option.join(' '))
  }
  chmodSync(out, 0o700)
})
