import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { verifyLog } from '../../src/audit/index.ts'
import { scopeOf } from '../harness/index.ts'
import { FORMER_HOST, FORMER_LOG, openFormerLog, tellStory } from './former.ts'

const { peer } = FORMER_HOST

test('the lines of a log are, byte by byte, those that former builds wrote of the same events', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  await tellStory(path)
  assert.equal(readFileSync(path, 'utf8'), readFileSync(FORMER_LOG, 'utf8'))
})

test('a log of a former build is verified, and continued', async t => {
  const path = join(scopeOf(t).directory(), 'audit.log')
  writeFileSync(path, readFileSync(FORMER_LOG), { mode: 0o600 })
  const former = await verifyLog(path, { peers: [peer] })
  assert.deepEqual([former.damage, former.lines, former.signedThrough], [undefined, 19, 19])
  const log = await openFormerLog(path)
  await log.close()
  const both = await verifyLog(path, { peers: [peer] })
  assert.deepEqual([both.damage, both.lines, both.signedThrough], [undefined, 21, 21])
})
