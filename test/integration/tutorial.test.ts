import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { asRoot, needsCommand, type Scope, scopeOf } from '../harness/index.ts'
import { Reader } from './support/reader.ts'
import { agrees, endOf, type Typed, typedIn } from './support/transcript.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'tutorial.md'), 'utf8')
// What the checkout of the tests has been through already.
const DONE = 'npm ci --silent'

/** Where hosts.sh notes the hosts of this test. They go with it, however it ends. */
function placeForHosts(scope: Scope): string {
  const directory = join(scope.directory(), 'hosts')
  const remove = (): void => {
    if (!existsSync(directory)) return
    const env = { ...process.env, WARREN_TUTORIAL: directory }
    execFileSync(join(ROOT, 'examples', 'tutorial', 'hosts.sh'), ['down'], { env, stdio: 'pipe' })
  }
  scope.defer(remove)
  process.once('exit', remove)
  return directory
}

test('docs/tutorial.md, typed as it stands, answers as it says', asRoot, async t => {
  for (const command of ['nft', 'script', 'curl', 'python3']) if (!needsCommand(t, command)) return
  if ((statSync(join(ROOT, 'src')).mode & 0o005) !== 0o005) {
    t.skip('other users cannot read this checkout, as after git clone with umask 077')
    return
  }
  const scope = scopeOf(t)
  const reader = new Reader(scope, placeForHosts(scope))
  const all = typedIn(PAGE).filter(({ command }) => command !== DONE)
  assert.ok(all.length > 40)
  const startedMs = performance.now()
  for (const typed of all) await reader.type(typed)
  t.diagnostic(`${all.length} commands in ${Math.round(performance.now() - startedMs)} ms`)
})

test('a page that says what is not so is found out: another word, another exit code, a line too few or too many', async t => {
  if (!needsCommand(t, 'script')) return
  const scope = scopeOf(t)
  const reader = new Reader(scope, join(scope.directory(), 'none'))
  const typed = (command: string, more: Partial<Typed> = {}): Typed => {
    return { line: 1, where: '', command, runsOn: false, expected: [], exit: 0, ...more }
  }
  await reader.type(typed('printf "one\\ntwo\\n"', { expected: ['one', 'two'] }))
  await reader.type(typed('echo one; exit 3', { expected: ['one'], exit: 3 }))
  await reader.type(typed('echo one; echo two; sleep 60', { expected: ['one'], runsOn: true }))
  await reader.type(typed('', { expected: ['two'] }))
  const lies = [
    typed('echo one', { expected: ['two'] }),
    typed('echo one', { expected: ['one', 'two'] }),
    typed('echo one', { expected: ['on'] }),
    typed('echo one'),
    typed('exit 3'),
    typed('true', { exit: 3 }),
    typed('echo two; exit 0', { expected: ['one'], runsOn: true })
  ]
  for (const lie of lies) await assert.rejects(reader.type(lie), /the page says/, JSON.stringify(lie))
})

test('a page is read as prompts, what comes back, and how it ended', () => {
  const page = [
    ...['text', '```sh', 'a$ not this', '```', '```console', 'a$ first &', 'out  put', 'daemon@b$', 'said', '```'],
    ...['```console', '$ last', 'exit 2', '```']
  ].join('\n')
  assert.deepEqual(typedIn(page), [
    { line: 6, where: 'a', command: 'first', runsOn: true, expected: ['out  put'], exit: 0 },
    { line: 8, where: 'daemon@b', command: '', runsOn: false, expected: ['said'], exit: 0 },
    { line: 12, where: '', command: 'last', runsOn: false, expected: [], exit: 2 }
  ])
})

test('an ellipsis stands for anything in its line, one alone for any lines, and the width of a column counts for nothing', () => {
  assert.ok(agrees(['pid  …', 'b'], 'pid 12\r\nb'))
  assert.ok(agrees(['a', '…', 'd'], 'a\nb\nc\nd\n'))
  assert.ok(agrees(['a', '…'], 'a\n'))
  assert.ok(agrees(['in (…) ms.'], 'in (3) ms.\n'))
  assert.ok(!agrees(['in … ms.'], 'in 3 ms!\n'))
  assert.ok(!agrees(['pid …'], 'pid 12\nmore\n'))
  assert.ok(!agrees(['a', 'b'], 'b\na\n'))
})

test('lines of a command that runs on are looked for in order, among others', () => {
  assert.equal(endOf(['b', 'd …'], 'a\nb\nc\nd  1\r\ne\n'), 'a\nb\nc\nd  1\r\n'.length)
  assert.equal(endOf(['d', 'b'], 'a\nb\nc\nd\n'), undefined)
  assert.equal(endOf(['b'], 'bb\n'), undefined)
})
