import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { raceAbort, sleep, within } from '../../src/core/index.ts'

const never = (signal: AbortSignal) => raceAbort(new Promise<never>(() => {}), signal)

test('a deadline aborts with a TimeoutError', async () => {
  await assert.rejects(within(1, [], never), { name: 'TimeoutError' })
})

test('a parent aborts with its own reason, also when it had aborted before', async () => {
  const reason = new Error('stop')
  await assert.rejects(within(60_000, [undefined, AbortSignal.abort(reason)], never), reason)
  const parent = new AbortController()
  const running = within(60_000, [parent.signal], never)
  parent.abort(reason)
  await assert.rejects(running, reason)
})

test('nothing stays linked to the parent', async () => {
  const parent = new AbortController()
  for (let round = 0; round < 100; round += 1) await within(60_000, [parent.signal], async () => {})
  await sleep(0, parent.signal)
  assert.equal(getEventListeners(parent.signal, 'abort').length, 0)
})

test('what is raced against an aborted signal may still fail, without ending the process', async () => {
  const reason = new Error('gone')
  const failing = Promise.withResolvers<never>()
  await assert.rejects(raceAbort(failing.promise, AbortSignal.abort(reason)), reason)
  failing.reject(new Error('later'))
  await sleep(0, new AbortController().signal)
})
