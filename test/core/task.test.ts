import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LogFields, type Logger, loop, silentLogger } from '../../src/core/index.ts'

test('a failing round is logged and the loop goes on until it is stopped', async () => {
  const warnings: LogFields[] = []
  const log: Logger = { ...silentLogger, warn: (_message, fields = {}) => void warnings.push(fields) }
  const stop = new AbortController()
  let rounds = 0
  await loop(log, 'test', { intervalMs: () => 0, immediate: true, signal: stop.signal }, () => {
    rounds += 1
    if (rounds === 3) stop.abort()
    else throw new Error('round')
  })
  assert.equal(rounds, 3)
  assert.equal(warnings.length, 2)
})
