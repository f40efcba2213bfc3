import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { AuditFile } from '../../src/audit/file.ts'
import { MAX_WAITING, REFUSALS, verifyLog } from '../../src/audit/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'
import { asRoot, scopeOf, waitFor } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { FLOW, openLog, PEER, recordsIn } from './support.ts'

const REFUSED = { ...FLOW, code: 'UNAUTHORIZED', reason: 'no rule allows it' } as const

test('what is audited is a line with all its fields, signed at the beginning and at the end', async t => {
  const directory = scopeOf(t).directory()
  const log = await openLog(join(directory, 'audit.log'))
  const events = new EventBus(silentLogger)
  log.follow(events)
  events.emit('flow-opened', FLOW)
  events.emit('host-connected', { peer: PEER, machine: 'b' })
  events.emit('policy-changed', { version: 7n, reason: 'a rule' })
  await log.close()
  const [opened, flow, policy, closed, ...more] = recordsIn(directory)
  assert.deepEqual(opened?.fields, { peer: PEER, machine: 'a', trustDomain: 'example.org', version: '1.0.0' })
  assert.deepEqual(flow?.fields, FLOW)
  assert.deepEqual(policy?.fields, { version: 7, reason: 'a rule' })
  assert.equal(closed?.event, 'audit-closed')
  assert.deepEqual(more, [])
  const verified = await verifyLog(join(directory, 'audit.log'), { peers: [PEER] })
  assert.deepEqual([verified.damage, verified.lines, verified.signedThrough], [undefined, 4, 4])
  assert.equal(statSync(join(directory, 'audit.log')).mode & 0o777, 0o600)
})

test('a log is continued by the next start, and nobody else may write it meanwhile', async t => {
  const directory = scopeOf(t).directory()
  const path = join(directory, 'audit.log')
  const log = await openLog(path)
  await assert.rejects(openLog(path), { code: 'STATE_UNUSABLE' })
  await log.close()
  const again = await openLog(path)
  again.add('flow-opened', FLOW)
  await again.close()
  assert.deepEqual(
    recordsIn(directory).map(({ seq, event }) => [seq, event]),
    [
      [1, 'audit-opened'],
      [2, 'audit-closed'],
      [3, 'audit-opened'],
      [4, 'flow-opened'],
      [5, 'audit-closed']
    ]
  )
  assert.equal((await verifyLog(path)).damage, undefined)
})

test('a log that is closed writes to no file that was given its descriptor', async t => {
  const directory = scopeOf(t).directory()
  const file = await AuditFile.open(join(directory, 'audit.log'))
  const [line, end] = [Buffer.from('a line\n'), { seq: 1, sha256: 'x' }]
  // The one that runs while it is closed is written to the end.
  await Promise.all([file.append(line, end), file.close()])
  const other = openSync(join(directory, 'other'), 'w')
  t.after(() => closeSync(other))
  await assert.rejects(file.append(line, end), /is closed/)
  await assert.rejects(file.sync(), /is closed/)
  await assert.rejects(file.rotate(), /is closed/)
  await file.close()
  assert.equal(readFileSync(file.path, 'utf8'), 'a line\n')
  assert.equal(fstatSync(other).size, 0)
  // Its lock has ended with it.
  await (await AuditFile.open(file.path)).close()
})

test('a file that others may read, or a link, is refused', async t => {
  const directory = scopeOf(t).directory()
  const path = join(directory, 'audit.log')
  writeFileSync(path, '')
  chmodSync(path, 0o644)
  await assert.rejects(openLog(path), { code: 'STATE_UNUSABLE' })
  rmSync(path)
  symlinkSync(join(directory, 'other'), path)
  await assert.rejects(openLog(path), { code: 'STATE_UNUSABLE' })
  assert.equal(existsSync(join(directory, 'other')), false)
})

test('a line that a crash has cut off is removed at the next start, and a record says so', async t => {
  const directory = scopeOf(t).directory()
  const path = join(directory, 'audit.log')
  const log = await openLog(path)
  log.add('flow-opened', FLOW)
  await log.close()
  truncateSync(path, statSync(path).size - 20)
  assert.match(String((await verifyLog(path)).damage?.problem), /cut off in its middle/)
  const again = await openLog(path)
  await again.close()
  const repaired = recordsIn(directory).find(({ event }) => event === 'audit-repaired')
  assert.equal(repaired?.seq, 3)
  assert.ok(Number(repaired?.fields['cutBytes']) > 100)
  assert.equal((await verifyLog(path)).damage, undefined)
})

test('a log is made of files up to a size, and the oldest go when all are too large', async t => {
  const directory = scopeOf(t).directory()
  const path = join(directory, 'audit.log')
  const { metrics, hits } = recordingMetrics()
  const maxBytes = 256 * 1_024
  const log = await openLog(path, { maxBytes, metrics })
  for (let round = 0; round < 40; round += 1) {
    for (let number = 0; number < 20; number += 1) log.add('flow-opened', { ...FLOW, flowId: `f${round}-${number}` })
    await waitFor(() => log.waiting === 0, 'the records to be written')
  }
  await log.close()
  const sizes = readdirSync(directory).map(name => statSync(join(directory, name)).size)
  assert.ok(sizes.length > 8, 'several files')
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) < maxBytes + maxBytes / 4)
  assert.ok(hits.includes('audit_mebibytes'))
  const { damage, removedThrough, first, lines, last } = await verifyLog(path)
  assert.equal(damage, undefined)
  assert.ok(removedThrough > 0)
  assert.equal(first?.seq, removedThrough + 1)
  assert.equal(lines, (last?.seq ?? 0) - removedThrough)

  // The first file is removed by somebody else.
  const [oldest = ''] = readdirSync(directory)
    .filter(name => name !== 'audit.log')
    .sort()
  rmSync(join(directory, oldest))
  assert.match(String((await verifyLog(path)).damage?.problem), /are missing before it/)
})

test('records that find no room are counted, and a signed record says so in their place', async t => {
  const directory = scopeOf(t).directory()
  const { metrics, counts } = recordingMetrics()
  const log = await openLog(join(directory, 'audit.log'), { metrics })
  for (let number = 0; number < MAX_WAITING + 10; number += 1) log.add('flow-opened', { ...FLOW, flowId: `f${number}` })
  assert.equal(log.waiting, MAX_WAITING)
  await waitFor(() => log.waiting === 0, 'the records to be written')
  await log.close()
  assert.equal(counts.get('warren_audit_lost_total{reason="queue"}'), 10)
  const verified = await verifyLog(join(directory, 'audit.log'))
  assert.deepEqual([verified.damage, verified.lost], [undefined, 10])
  const records = recordsIn(directory)
  const gap = records.findIndex(({ event }) => event === 'audit-gap')
  assert.equal(records[gap - 1]?.fields['flowId'], `f${MAX_WAITING - 1}`)
})

test('refusals of one source beyond a rate are counted, and do not push out others', async t => {
  const directory = scopeOf(t).directory()
  const { metrics, hits } = recordingMetrics()
  const log = await openLog(join(directory, 'audit.log'), {
    metrics,
    clock: { wallMs: Date.now, monotonicMs: () => 0 }
  })
  for (let number = 0; number < REFUSALS.burst + 5; number += 1) log.add('flow-refused', REFUSED)
  log.add('flow-refused', { ...REFUSED, source: 'dev.web.other.default.a' })
  await log.close()
  const records = recordsIn(directory)
  assert.equal(records.filter(({ event }) => event === 'flow-refused').length, REFUSALS.burst + 1)
  assert.equal(records.find(({ event }) => event === 'audit-gap')?.fields['lost'], 5)
  assert.deepEqual([...new Set(hits)], ['audit_refusals'])
})

test(
  'a disk that is full loses nothing that finds room, stops no flow, and is a signed record afterwards',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs', directory])
    scope.defer(() => execFileSync('umount', [directory]))
    const path = join(directory, 'audit.log')
    const { metrics, counts } = recordingMetrics()
    const log = await openLog(path, { metrics })
    const filler = join(directory, 'filler')
    const fill = (): void => appendFileSync(filler, Buffer.alloc(4_096))
    assert.throws(() => {
      for (;;) fill()
    }, /ENOSPC/)
    const failures = (): number => counts.get('warren_audit_write_failures_total{}') ?? 0
    // The last page of the file has still room for some.
    await waitFor(() => {
      log.add('flow-opened', FLOW)
      return failures() > 0
    }, 'a failure')
    const waiting = log.waiting
    assert.ok(waiting > 0)
    rmSync(filler)
    await waitFor(() => log.waiting === 0, 'the records to be written')
    await log.close()
    const gap = recordsIn(directory).find(({ event }) => event === 'audit-gap')
    assert.match(String(gap?.fields['reason']), /disk is full \(ENOSPC\)/)
    assert.equal(gap?.fields['lost'], 0)
    const verified = await verifyLog(path)
    assert.equal(verified.damage, undefined)
    assert.ok(readFileSync(path, 'utf8').endsWith('\n'))
  }
)
