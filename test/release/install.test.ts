import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createPrivateKey } from 'node:crypto'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { writeInstaller } from '../../tools/release/installer.ts'
import { writeSums } from '../../tools/release/signature.ts'
import { tarball } from '../../tools/release/tarball.ts'
import { needsCommand, Program, scopeOf } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const SCRIPT = join(ROOT, 'packaging', 'install.sh')
const ARCH = process.arch
// Made for Linux on these two; the script says so on others.
const options =
  process.platform === 'linux' && /^(x64|arm64)$/.test(ARCH) ? {} : { skip: 'no executable is made for it' }
const scope = scopeOf({ after: release => after(release as () => void) })
const EXTRAS = { files: { 'bash-completion/completions/warren': '# a completion\n' }, missing: [] }

function keyPair(name: string): { readonly secret: string; readonly open: string } {
  const directory = scope.directory()
  const [secret, open] = [join(directory, name), join(directory, `${name}.pub`)]
  spawnSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', secret])
  spawnSync('openssl', ['pkey', '-in', secret, '-pubout', '-out', open])
  return { secret, open }
}

const KEY = keyPair('key')

/** A signed release whose executable is a script that says its version. */
async function release(version: string, secret = KEY.secret): Promise<string> {
  const [out, work] = [scope.directory(), scope.directory()]
  const executable = join(work, 'warren')
  writeFileSync(executable, `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
  const name = `warren-${version}-linux-${ARCH}`
  const common = { root: ROOT, licenses: 'licences\n', extras: EXTRAS, epochSeconds: 1_700_000_000 }
  const archive = tarball({ ...common, name, executable, out, work })
  const key = createPrivateKey(readFileSync(secret))
  writeInstaller({ root: ROOT, file: join(out, 'install.sh'), key })
  await writeSums(out, [archive, 'install.sh'], key)
  return out
}

function install(root: string, ...args: readonly string[]) {
  return spawnSync('sh', [SCRIPT, '--root', root, ...args], { encoding: 'utf8' })
}

function filesOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()
}

test('shellcheck finds no fault in the scripts of packages', t => {
  if (!needsCommand(t, 'shellcheck')) return
  const of = (folder: string): string[] =>
    readdirSync(join(ROOT, 'packaging', folder)).map(name => join(ROOT, 'packaging', folder, name))
  for (const args of [
    [SCRIPT, ...of('debian')],
    ['--shell=sh', ...of('rpm')]
  ]) {
    const { stdout, status } = spawnSync('shellcheck', args, { encoding: 'utf8' })
    assert.equal(status, 0, stdout)
  }
})

test('what is installed from a directory is removed without a trace', options, async () => {
  const root = scope.directory()
  const { status, stderr } = install(root, '--from', await release('1.2.3'), '--key', KEY.open)
  assert.equal(status, 0, stderr)
  const binary = join(root, 'usr/local/bin/warren')
  assert.equal(spawnSync(binary, { encoding: 'utf8' }).stdout, '1.2.3\n')
  assert.equal(statSync(binary).mode & 0o777, 0o755)
  assert.equal(statSync(join(root, 'etc/warren/warren.env')).mode & 0o777, 0o600)
  assert.ok(statSync(join(root, 'etc/warren/conf.d')).isDirectory())
  assert.ok(existsSync(join(root, 'usr/local/share/bash-completion/completions/warren')))
  const unit = readFileSync(join(root, 'etc/systemd/system/warren.service'), 'utf8')
  assert.match(unit, /^ExecStart=\/usr\/local\/bin\/warren up /m)
  const removed = install(root, '--uninstall')
  assert.equal(removed.status, 0, removed.stderr)
  assert.deepEqual(filesOf(root), [])
})

test('a release at an address is installed by its own script, whose key is that of the builder', options, async t => {
  if (!needsCommand(t, 'curl')) return
  const own = scopeOf(t)
  const out = await release('1.2.3')
  const serve =
    'import functools, http.server as h, sys\n' +
    's = h.HTTPServer(("127.0.0.1", 0), functools.partial(h.SimpleHTTPRequestHandler, directory=sys.argv[1]))\n' +
    'print("port", s.server_port, flush=True); s.serve_forever()'
  const server = new Program(own, ['python3', '-c', serve, out])
  const [, port] = await server.says(/port (\d+)/)
  const script = join(own.directory(), 'install.sh')
  cpSync(join(out, 'install.sh'), script)
  const from = `http://127.0.0.1:${port}`
  const root = scope.directory()
  const installed = spawnSync('sh', [script, '--root', root, '--from', from], { encoding: 'utf8' })
  assert.equal(installed.status, 0, installed.stderr)
  assert.ok(existsSync(join(root, 'usr/local/bin/warren')))
  // What the server does not have is no release.
  const missing = spawnSync('sh', [script, '--root', root, '--from', `${from}/nothing`], { encoding: 'utf8' })
  assert.equal(missing.status, 1)
  assert.match(missing.stderr, /SHA256SUMS cannot be read/)
})

const archiveOf = (out: string): string => join(out, readdirSync(out).find(name => name.endsWith('.tar.gz')) ?? '')
const FAULTS: Readonly<Record<string, readonly [change: (out: string) => void, says: RegExp]>> = {
  'an archive that was changed': [out => appendFileSync(archiveOf(out), 'x'), /is not what SHA256SUMS names/],
  'sums that were changed': [out => appendFileSync(join(out, 'SHA256SUMS'), '\n'), /is not signed by this key/],
  'no signature': [out => rmSync(join(out, 'SHA256SUMS.sig')), /SHA256SUMS\.sig cannot be read/],
  'an empty signature': [out => writeFileSync(join(out, 'SHA256SUMS.sig'), ''), /is not signed by this key/],
  'no archive': [out => rmSync(archiveOf(out)), /tar\.gz cannot be read/]
}

test('a release that was changed, or is not signed, is refused, and nothing is installed', options, async () => {
  const root = scope.directory()
  for (const [what, [change, says]] of Object.entries(FAULTS)) {
    const out = await release('1.2.3')
    change(out)
    const { status, stderr } = install(root, '--from', out, '--key', KEY.open)
    assert.equal(status, 1, what)
    assert.match(stderr, says)
    assert.deepEqual(filesOf(root), [])
  }
})

test('a key that is another, none, or no key refuses every release', options, async () => {
  const [out, root] = [await release('1.2.3'), scope.directory()]
  const text = join(scope.directory(), 'text')
  writeFileSync(text, 'no key\n')
  const rsa = join(scope.directory(), 'rsa')
  spawnSync('openssl', ['genrsa', '-out', rsa, '2048'])
  spawnSync('openssl', ['pkey', '-in', rsa, '-pubout', '-out', `${rsa}.pub`])
  const refused: ReadonlyArray<readonly [args: readonly string[], says: RegExp]> = [
    [['--key', keyPair('other').open], /is not signed by this key/],
    [['--key', text], /is no public Ed25519 key/],
    [['--key', `${rsa}.pub`], /is no public Ed25519 key/],
    [['--key', join(out, 'nothing')], /cannot be read/],
    [[], /no key: give the public key/]
  ]
  for (const [args, says] of refused) {
    const { status, stderr } = install(root, '--from', out, ...args)
    assert.equal(status, 1)
    assert.match(stderr, says)
  }
  assert.deepEqual(filesOf(root), [])
})

test('a dry run verifies and changes nothing', options, async () => {
  const [out, root] = [await release('1.2.3'), scope.directory()]
  const { status, stderr } = install(root, '--from', out, '--key', KEY.open, '--dry-run')
  assert.equal(status, 0, stderr)
  assert.match(stderr, /would: install .*\/usr\/local\/bin\/warren$/m)
  assert.deepEqual(filesOf(root), [])
  install(root, '--from', out, '--key', KEY.open)
  const before = filesOf(root)
  assert.match(install(root, '--uninstall', '--dry-run').stderr, /would: rm -f .*\/usr\/local\/bin\/warren$/m)
  assert.deepEqual(filesOf(root), before)
})

test(
  'a second run changes nothing, an upgrade replaces what is not a person’s, and an older version is refused',
  options,
  async () => {
    const root = scope.directory()
    const old = await release('1.2.3')
    install(root, '--from', old, '--key', KEY.open)
    const env = join(root, 'etc/warren/warren.env')
    writeFileSync(env, 'WARREN_UP_OPTIONS="--init example.org"\n')
    assert.doesNotMatch(install(root, '--from', old, '--key', KEY.open).stderr, /: install \//)
    const binary = join(root, 'usr/local/bin/warren')
    const { ino } = statSync(binary)
    const upgraded = install(root, '--from', await release('1.10.0'), '--key', KEY.open)
    assert.equal(upgraded.status, 0, upgraded.stderr)
    assert.equal(spawnSync(binary, { encoding: 'utf8' }).stdout, '1.10.0\n')
    // Another file: whoever runs the old one keeps it.
    assert.notEqual(statSync(binary).ino, ino)
    assert.match(readFileSync(env, 'utf8'), /example\.org/)
    const downgraded = install(root, '--from', old, '--key', KEY.open)
    assert.equal(downgraded.status, 1)
    assert.match(downgraded.stderr, /1\.2\.3 is older than 1\.10\.0, which is installed; --downgrade/)
    assert.equal(install(root, '--from', old, '--key', KEY.open, '--downgrade').status, 0)
    assert.equal(spawnSync(binary, { encoding: 'utf8' }).stdout, '1.2.3\n')

    // Removal keeps what is a person's: changed settings, other files, state.
    mkdirSync(join(root, 'var/lib/warren'), { recursive: true })
    writeFileSync(join(root, 'etc/warren/conf.d/own.yaml'), 'services: []\n')
    const removed = install(root, '--uninstall')
    assert.match(removed.stderr, /warren\.env was changed and stays/)
    assert.match(removed.stderr, /state and keys of this host stay in .*\/var\/lib\/warren/)
    assert.ok(!existsSync(join(root, 'usr')))
    assert.deepEqual(filesOf(join(root, 'etc')), [
      'warren',
      'warren/conf.d',
      'warren/conf.d/own.yaml',
      'warren/warren.env'
    ])
    assert.match(install(root, '--uninstall').stderr, /nothing was installed/)
  }
)

test('a purge removes settings and state as well', options, async () => {
  const root = scope.directory()
  install(root, '--from', await release('1.2.3'), '--key', KEY.open)
  writeFileSync(join(root, 'etc/warren/warren.env'), 'changed\n')
  mkdirSync(join(root, 'var/lib/warren'), { recursive: true })
  const { status, stderr } = install(root, '--uninstall', '--purge')
  assert.equal(status, 0, stderr)
  assert.deepEqual(
    filesOf(root).filter(path => path.includes('warren')),
    []
  )
})

test('a release candidate is older than its release, so that it takes no place of it', options, async () => {
  const root = scope.directory()
  const [candidate, later, final] = [await release('1.0.0-rc.2'), await release('1.0.0-rc.10'), await release('1.0.0')]
  for (const one of [candidate, later, final]) {
    const { status, stderr } = install(root, '--from', one, '--key', KEY.open)
    assert.equal(status, 0, stderr)
  }
  const { status, stderr } = install(root, '--from', later, '--key', KEY.open)
  assert.equal(status, 1)
  assert.match(stderr, /1\.0\.0-rc\.10 is older than 1\.0\.0, which is installed/)
})
