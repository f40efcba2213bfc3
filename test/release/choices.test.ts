import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { packageVersion, readMaintainer } from '../../tools/release/describe.ts'
import { LEFT_OUT } from '../../tools/release/tarball.ts'
import { Program, scopeOf, TestAgent, WARREN } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const MAIN = join(ROOT, 'tools', 'release', 'main.ts')

test('a release that cannot be made says why, and what to do, before any work', t => {
  const scope = scopeOf(t)
  const out = join(scope.directory(), 'out')
  const refused = (args: readonly string[], env: NodeJS.ProcessEnv = process.env): string => {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, '--out', out, ...args], { encoding: 'utf8', env })
    assert.equal(status, 1, stderr)
    assert.ok(!existsSync(out))
    return stderr
  }
  assert.match(refused(['--arch', 'mips']), /no executable is made for "mips"\. Usage: npm run release/)
  assert.match(refused(['--without', 'exe']), /"exe" is none of deb, rpm, image/)
  assert.match(refused(['--maintainer', 'somebody']), /give one as "Ops of Example <ops@example\.org>"/)
  assert.match(refused(['--key', MAIN]), /has no private key in PEM/)
  const missing = refused(['--without', 'image'], { ...process.env, PATH: scope.directory() })
  assert.match(
    missing,
    /missing: dpkg-deb for deb, rpmbuild for rpm; apt-get install dpkg rpm, or .*--without deb,rpm$/m
  )
})

test('what an archive leaves out of the documents is there, and is nothing that install.sh installs', () => {
  for (const path of LEFT_OUT) assert.ok(existsSync(join(ROOT, 'docs', path)), path)
  const installer = readFileSync(join(ROOT, 'packaging', 'install.sh'), 'utf8')
  const installed = [...installer.matchAll(/\bdocs\/([\w.-]+)/g)].map(([, path = '']) => path)
  assert.ok(installed.includes('install.md'))
  assert.deepEqual(
    installed.filter(path => LEFT_OUT.includes(path)),
    []
  )
})

test('packages order a version before its release as people do, and name whom the builder names', () => {
  assert.equal(packageVersion('0.1.0'), '0.1.0')
  assert.equal(packageVersion('0.1.0-rc.1'), '0.1.0~rc.1')
  assert.equal(readMaintainer('Ops of Example <ops@example.org>'), 'Ops of Example <ops@example.org>')
  assert.throws(() => readMaintainer('Ops <ops@example.org>\nDepends: x'))
})

test('the settings of a package change nothing, and the examples in them are what an agent takes', async t => {
  const text = readFileSync(join(ROOT, 'packaging', 'etc', 'warren.yaml'), 'utf8')
  assert.equal(parse(text), null)
  const scope = scopeOf(t)
  const file = join(scope.directory(), 'warren.yaml')
  writeFileSync(file, text.replaceAll(/^#(?=[a-z]| {2}[a-z])/gm, ''))
  const listen = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0']
  const agent = new TestAgent(scope, { name: 'web-1', args: [] })
  const where = ['--state-dir', agent.stateDir, '--runtime-dir', agent.runtimeDir]
  const up = new Program(scope, [WARREN, 'up', '--init', 'example.org', '--config', file, ...where, ...listen])
  await up.says(/ready in .*: web-1 of example\.org/, 'stderr')
  assert.equal((await up.stop()).code, 0)
})
