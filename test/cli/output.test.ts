import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exit, exitCodeOf } from '../../src/cli/exit.ts'
import { replicationText } from '../../src/cli/options/wait.ts'
import { printable } from '../../src/cli/output/printable.ts'
import { formatAge, formatBytes, formatDuration, formatWhen } from '../../src/cli/output/quantities.ts'
import { RateLimitedLines } from '../../src/cli/output/rate-limit.ts'
import { failureOf } from '../../src/cli/output/report.ts'
import { type Column, pairs, table } from '../../src/cli/output/table.ts'
import { memberTable, memberView, versionTable } from '../../src/cli/output/views.ts'
import { ErrorCode, visibleJson, WarrenError } from '../../src/core/index.ts'
import { adminPb, apiPb, create } from '../../src/wire/index.ts'

test('columns are as wide as their widest cell, numbers to the right, no trailing blanks', () => {
  const rows = [
    { name: 'a', count: 5 },
    { name: 'longer', count: 12_345 }
  ]
  const text = table<(typeof rows)[number]>(
    [
      { title: 'NAME', value: row => row.name },
      { title: 'N', value: row => String(row.count), align: 'right' }
    ],
    rows
  )
  assert.equal(text, 'NAME        N\na           5\nlonger  12345')
  assert.equal(
    pairs([
      ['a', '1'],
      ['long', ''],
      ['b', '2']
    ]),
    'a     1\nlong\nb     2'
  )
})

test('a table fits its width: cells are cut, then columns are left out, and numbers and what must be whole stay', () => {
  const row = { name: 'dev.web.checkout-frontend.default.a', why: 'because it is so and not otherwise', count: 12_345 }
  const columns: Column<typeof row>[] = [
    { title: 'NAME', value: one => one.name },
    { title: 'WHY', value: one => one.why, rank: 1 },
    { title: 'N', value: one => String(one.count), align: 'right' },
    { title: 'ALL', value: one => one.name, wide: true }
  ]
  const at = (width: number): string => table(columns, [row], { columns: width, wide: false, color: false })
  assert.match(at(60), /^NAME .* N\ndev\.web\.\S*…\S*default\.a +because it is s.*… +12345$/)
  assert.equal(at(30), 'NAME                       N …\ndev.web.ch….default.a  12345')
  for (const width of [25, 30, 45, 60, 80]) {
    for (const line of at(width).split('\n')) assert.ok(line.length <= width, line)
  }
  const whole = table([{ title: 'ID', value: one => one.name, whole: true }], [row], {
    columns: 10,
    wide: false,
    color: false
  })
  assert.ok(whole.endsWith(row.name))
})

test('what a remote host says cannot command the terminal', () => {
  assert.equal(printable('a\x1b[2Jb\r\nc\u202ed\x07'), 'a\\u{1b}[2Jb\\u{d} c\\u{202e}d\\u{7}')
  assert.equal(printable('a\u200bb\u2028c\u061cd\u{e0041}'), 'a\\u{200b}b\\u{2028}c\\u{61c}d\\u{e0041}')
  assert.equal(printable('dev.web.nginx.default → ok'), 'dev.web.nginx.default → ok')
  assert.doesNotMatch(table([{ title: 'A', value: (row: string) => row }], ['\x1b]0;x\x07']), /[^\P{Cc}\n]/u)
})

test('JSON hides nothing from a person either, and is the same for a program', () => {
  const said = 'a\x1b[2J\x9b31m\u202e\u200b\u2028\u{e0041}\x7f é → ok'
  for (const json of [JSON.stringify({ [said]: said }), JSON.stringify({ [said]: [said] }, undefined, 2)]) {
    const shown = visibleJson(json)
    assert.doesNotMatch(shown, /[\p{Cf}\p{Zl}\p{Zp}]|[^\P{Cc}\n]/u)
    assert.match(shown, /é → ok/)
    assert.deepEqual(JSON.parse(shown), JSON.parse(json))
  }
  const { text } = failureOf(new WarrenError(ErrorCode.NotFound, said), true)
  assert.doesNotMatch(text, /[\p{Cf}\p{Zl}\p{Zp}]|[^\P{Cc}\n]/u)
})

test('lengths of time have two units at most', () => {
  const cases = { 0: '0ms', 412: '412ms', 59000: '59s', 61000: '1m 1s', 3600000: '1h', 90061000: '1d 1h' }
  for (const [ms, text] of Object.entries(cases)) assert.equal(formatDuration(Number(ms)), text)
  assert.equal(formatDuration(86_403_000), '1d')
  assert.equal(formatDuration(-61_000), '-1m 1s')
})

test('a time that never was is a dash', () => {
  const now = Date.parse('2030-01-01T00:00:00Z')
  assert.equal(formatAge(0, now), '-')
  assert.equal(formatAge(now - 61_000, now), '1m 1s')
  assert.equal(formatAge(now + 5_000, now), '0ms')
  assert.equal(formatWhen(now + 60_000, now), '2030-01-01T00:01:00.000Z (in 1m)')
  assert.equal(formatWhen(now - 60_000, now), '2029-12-31T23:59:00.000Z (1m ago)')
  assert.equal(formatWhen(0, now), '-')
})

test('bytes have one decimal and never four digits before it', () => {
  const cases = { 0: '0 B', 999: '999 B', 1000: '1.0 kB', 999949: '999.9 kB', 999960: '1.0 MB', 1234567890: '1.2 GB' }
  for (const [bytes, text] of Object.entries(cases)) assert.equal(formatBytes(Number(bytes)), text)
})

test('a flood of lines is counted, not written', () => {
  const lines: string[] = []
  const limited = new RateLimitedLines(line => lines.push(line), { burst: 2, windowMs: 1_000 })
  for (let i = 0; i < 10; i++) limited.line(`refused ${i}`, i)
  assert.deepEqual(lines, ['refused 0', 'refused 1'])
  limited.line('later', 1_000)
  assert.deepEqual(lines.slice(2), ['8 more of these were not shown', 'later'])
})

test('only what another command line can mend is a usage error', () => {
  assert.equal(exitCodeOf(new WarrenError(ErrorCode.InvalidArgument, 'x')), Exit.Usage)
  assert.equal(exitCodeOf(new WarrenError(ErrorCode.InvalidConfig, 'x')), Exit.Usage)
  assert.equal(exitCodeOf(new WarrenError(ErrorCode.Unauthorized, 'x')), Exit.Failed)
  assert.equal(exitCodeOf(new Error('x')), Exit.Failed)
})

test('how far a registration has spread is told in words', () => {
  const replication = (acked: number, required: number, missing: string[] = []) =>
    create(apiPb.ReplicationSchema, { acked, required, missing })
  assert.equal(replicationText('known to', undefined), 'known to this host')
  assert.equal(replicationText('known to', replication(0, 0)), 'known to this host')
  assert.equal(replicationText('known to', replication(1, 1)), 'known to this host and 1 other host')
  assert.equal(
    replicationText('known to', replication(1, 2, ['c'])),
    'known to this host and 1 of 2 other hosts; no answer yet from c'
  )
})

test('members show the versions that they announce, and one that announces none is unknown and no error', () => {
  const protocols = [
    { name: 'mesh', min: 1, max: 2 },
    { name: 'later', min: 1, max: 1 }
  ]
  const members = [
    { machine: 'a', state: 'self', version: '0.2.0', protocols },
    { machine: 'b', state: 'connected' }
  ].map(member => memberView(create(adminPb.MemberSchema, member)))
  assert.deepEqual(
    members.map(({ version, protocols: spoken }) => [version, spoken]),
    [
      ['0.2.0', { mesh: '1-2', later: '1' }],
      ['unknown', {}]
    ]
  )
  const [, a, b] = memberTable(members, 0).split('\n')
  assert.match(a ?? '', /^a +self +0\.2\.0 /)
  assert.match(b ?? '', /^b +connected +unknown /)
  assert.equal(
    versionTable(members),
    [
      'MACHINE  VERSION  MESH     SESSION  FAST-PATH  DATAGRAMS',
      'a        0.2.0    1-2      unknown  unknown    unknown',
      'b        unknown  unknown  unknown  unknown    unknown'
    ].join('\n')
  )
})
