import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, scopeOf } from '../harness/index.ts'
import { startMesh } from './support/variants/mesh.ts'
import { ROWS } from './support/variants/rows.ts'

/** `full`: those that take as long as leases and clocks do, too. Another text: only the rows whose name contains it. */
const CHOSEN = process.env['TEST_VARIANTS'] ?? ''

test('one command names the cause and the next step, however a connection fails', asRoot, async t => {
  const mesh = await startMesh(scopeOf(t))
  const rows = ROWS.filter(({ name, isSlow }) =>
    CHOSEN === '' || CHOSEN === 'full' ? CHOSEN === 'full' || isSlow !== true : name.includes(CHOSEN)
  )
  for (const { name, run, cause, next } of rows) {
    await t.test(name, async () => {
      const output = await run(mesh)
      assert.match(output, cause)
      assert.match(output, next)
    })
  }
})
