import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import {
  AuditSearches,
  MAX_SEARCHES,
  MAX_SEARCHES_PER_ADMIN,
  SEARCHED_BYTES,
  SEARCHES
} from '../../src/audit/searches.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { scopeOf } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { FLOW, openLog } from './support.ts'

const NEVER = new AbortController().signal
const ANY = { source: undefined, destination: undefined, sinceMs: undefined, events: ['flow-opened'] }
const search = (more: { last?: number; maxBytes?: number; events?: string[] } = {}) => {
  const { last = 10, maxBytes = 10_000, events = ANY.events } = more
  const view = ({ fields }: { fields: Readonly<Record<string, unknown>> }) => ({ value: fields['flowId'], bytes: 100 })
  return { selection: { ...ANY, events }, last, maxBytes, view }
}

function searchesOf(path: string) {
  const { metrics, hits } = recordingMetrics()
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs }
  return { searches: new AuditSearches({ path, metrics, clock }), hits, clock }
}

async function logOf(path: string, ids: readonly string[], maxBytes?: number): Promise<void> {
  const log = await openLog(path, maxBytes === undefined ? {} : { maxBytes })
  for (const flowId of ids) log.add('flow-opened', { ...FLOW, flowId })
  await log.close()
}

const ids = (count: number, from = 0): string[] => Array.from({ length: count }, (_, at) => `f${from + at}`)

test('a search finds the newest records, oldest first, and counts those that it leaves out', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await logOf(path, ids(20))
  const searches = searchesOf(path).searches
  const found = await searches.newest(search({ last: 3 }), 'ann', NEVER)
  assert.deepEqual(found, { values: ['f17', 'f18', 'f19'], total: 20, searchedFromMs: undefined })
  assert.deepEqual((await searches.newest(search({ maxBytes: 250 }), 'ann', NEVER)).values, ['f18', 'f19'])
  // Records that this program does not know are in no log of its own.
  assert.deepEqual((await searches.newest(search({ events: ['of-a-later-program'] }), 'ann', NEVER)).total, 0)
})

test('a search looks at all files of a log, and at no more than the newest megabytes of it', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await logOf(path, ids(400), 64 * 1_024)
  const searches = searchesOf(path).searches
  const { total, values } = await searches.newest(search({ last: 1 }), 'ann', NEVER)
  assert.ok(total > 50, 'more than one file')
  assert.deepEqual(values, ['f399'])
})

test('a search of a large log looks at its newest megabytes, and says since when', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await logOf(path, ids(3))
  appendFileSync(path, `${'x'.repeat(999)}\n`.repeat(Math.ceil(SEARCHED_BYTES / 1_000)))
  await logOf(path, ids(2, 100))
  const searches = searchesOf(path).searches
  const { values, total, searchedFromMs } = await searches.newest(search(), 'ann', NEVER)
  assert.deepEqual([values, total], [['f100', 'f101'], 2])
  assert.ok(searchedFromMs !== undefined)
})

test('one admin has so many searches at a time, and keeps others from none of theirs', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await logOf(path, ids(3))
  const { searches, hits } = searchesOf(path)
  const begun: Array<Promise<unknown>> = []
  const begin = (admin: string): void => void begun.push(searches.newest(search(), admin, NEVER))
  for (let at = 0; at < MAX_SEARCHES_PER_ADMIN; at += 1) begin('eve')
  await assert.rejects(searches.newest(search(), 'eve', NEVER), { code: ErrorCode.LimitExceeded })
  for (let at = MAX_SEARCHES_PER_ADMIN; at < MAX_SEARCHES; at += 1) begin(`admin ${at}`)
  await assert.rejects(searches.newest(search(), 'ann', NEVER), { code: ErrorCode.LimitExceeded })
  assert.deepEqual(hits, ['audit_searches_per_admin', 'audit_searches'])
  await Promise.all(begun)
  assert.equal((await searches.newest(search(), 'eve', NEVER)).total, 3)
})

test('a search that nobody waits for any more ends, and the next one runs', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await logOf(path, ids(400))
  const searches = searchesOf(path).searches
  const givenUp = new AbortController()
  const first = searches.newest(search(), 'ann', givenUp.signal)
  givenUp.abort()
  await assert.rejects(first, { name: 'AbortError' })
  assert.equal((await searches.newest(search(), 'ann', NEVER)).total, 400)
})

test('one admin has so many searches in a second, and no other waits for it', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await logOf(path, ids(1))
  const { searches, hits, clock } = searchesOf(path)
  const once = async (admin: string) => (await searches.newest(search(), admin, NEVER)).total
  for (let at = 0; at < SEARCHES.burst; at += 1) assert.equal(await once('eve'), 1)
  await assert.rejects(once('eve'), { code: ErrorCode.LimitExceeded })
  assert.deepEqual(hits, ['audit_search_rate'])
  assert.equal(await once('ann'), 1)
  clock.nowMs += 1_000
  assert.equal(await once('eve'), 1)
})
