import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { buildProgram } from '../../src/cli/program.ts'
import { completions } from '../../tools/release/completions.ts'
import { manPages } from '../../tools/release/man-pages.ts'
import { isInstalled, needsCommand, scopeOf } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const OPTIONS = { version: '1.2.3', epochSeconds: 1_700_000_000 }

test('the manual has a page of each command, with every option and command below it', () => {
  const pages = new Map(manPages(OPTIONS).map(({ path, bytes }) => [basename(path), bytes.toString()]))
  const program = buildProgram()
  const commands = program
    .createHelp()
    .visibleCommands(program)
    .filter(command => command.name() !== 'help')
  assert.deepEqual([...pages.keys()], ['warren.1', ...commands.map(command => `warren-${command.name()}.1`)])
  for (const command of commands) {
    const page = pages.get(`warren-${command.name()}.1`) ?? ''
    for (const { long } of [command, ...command.commands].flatMap(one => one.options)) {
      assert.ok(page.includes((long ?? '').replaceAll('-', '\\-')), `${command.name()} ${long}`)
    }
    for (const below of command.commands) {
      const heading = `.SS "${command.name()} ${below.name()}`.replaceAll('-', '\\-')
      assert.ok(page.includes(heading), below.name())
    }
  }
  assert.match(pages.get('warren-up.1') ?? '', /^\.TH WARREN\\-UP 1 2023-11-14 "warren 1\.2\.3" "User Commands"$/m)
  assert.ok(![...pages.keys()].some(name => name.includes('__complete')))
})

test('the manual is the same for the same options, and in ASCII', () => {
  const pages = manPages(OPTIONS)
  assert.deepEqual(manPages(OPTIONS), pages)
  for (const { path, bytes } of pages) assert.ok(/^[\x20-\x7e\n]+$/.test(bytes.toString()), path)
})

test('groff, mandoc and man render every page without a warning', t => {
  const tools: ReadonlyArray<readonly [string, ...string[]]> = [
    ['groff', '-man', '-Tascii', '-ww', '-z'],
    ['mandoc', '-Tlint', '-Wwarning'],
    ['man', '--warnings', '-E', 'ascii', '-l', '-P', 'cat']
  ]
  const there = tools.filter(([name]) => isInstalled(name))
  if (there.length === 0 && !needsCommand(t, 'groff')) return
  const directory = scopeOf(t).directory()
  for (const { path, bytes } of manPages(OPTIONS)) writeFileSync(join(directory, basename(path)), bytes)
  for (const [name, ...args] of there) {
    for (const page of readdirSync(directory)) {
      const { status, stderr, stdout } = spawnSync(name, [...args, join(directory, page)], { encoding: 'utf8' })
      assert.deepEqual([status, stderr], [0, ''], `${name} ${page}\n${stdout}`)
    }
    t.diagnostic(`rendered by ${name}`)
  }
})

test('npm run man writes the same pages as files', t => {
  const out = scopeOf(t).directory()
  const args = [join(ROOT, 'tools', 'man', 'main.ts'), '--out', out]
  execFileSync(process.execPath, args, { env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' } })
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  for (const { path, bytes } of manPages({ ...OPTIONS, version })) {
    assert.equal(readFileSync(join(out, basename(path)), 'utf8'), bytes.toString())
  }
})

test('packages have the scripts of completion where the shells look', () => {
  assert.deepEqual(
    completions().map(({ path }) => path),
    [
      'usr/share/bash-completion/completions/warren',
      'usr/share/zsh/vendor-completions/_warren',
      'usr/share/fish/vendor_completions.d/warren.fish'
    ]
  )
})
