import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LimitHits, type LogFields, type Logger, silentLogger } from '../../src/core/index.ts'
import { HIT_LINE_MS } from '../../src/core/metrics/limit-hits.ts'

test('a limit that is reached all the time makes one line a minute, which says how often', () => {
  const lines: LogFields[] = []
  const log: Logger = { ...silentLogger, warn: (_message, fields = {}) => lines.push(fields) }
  let nowMs = 0
  const hits = new LimitHits(log, { wallMs: () => 0, monotonicMs: () => nowMs })
  for (let each = 0; each < 1_000; each += 1) hits.note('proxy_flows', { limit: 1 })
  hits.note('registrations')
  assert.deepEqual(lines, [
    { limit: 1, limitName: 'proxy_flows', count: 1 },
    { limitName: 'registrations', count: 1 }
  ])
  nowMs = HIT_LINE_MS
  hits.note('proxy_flows')
  assert.deepEqual(lines.at(-1), { limitName: 'proxy_flows', count: 1_000 })
})
