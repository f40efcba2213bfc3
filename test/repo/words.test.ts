import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { OLD_WORDS } from './words.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** Everything that people read or type. Decisions and CHANGELOG.md are history; this list names what it forbids. */
const READ =
  /^(?:src|test|bench|tools|examples|protocols|bin|packaging|docs|README|CONTRIBUTING|SECURITY|package\.json)/
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
