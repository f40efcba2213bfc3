import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { atEndOfTurn } from '../../src/core/index.ts'

const soon = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

describe('the end of a turn', () => {
  it('runs what was asked for, once and in order, and what that asks for', async () => {
    const ran: string[] = []
    atEndOfTurn(() => {
      ran.push('one')
      atEndOfTurn(() => ran.push('three'))
    })
    atEndOfTurn(() => ran.push('two'))
    assert.deepEqual(ran, [])
    await soon()
    assert.deepEqual(ran, ['one', 'two', 'three'])
    await soon()
    assert.equal(ran.length, 3)
  })

  it('runs the others when one throws', async t => {
    const ran: string[] = []
    // Before the test runner's own listener, which would take it for a failure of this test.
    const thrown = new Promise(resolve => process.setUncaughtExceptionCaptureCallback(resolve))
    t.after(() => process.setUncaughtExceptionCaptureCallback(null))
    atEndOfTurn(() => {
      throw new Error('mine')
    })
    atEndOfTurn(() => ran.push('after'))
    assert.match(String(await thrown), /mine/)
    await soon()
    assert.deepEqual(ran, ['after'])
  })
})
