import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parsePolicyFile } from '../../src/config/policy-file/index.ts'
import { scopeOf, warren } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const EXAMPLE = join(ROOT, 'examples', 'policy', 'policy.yaml')

const faultsOf = (text: string): string[] =>
  parsePolicyFile('p.yaml', text).faults.map(({ line, column, text, hint }) => `${line}:${column}: ${text}. ${hint}`)

test('each fault of a policy file is named where it stands, with what was probably meant', () => {
  const text = `ruls: []
rules:
  - alow: dev.*.*.*
    to: dev.web.*.*
  - allow: dev.*.*
    to: dev.web.*.*
    protocols: [tpc]
  - allow: dev.*.*.*
tests:
  - dev.web.*.* dev.db.*.*: allowed
`
  const faults = faultsOf(text).sort()
  assert.deepEqual(
    faults.map(fault => fault.slice(0, 44)),
    [
      '10:5: "dev.web.*.* dev.db.*.*" is not SOURCE',
      '1:1: unknown key "ruls". Did you mean "rules',
      '3:5: unknown key "alow". Did you mean "allow',
      '5:12: allow: pattern "dev.*.*" has 3 compone',
      '7:17: "tpc" is not one of tcp, udp. Did you ',
      '8:5: it has no to. Add it: destinations.'
    ]
  )
  assert.deepEqual(faultsOf('rules:\n  - to: dev.a.b.c\n'), [
    '2:5: it has no effect. Begin it with allow, deny or audit, as in "- allow: dev.web.*.*".'
  ])
  assert.deepEqual(faultsOf('rules:\n  - allow: dev.a.b.c\n    deny: dev.a.b.c\n    to: dev.a.b.c\n'), [
    '3:5: allow and deny exclude each other. Write a rule for each.'
  ])
})

test('a pattern that YAML takes for something else is named, with the quotes that it needs', () => {
  assert.deepEqual(faultsOf('rules:\n  - allow: *.web.*.*\n    to: dev.a.b.c\n'), [
    '2:12: a pattern that begins with * is not quoted. Put it in quotes, as in "*.web.*.*".'
  ])
  assert.match(
    faultsOf('rules:\n  - allow: {dev,test}.web.*.*\n    to: dev.a.b.c\n')[0] ?? '',
    /Put a pattern in quotes/
  )
})

test('a date without an offset is refused: it would mean another time on another host', () => {
  const at = (until: string): string[] =>
    faultsOf(`rules:\n  - allow: dev.a.b.c\n    to: dev.a.b.c\n    until: ${until}\n`)
  assert.deepEqual(at('2030-12-24'), [])
  assert.deepEqual(at('2030-12-24T18:00+01:00'), [])
  assert.match(at('2030-12-24T18:00')[0] ?? '', /^4:12: until: "2030-12-24T18:00" is not a date/)
})

test('the example of a policy is right, and its tests hold, without an agent', async t => {
  const scope = scopeOf(t)
  const checked = await warren(scope, ['policy', 'check', EXAMPLE]).outcome()
  assert.deepEqual([checked.code, checked.stdout], [0, ''])
  const tested = await warren(scope, ['policy', 'test', EXAMPLE, '--policy', EXAMPLE]).outcome()
  assert.equal(tested.code, 0, tested.stdout)
  assert.match(tested.stderr, /3 assertions: all hold/)
})

test('the page of policy as code shows the example as it is', () => {
  const page = readFileSync(join(ROOT, 'docs', 'policy-as-code.md'), 'utf8')
  const example = readFileSync(EXAMPLE, 'utf8').replace(/^(#.*\n)+/, '')
  assert.ok(page.includes(`\`\`\`yaml\n${example}\`\`\``))
})

test('what does not hold is named with a connection that shows it, and fails the command', async t => {
  const scope = scopeOf(t)
  const path = join(scope.directory(), 'policy.yaml')
  writeFileSync(
    path,
    `rules:
  - allow: dev.ops.*.*
    to: prod.db.*.*
invariants:
  - never: dev.*.*.*
    to: prod.*.*.*
`
  )
  const broken = await warren(scope, ['policy', 'check', path]).outcome()
  assert.equal(broken.code, 1)
  assert.match(
    broken.stdout,
    /policy\.yaml:5:5: never dev\.\*\.\*\.\* -> prod\.\*\.\*\.\* does not hold: rule allow dev\.ops\.\*\.\* -> prod/
  )
  writeFileSync(
    path,
    `rules:
  - allow: dev.ops.*.*
    to: prod.db.*.*
tests:
  - dev.ops.*.* -> prod.db.*.*: allowed
  - dev.*.*.* → prod.*.*.* tcp: denied
`
  )
  const tested = await warren(scope, ['policy', 'test', path, '--policy', path]).outcome()
  assert.equal(tested.code, 1)
  assert.match(
    tested.stdout,
    /^\S+policy\.yaml:6: .*denied does not hold: dev\.ops\.\S+ -> prod\.db\.\S+ \(tcp\) is allowed: rule of line 2: allow dev\.ops/
  )
  assert.match(tested.stderr, /2 assertions: 1 does not hold/)
})
