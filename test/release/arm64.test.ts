import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import test, { after, type TestContext } from 'node:test'
import { deb } from '../../tools/release/deb.ts'
import { download, PACKAGES } from '../../tools/release/image/libraries.ts'
import { layOut } from '../../tools/release/tree.ts'
import { needsCommand, Program, scopeOf, waitFor } from '../harness/index.ts'
import { builtExecutable } from './support/built.ts'
import { givenFile, releaseOptions } from './support/released.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const QEMU = 'qemu-aarch64'
/** Under the emulator everything takes ten times as long. */
const PATIENCE_MS = 240_000
const SITE = 'dev.web.site.default'
const options = process.arch === 'arm64' ? { skip: 'the other tests run it, without an emulator' } : releaseOptions

const scope = scopeOf({ after: release => after(release as () => void) })

let made: Promise<readonly string[]> | undefined

/** The command line of the executable, with libraries of Debian for arm64 as the agent of a host there would have them. */
async function commandFor(t: TestContext): Promise<readonly string[] | undefined> {
  for (const tool of [QEMU, 'dpkg-deb', 'apt-get']) if (!needsCommand(t, tool)) return undefined
  made ??= make()
  return await made
}

async function make(): Promise<readonly string[]> {
  const root = scope.directory()
  for (const { file } of download('arm64', scope.directory(), PACKAGES))
    execFileSync('dpkg-deb', ['--extract', file, root])
  const file = givenFile(/-linux-arm64$/) ?? (await builtExecutable(scope, 'arm64'))
  assert.ok(file !== undefined)
  return [QEMU, '-L', root, file]
}

test('the executable for arm64 says its version, and checks a configuration', options, async t => {
  const warren = await commandFor(t)
  if (warren === undefined) return
  const [command = '', ...args] = warren
  const run = (...more: readonly string[]) => spawnSync(command, [...args, ...more], { encoding: 'utf8' })
  assert.match(run('--version').stdout, /^\d+\.\d+\.\d+(-test)?\n$/)
  const file = join(scopeOf(t).directory(), 'warren.yaml')
  writeFileSync(file, 'nam: a\n')
  assert.match(run('config', 'check', file).stdout, /warren\.yaml:1:1: unknown key "nam"/)
  writeFileSync(file, 'name: a\n')
  assert.equal(run('config', 'check', file).status, 0)
})

test(
  'an agent for arm64 loads its native code from memory, and carries bytes from a forward to a server',
  options,
  async t => {
    const warren = await commandFor(t)
    if (warren === undefined) return
    const own = scopeOf(t)
    const base = own.directory()
    const [stateDir, runtimeDir] = [join(base, 's'), join(base, 'r')]
    for (const directory of [stateDir, runtimeDir]) mkdirSync(directory, { mode: 0o700 })
    const program = (...more: readonly string[]) => new Program(own, [...warren, '--runtime-dir', runtimeDir, ...more])
    const says = async (pattern: RegExp, ...more: readonly string[]) => {
      const one = program(...more)
      await one.says(pattern, 'stdout', PATIENCE_MS)
      assert.equal((await one.outcome(PATIENCE_MS)).code, 0)
    }
    const listen = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
    const agent = program('up', '--init', 'example.org', '--name', 'a', '--state-dir', stateDir, ...listen)
    await agent.says(/ready in/, 'stderr', PATIENCE_MS)
    // What the emulator has mapped for it.
    assert.match(readFileSync(`/proc/${agent.pid}/maps`, 'utf8'), /memfd:warren-koffi/)

    const server = createServer(socket => void socket.on('error', () => {}).pipe(socket))
    own.defer(() => server.close())
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { readonly port: number }
    const expose = program('expose', SITE, '--tcp', `127.0.0.1:${port}`, '--server-user', 'any')
    await expose.says(/dev\.web\.site\.default\.a/, 'stdout', PATIENCE_MS)
    await says(/dev\.web\.site\.default\.a/, 'services')
    const allow = program('allow', 'dev.*.*.*', SITE)
    assert.equal((await allow.outcome(PATIENCE_MS)).code, 0)
    const forward = program('forward', SITE, '--listen', '127.0.0.1:0')
    const [, at] = await forward.says(/127\.0\.0\.1:(\d+)/, 'stdout', PATIENCE_MS)
    const client = connect(Number(at), '127.0.0.1')
    own.defer(() => client.destroy())
    let got = ''
    client.setEncoding('utf8').on('data', text => {
      got += text
    })
    client.write('there and back')
    await waitFor(() => got === 'there and back', 'the bytes to return', PATIENCE_MS)
    await says(/dev\.web\.site\.default/, 'flows')
    client.end()
    agent.signal('SIGTERM')
    assert.equal((await agent.outcome(PATIENCE_MS)).code, 0)
  }
)

test('the package for arm64 names its architecture and the same libraries', options, t => {
  for (const tool of ['dpkg-deb']) if (!needsCommand(t, tool)) return
  const work = scopeOf(t).directory()
  const [executable, tree, file] = [join(work, 'warren'), join(work, 'tree'), join(work, 'warren.deb')]
  writeFileSync(executable, '', { mode: 0o755 })
  mkdirSync(tree)
  const common = { root: ROOT, epochSeconds: 1_700_000_000 }
  layOut({ ...common, to: tree, executable, licenses: '', sbom: '{}', extras: { files: {}, missing: [] } })
  deb({ ...common, tree, arch: 'arm64', version: '1.2.3', maintainer: 'Ops <ops@example.org>', file })
  const field = (name: string): string => execFileSync('dpkg-deb', ['--field', file, name], { encoding: 'utf8' }).trim()
  assert.equal(field('Architecture'), 'arm64')
  assert.equal(field('Depends'), 'libatomic1, libc6 (>= 2.28), libstdc++6')
})
