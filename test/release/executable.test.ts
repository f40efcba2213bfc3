import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { listenersOf, needsCommand, Program, scopeOf } from '../harness/index.ts'
import { builtExecutable } from './support/built.ts'

const MAX_BYTES = 130_000_000
const MEMFD_CREATE: Readonly<Record<string, number>> = { x64: 319, arm64: 279 }
const scope = scopeOf({ after: release => after(release as () => void) })
let file: string | undefined

before(async () => {
  file = await builtExecutable(scope)
})

function found(t: { skip: (why: string) => void }): string | undefined {
  if (file === undefined) t.skip('no executable is made for this machine')
  return file
}

/** An agent from the executable, in directories of its own. */
function agent(
  path: string,
  { env = {}, wrap = [] }: { readonly env?: NodeJS.ProcessEnv; readonly wrap?: string[] } = {}
) {
  const base = scope.directory()
  const [state, runtimeDir] = [join(base, 's'), join(base, 'r')]
  for (const directory of [state, runtimeDir]) mkdirSync(directory, { mode: 0o700 })
  const where = ['--state-dir', state, '--runtime-dir', runtimeDir]
  const listen = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const up = [path, 'up', '--init', 'example.org', '--name', 'a', ...where, ...listen]
  const program = new Program(scope, [...wrap, ...up], { env })
  /** Of the agent itself, behind what it was wrapped in. */
  const pidOf = (): number =>
    wrap.length === 0
      ? program.pid
      : Number(readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8').trim().split(' ')[0])
  return { program, runtimeDir, pidOf }
}

test('the executable is one file that says its version', t => {
  const path = found(t)
  if (path === undefined) return
  const { status, stdout, stderr } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  assert.deepEqual([status, stdout, stderr], [0, '0.0.0-test\n', ''])
  assert.ok(statSync(path).size <= MAX_BYTES, `${statSync(path).size} bytes`)
})

test('an agent from the executable loads its native code from no file', async t => {
  const path = found(t)
  if (path === undefined) return
  const { program, runtimeDir } = agent(path)
  await program.says(/ready/, 'stderr')
  const status = spawnSync(path, ['--runtime-dir', runtimeDir, 'status'], { encoding: 'utf8' })
  assert.equal(status.status, 0, status.stderr)
  assert.match(status.stdout, /example\.org/)
  const mapped = readFileSync(`/proc/${program.pid}/maps`, 'utf8')
  assert.ok(mapped.includes('/memfd:warren-koffi (deleted)'), 'not in anonymous memory')
  assert.doesNotMatch(mapped, /\.node$/m)
  assert.equal((await program.stop()).code, 0)
})

test('no variable and no signal opens a debugger in the executable, or has it execute what lies in a directory', async t => {
  const path = found(t)
  if (path === undefined) return
  const cache = join(scope.directory(), 'cache')
  const env = {
    NODE_OPTIONS: '--inspect=127.0.0.1:0 --require=/nonexistent.js',
    NODE_INSPECT_RESUME_ON_START: '1',
    NODE_COMPILE_CACHE: cache
  }
  const { program, runtimeDir } = agent(path, { env })
  await program.says(/ready/, 'stderr')
  const own = listenersOf(program.pid)
  program.signal('SIGUSR1')
  // It has seen the signal by the time that it answers.
  assert.equal(spawnSync(path, ['--runtime-dir', runtimeDir, 'status']).status, 0)
  assert.deepEqual(listenersOf(program.pid), own)
  assert.equal((await program.stop()).code, 0)
  // What is in such a directory would be executed.
  const files = existsSync(cache) ? readdirSync(cache, { recursive: true, withFileTypes: true }) : []
  assert.deepEqual(
    files.filter(entry => entry.isFile()).map(({ name }) => name),
    []
  )
})

test('where there is no anonymous memory, native code comes from a file without a name', async t => {
  const path = found(t)
  if (path === undefined || !needsCommand(t, 'bwrap')) return
  const filter = join(scope.directory(), 'filter')
  writeFileSync(filter, refusing(MEMFD_CREATE[process.arch] ?? 0))
  const sandboxed = `exec bwrap --die-with-parent --dev-bind / / --seccomp 9 -- "$@" 9< ${filter}`
  const { program, pidOf } = agent(path, { wrap: ['sh', '-c', sandboxed, 'sh'] })
  await program.says(/ready/, 'stderr')
  const mapped = readFileSync(`/proc/${pidOf()}/maps`, 'utf8').split('\n')
  assert.deepEqual(
    mapped.filter(line => line.includes('memfd:')),
    []
  )
  assert.ok(mapped.some(line => /r-xp .*\/#\d+ \(deleted\)$/.test(line)))
})

/** A filter of seccomp (linux/filter.h, linux/seccomp.h) by which one system call fails with EPERM. */
function refusing(call: number): Buffer {
  const instructions = [
    [0x20, 0, 0, 0],
    [0x15, 0, 1, call],
    [0x06, 0, 0, 0x0005_0001],
    [0x06, 0, 0, 0x7fff_0000]
  ]
  return Buffer.concat(
    instructions.map(([code = 0, yes = 0, no = 0, value = 0]) => {
      const bytes = Buffer.alloc(8)
      bytes.writeUInt16LE(code, 0)
      bytes.writeUInt8(yes, 2)
      bytes.writeUInt8(no, 3)
      bytes.writeUInt32LE(value, 4)
      return bytes
    })
  )
}
