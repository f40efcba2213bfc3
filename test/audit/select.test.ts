import assert from 'node:assert/strict'
import { appendFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { LogReader, parseSelection } from '../../src/audit/index.ts'
import { scopeOf, waitFor } from '../harness/index.ts'
import { FLOW, handClock, openLog } from './support.ts'

const ALL = { source: undefined, destination: undefined, sinceMs: undefined, events: undefined }

async function idsOf(path: string, input: Partial<Parameters<typeof parseSelection>[0]>): Promise<unknown[]> {
  const ids: unknown[] = []
  const reader = new LogReader(path, parseSelection({ ...ALL, events: ['flow-opened'], ...input }))
  for await (const { fields } of reader.records()) ids.push(fields['flowId'])
  return ids
}

test('records are chosen by source, destination, time and name', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  const clock = handClock(1_000_000)
  const log = await openLog(path, { clock })
  log.add('flow-opened', { ...FLOW, flowId: 'f1' })
  clock.wall += 60_000
  log.add('flow-opened', { ...FLOW, flowId: 'f2', source: 'dev.web.other.default.a' })
  log.add('flow-opened', { ...FLOW, flowId: 'f3', destination: '' })
  log.add('policy-changed', { version: 1n, reason: 'a rule' })
  await log.close()
  assert.deepEqual(await idsOf(path, {}), ['f1', 'f2', 'f3'])
  assert.deepEqual(await idsOf(path, { source: 'dev.web.site.*' }), ['f1', 'f3'])
  assert.deepEqual(await idsOf(path, { destination: 'dev.db.*.*' }), ['f1', 'f2'])
  assert.deepEqual(await idsOf(path, { sinceMs: 1_060_000 }), ['f2', 'f3'])
  assert.deepEqual(await idsOf(path, { events: ['flow-opened', 'policy-changed'], sinceMs: 1_060_000 }), [
    'f2',
    'f3',
    undefined
  ])
  assert.throws(() => parseSelection({ ...ALL, events: ['flow-open'] }), /no record has the name "flow-open"/)
  assert.throws(() => parseSelection({ ...ALL, source: 'dev..' }), { code: 'INVALID_ARGUMENT' })
})

test('a log is followed over its repair and over new files, without a record twice or lost', async t => {
  const scope = scopeOf(t)
  const path = join(scope.directory(), 'audit.log')
  const first = await openLog(path)
  first.add('flow-opened', { ...FLOW, flowId: 'f0' })
  await first.close()
  appendFileSync(path, '{"seq":')
  const stopping = new AbortController()
  scope.defer(() => stopping.abort())
  const seen: unknown[] = []
  const reader = new LogReader(path, { events: ['flow-opened'] })
  for await (const { fields } of reader.records()) seen.push(fields['flowId'])
  const following = (async () => {
    for await (const { fields } of reader.follow(stopping.signal)) seen.push(fields['flowId'])
  })()
  const log = await openLog(path, { maxBytes: 64 * 1_024 })
  const wanted = Array.from({ length: 61 }, (_, number) => `f${number}`)
  for (const flowId of wanted.slice(1)) {
    log.add('flow-opened', { ...FLOW, flowId })
    if (flowId.endsWith('0')) await waitFor(() => log.waiting === 0, 'the records to be written')
  }
  await log.close()
  await waitFor(() => seen.length >= wanted.length, 'all records')
  stopping.abort()
  await following
  assert.deepEqual(seen, wanted)
  assert.ok(statSync(path).size < 64 * 1_024)
})
