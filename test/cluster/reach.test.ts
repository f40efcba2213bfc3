import assert from 'node:assert/strict'
import { test } from 'node:test'
import { probePath } from '../../src/cluster/reach.ts'
import { systemClock } from '../../src/core/index.ts'

test('a relay that nobody offers is not named', async () => {
  const fail = async (): Promise<never> => {
    throw new Error('no other member reaches it')
  }
  const path = await probePath(
    { dataAddresses: [], mesh: fail, helper: fail },
    systemClock,
    new AbortController().signal
  )
  assert.equal(path.ok, false)
  assert.match(path.text, /; relay does not answer \(no other member reaches it\)$/)
})
