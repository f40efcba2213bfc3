import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { Command } from 'commander'
import { buildProgram } from '../../src/cli/program.ts'
import { METRICS } from '../../src/core/index.ts'
import { OLD_WORDS, UNCLEAR_PHRASES } from './words.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** Everything that people read or type. Decisions and CHANGELOG.md are history; this list names what it forbids. */
const READ =
  /^(?:src|test|bench|clients|tools|examples|protocols|bin|packaging|docs|README|CONTRIBUTING|SECURITY|package\.json)/
const NOT_READ = /^(?:docs\/decisions\/|src\/wire\/gen\/|test\/repo\/words)|\.(?:svg|png|pem|der|gz)$/

function files(): string[] {
  const listed = execFileSync('git', ['-C', ROOT, 'ls-files', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024
  })
  return listed.split('\n').filter(name => READ.test(name) && !NOT_READ.test(name) && existsSync(join(ROOT, name)))
}

test('each old word is found by its pattern', () => {
  for (const { old, pattern, example } of OLD_WORDS) assert.match(example, pattern, old)
})

test('nothing that people read or type has an old word', () => {
  const read = files()
  assert.ok(read.length > 900)
  const found = read.flatMap(name =>
    readFileSync(join(ROOT, name), 'utf8')
      // Pages of decisions keep their names.
      .replace(/decisions\/\d{4}-[\w-]+\.md/g, '')
      .split('\n')
      .flatMap((line, at) =>
        OLD_WORDS.filter(({ pattern }) => pattern.test(line)).map(
          ({ old, now }) => `${name}:${at + 1}: ${old}, now ${now}: ${line.trim().slice(0, 90)}`
        )
      )
  )
  assert.deepEqual(found, [])
})

test('no file is named by an old word', () => {
  const names = files().filter(name =>
    OLD_WORDS.some(({ pattern }) => name.split('/').some(part => pattern.test(part)))
  )
  assert.deepEqual(names, [])
})

test('the change log has a row for each old word', () => {
  const log = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')
  const missing = OLD_WORDS.filter(({ old, now }) => !log.includes(`| ${old} | ${now} |`))
  assert.deepEqual(
    missing.map(({ old }) => old),
    []
  )
})

/** The pages of today. The name of a test, in curly quotes, is that of the test. */
function pages(): ReadonlyArray<readonly [name: string, text: string]> {
  return files()
    .filter(name => name.endsWith('.md') && /^(?:docs\/|README|CONTRIBUTING|SECURITY)/.test(name))
    .map(name => [name, readFileSync(join(ROOT, name), 'utf8').replace(/“[^”]*”/g, '')])
}

/** The help of a verb and of those below it, as it is printed. */
function helps(command: Command, path: string): ReadonlyArray<readonly [name: string, text: string]> {
  let printed = ''
  command.configureOutput({ writeOut: text => (printed += text) }).outputHelp()
  return [
    [`${path} --help`, printed] as const,
    ...command.commands.flatMap(below => helps(below, `${path} ${below.name()}`))
  ]
}

test('each unclear phrase is found by its pattern', () => {
  for (const { pattern, example } of UNCLEAR_PHRASES) assert.match(example, pattern)
})

test('no page, no help of a metric and no help of a verb has a phrase that a dictionary does not explain', () => {
  const metrics = Object.entries(METRICS).map(([name, { help }]) => [name, help] as const)
  const verbs = helps(buildProgram(), 'warren')
  assert.ok(verbs.length > 40)
  assert.ok(verbs.every(([, text]) => text.includes('Usage: warren')))
  const texts = [...pages(), ...metrics, ...verbs]
  assert.ok(texts.length > 120)
  const found = texts.flatMap(([name, text]) => {
    // A phrase may be broken by the end of a line.
    const running = text.replace(/\s+/g, ' ')
    return UNCLEAR_PHRASES.flatMap(({ pattern, now }) => {
      const match = pattern.exec(running)
      if (match === null) return []
      return [`${name}: …${running.slice(Math.max(0, match.index - 40), match.index + 40)}…: write ${now}`]
    })
  })
  assert.deepEqual(found, [])
})
