import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Declared, DeclaredSource } from '../../src/config/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import { Reload } from '../../src/declared/reload.ts'

const NONE = { added: 0, removed: 0, changed: 0, unchanged: 0 }

/** What is applied, in turn, by the names of its forwards; `read` gives what the files have now. */
function reloads(read: () => Promise<Declared>) {
  const applied: string[] = []
  let isApplying = false
  const items = {
    async apply({ forwards }: Declared) {
      assert.ok(!isApplying, 'one at a time')
      isApplying = true
      await new Promise(resolve => setImmediate(resolve))
      isApplying = false
      applied.push(forwards.map(({ name }) => name).join())
      return { services: NONE, forwards: NONE }
    }
  }
  const source: DeclaredSource = {
    declared: declaring('start'),
    read: async () => ({ declared: await read(), needRestart: [] })
  }
  return { applied, reload: new Reload({ source, items, metrics: { count: () => {} }, log: silentLogger }) }
}

const declaring = (name: string): Declared => ({ services: [], forwards: [{ name }] }) as unknown as Declared

test('what was declared at the start does not undo a reload that came first, and neither runs into the other', async () => {
  const { applied, reload } = reloads(async () => declaring('new'))
  const early = reload.run()
  await Promise.all([early, reload.begin()])
  assert.deepEqual(applied, ['new'])
  const usual = reloads(async () => declaring('new'))
  await Promise.all([usual.reload.begin(), usual.reload.run()])
  assert.deepEqual(usual.applied, ['start', 'new'])
})

test('what was declared at the start runs after a reload that was refused', async () => {
  const { applied, reload } = reloads(() => Promise.reject(new Error('unreadable')))
  await assert.rejects(reload.run(), /unreadable/)
  await reload.begin()
  assert.deepEqual(applied, ['start'])
})
