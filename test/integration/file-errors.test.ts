import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { asRoot, type Scope, scopeOf, TestAgent, WARREN, warren } from '../harness/index.ts'
import { upOn } from './support/up-on.ts'

/** Places where nothing can be made, with what is to be said of each. */
function places(scope: Scope): Readonly<Record<string, readonly [directory: string, why: RegExp]>> {
  const base = scope.directory()
  const [file, readOnly] = [join(base, 'file'), join(base, 'ro')]
  writeFileSync(file, 'a file')
  mkdirSync(readOnly)
  symlinkSync('/nowhere', join(base, 'link'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', readOnly])
  scope.defer(() => execFileSync('umount', [readOnly]))
  return {
    'below a file': [join(file, 'deeper'), /file is a file and not a directory \(ENOTDIR\)/],
    'on a read-only file system': [join(readOnly, 'deeper'), /the file system is read-only \(EROFS\)/]
  }
}

/** What a person reads: a line with the path and a reason, and one with what to do. */
function assertClear(stderr: string, path: string, why: RegExp): void {
  assert.ok(stderr.includes(path), `${path} is not named: ${stderr}`)
  assert.match(stderr, why)
  assert.match(stderr, /\n {2}\S.{15}/, `no advice: ${stderr}`)
  assert.doesNotMatch(stderr, /INTERNAL|below 1024| at .*\.ts/)
}

test('a directory of the agent that cannot be made is named, with the reason and what to do', asRoot, async t => {
  const scope = scopeOf(t)
  for (const [place, [directory, why]] of Object.entries(places(scope))) {
    for (const option of ['--state-dir', '--runtime-dir']) {
      await t.test(`${option} ${place}`, async () => {
        const state = option === '--state-dir' ? directory : join(scope.directory(), 's')
        const more = option === '--state-dir' ? [] : ['--runtime-dir', directory]
        const outcome = await upOn(scope, state, '--init', 'example.org', '--name', 'a', ...more)
        assert.ok(outcome !== 'ready')
        assertClear(outcome.stderr, directory, why)
        assert.match(outcome.stderr, new RegExp(option))
      })
    }
  }
})

test('a file that a command reads or writes is named, with the reason and what to do', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const passphrase = join(scope.directory(), 'passphrase')
  writeFileSync(passphrase, 'correct horse battery staple\n')
  const commands: Readonly<Record<string, (path: string) => string[]>> = {
    'forward --listen': path => ['forward', 'dev.a.b.c', '--listen', `unix:${path}`],
    'forward --udp --listen': path => ['forward', 'dev.a.b.c', '--udp', '--listen', `unix:${path}`],
    backup: path => ['backup', path, '--passphrase-file', passphrase],
    'svid fetch': path => ['svid', 'fetch', '--out', path]
  }
  for (const [place, [directory, why]] of Object.entries(places(scope))) {
    for (const [name, args] of Object.entries(commands)) {
      await t.test(`${name} ${place}`, async () => {
        const inReadOnly = place.includes('read-only') && !name.startsWith('svid')
        const path = inReadOnly ? join(directory, '..', 'x') : join(directory, 'x')
        const { code, stderr } = await agent.attempt(args(path))
        assert.notEqual(code, 0)
        assertClear(stderr, path, why)
      })
    }
  }
  const absent = join(scope.directory(), 'absent', 'x')
  const readers: Readonly<Record<string, string[]>> = {
    'up --config': ['up', '--config', absent],
    'up --join @': ['up', '--join', `@${absent}`],
    'backup --passphrase-file': ['backup', join(scope.directory(), 'x'), '--passphrase-file', absent],
    restore: ['restore', absent, '--state-dir', join(scope.directory(), 's'), '--passphrase-file', passphrase]
  }
  for (const [name, args] of Object.entries(readers)) {
    await t.test(`${name} of a file that is missing`, async () => {
      const { code, stderr } = await agent.attempt(args)
      assert.notEqual(code, 0)
      assertClear(stderr, absent, /the directory \S+absent does not exist \(ENOENT\)/)
    })
  }
  await t.test('a runtime directory that is a file', async () => {
    const { stderr } = await warren(scope, ['status'], {}, passphrase).outcome()
    assert.match(stderr, /AGENT_NOT_RUNNING: .*passphrase.*\n {2}\S/)
  })
})

test('an address that cannot be listened on is named in words of this system, not of a library', asRoot, async t => {
  const scope = scopeOf(t)
  for (const option of ['--listen', '--data-listen']) {
    const cases = { '192.0.2.7:0': /this host has no address 192\.0\.2\.7 \(EADDRNOTAVAIL\)/ }
    for (const [address, why] of Object.entries(cases)) {
      const state = join(scope.directory(), 's')
      const outcome = await upOn(scope, state, '--init', 'example.org', '--name', 'a', option, address)
      assert.ok(outcome !== 'ready')
      assertClear(outcome.stderr, address, why)
      assert.match(outcome.stderr, new RegExp(` ${option}\\.\n`))
      assert.doesNotMatch(outcome.stderr, /faultTolerance|multiaddr|listen addresses/)
    }
  }
})

test('a reader that has read enough is no failure of a command, but a file that is cut short is one', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const sh = (script: string): { code: number; stderr: string } => {
    try {
      execFileSync('bash', ['-c', `set -o pipefail; ${script}`], {
        env: { ...process.env, W: WARREN, WARREN_RUNTIME_DIR: agent.runtimeDir },
        stdio: 'pipe'
      })
      return { code: 0, stderr: '' }
    } catch (err) {
      const { status, stderr } = err as { status: number; stderr: Buffer }
      return { code: status, stderr: stderr.toString() }
    }
  }
  for (const command of ['metrics', 'metrics --json', 'status', 'members --json', '--help']) {
    assert.deepEqual(sh(`"$W" ${command} 2>&1 | head -c 1 | wc -c`), { code: 0, stderr: '' }, command)
    assert.deepEqual(sh(`"$W" ${command} | true`), { code: 0, stderr: '' }, command)
  }
  const passphrase = join(scope.directory(), 'passphrase')
  writeFileSync(passphrase, 'correct horse battery staple\n')
  const { code, stderr } = sh(`"$W" backup - --passphrase-file ${passphrase} | true`)
  assert.equal(code, 1)
  assert.match(stderr, /^warren: cannot write to standard output: its reader has ended before the end of the file$/m)
})
