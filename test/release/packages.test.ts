import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import {
  asRoot,
  createHosts,
  type Host,
  needsCommand,
  Program,
  type Scope,
  scopeOf,
  waitFor
} from '../harness/index.ts'
import { releaseOptions as options, Release } from './support/released.ts'
import { RootFs } from './support/root-fs.ts'

const MAX_COMPRESSED_BYTES = 45_000_000
const SERVER = 'import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind="127.0.0.1")'

const scope = scopeOf({ after: release => after(release as () => void) })
let release: Release
let first = ''

before(() => {
  if (options.skip !== undefined) return
  release = Release.any(scope, { without: 'image' })
  first = release.directory
})

test('the signature holds for what was published, and for nothing else', options, () => {
  const check = (directory: string): number | null => {
    const verify = ['pkeyutl', '-verify', '-pubin', '-inkey', 'release.pub', '-rawin', '-in', 'SHA256SUMS']
    return spawnSync('openssl', [...verify, '-sigfile', 'SHA256SUMS.sig'], { cwd: directory }).status
  }
  assert.equal(check(first), 0)
  execFileSync('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: first })
  const changed = scope.directory()
  for (const name of ['SHA256SUMS', 'SHA256SUMS.sig', 'release.pub'])
    copyFileSync(join(first, name), join(changed, name))
  appendFileSync(join(changed, 'SHA256SUMS'), '\n')
  assert.equal(check(changed), 1)
})

test('what is downloaded is small, and the bill of materials names what is in it', options, () => {
  for (const pattern of [/\.tar\.gz$/, /\.deb$/, /\.rpm$/]) {
    const { size } = statSync(release.file(pattern))
    assert.ok(size <= MAX_COMPRESSED_BYTES, `${size} bytes`)
  }
  const { components } = JSON.parse(readFileSync(join(first, 'sbom.cdx.json'), 'utf8')) as {
    components: { name: string; version: string }[]
  }
  const versionOf = (name: string) => components.find(component => component.name === name)?.version
  assert.equal(versionOf('node'), process.versions.node)
  assert.ok(versionOf('koffi') !== undefined)
  assert.equal(versionOf('typescript'), undefined)
})

test('six commands and curl, over two hosts without Node, from the Debian package', {
  ...asRoot,
  ...options
}, async t => {
  const own = scopeOf(t)
  const [hostA, hostB] = await createHosts(own, 'a', 'b')
  const [a, b] = [installed(own, hostA), installed(own, hostB)]
  for (const root of [a, b]) {
    assert.throws(() => root.run('sh', '-c', 'command -v node || command -v npm'))
    assert.match(root.run('warren', '--version'), /^\d+\.\d+\.\d+\n$/)
  }
  mkdirSync(join(own.directory(), 'www'))
  const server = new Program(own, a.enter('python3', '-c', SERVER))

  const up = new Program(own, a.enter('warren', 'up', '--init', 'example.org'))
  await up.says(/ready/, 'stderr')
  const token = a.run('warren', 'token', 'create', 'b').trim()
  await new Program(own, b.enter('warren', 'up', '--join', token)).says(/ready/, 'stderr')
  const expose = new Program(own, a.enter('warren', 'expose', 'dev.web.site.default', '--tcp', '127.0.0.1:8080'))
  await expose.says(/dev\.web\.site\.default\.a/)
  a.run('warren', 'allow', 'dev.*.*.*', 'dev.web.site.default')
  const forward = new Program(own, b.enter('warren', 'forward', 'dev.web.site.default', '--listen', '127.0.0.1:9090'))
  await forward.says(/127\.0\.0\.1:9090/)
  const answer = await waitFor(
    () =>
      hostB.run('curl', '--silent', '--show-error', '--fail', '--max-time', '10', 'http://127.0.0.1:9090/etc/hostname'),
    'the first answer',
    20_000
  )
  assert.ok(answer.length > 0)
  await server.kill()
})

test('the package leaves nothing behind but the state, and a purge keeps that unless a person says so', {
  ...asRoot,
  ...options
}, async t => {
  const own = scopeOf(t)
  const [host] = await createHosts(own, 'a')
  const root = RootFs.create(own, host, { 'warren.deb': release.file(/\.deb$/) })
  root.run('dpkg', '--install', '--force-depends', '/given/warren.deb')
  root.run('install', '-d', '-m', '700', '/var/lib/warren')
  root.run('touch', '/var/lib/warren/kept')
  root.run('dpkg', '--remove', 'warren')
  assert.throws(() => root.run('test', '-e', '/usr/bin/warren'))
  root.run('test', '-e', '/etc/warren/warren.env')
  const said = root.run('dpkg', '--purge', 'warren')
  assert.match(said, /stay in \/var\/lib\/warren/)
  assert.deepEqual(root.added(), ['/var/lib/warren', '/var/lib/warren/kept'])
})

test('the rpm has the same files, and leaves nothing behind but the state and changed settings', {
  ...asRoot,
  ...options
}, async t => {
  if (!needsCommand(t, 'rpm')) return
  const own = scopeOf(t)
  const [host] = await createHosts(own, 'a')
  const files = { 'warren.rpm': release.file(/\.rpm$/), 'warren.deb': release.file(/\.deb$/) }
  const root = RootFs.create(own, host, files)
  const inRpm = root.run('rpm', '--query', '--list', '--package', '/given/warren.rpm').trim().split('\n')
  const inDeb = root.run('sh', '-c', 'dpkg-deb --fsys-tarfile /given/warren.deb | tar -t').trim().split('\n')
  // Each distribution has another directory for zsh; dpkg lists directories of others as well.
  const own_ = (paths: string[]) =>
    paths
      .map(path => path.replace(/^\.?|\/$/g, ''))
      .filter(path => /\/warren|conf\.d/.test(path) && !path.includes('zsh'))
  assert.deepEqual(own_(inRpm).toSorted(), own_(inDeb).toSorted())
  assert.match(
    root.run('rpm', '--query', '--requires', '--package', '/given/warren.rpm'),
    /^libatomic\.so\.1\(\)\(64bit\)$/m
  )

  // The database of rpm knows nothing of what dpkg has installed.
  const said = root.run('rpm', '--install', '--nodeps', '/given/warren.rpm')
  assert.match(said, /found or join a mesh/)
  assert.match(root.run('warren', '--version'), /^\d+\.\d+\.\d+\n$/)
  assert.match(root.run('id', 'warren'), /^uid=\d+\(warren\)/)
  assert.equal(root.run('stat', '--format', '%a', '/etc/warren/warren.env'), '600\n')
  const up = new Program(own, root.enter('warren', 'up', '--init', 'example.org'))
  await up.says(/ready/, 'stderr')
  assert.match(root.run('warren', 'status'), /example\.org/)
  assert.equal((await up.stop()).code, 0)
  root.run('sh', '-c', 'echo changed >> /etc/warren/warren.env')
  assert.match(root.run('rpm', '--erase', 'warren'), /stay in \/var\/lib\/warren/)
  const left = root.added()
  assert.deepEqual(
    left.filter(path => !path.startsWith('/var/lib/warren')),
    ['/etc/warren', '/etc/warren/warren.env.rpmsave']
  )
  assert.ok(left.includes('/var/lib/warren'))
})

function installed(own: Scope, host: Host): RootFs {
  const root = RootFs.create(own, host, { 'warren.deb': release.file(/\.deb$/) })
  root.run('dpkg', '--install', '--force-depends', '/given/warren.deb')
  return root
}
