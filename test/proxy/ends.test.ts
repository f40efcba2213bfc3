import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { scopeOf } from '../harness/index.ts'
import { closed, dial, endOf } from './support/sockets.ts'

/** The two ends of a unix connection, half-open. */
async function joined(t: TestContext): Promise<{ near: Socket; far: Socket }> {
  const scope = scopeOf(t)
  const path = join(scope.directory(), 's')
  const server = createServer({ allowHalfOpen: true }).listen(path)
  scope.defer(() => server.close())
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const near = await dial(path)
  const [far] = (await accepted) as [Socket]
  scope.defer(() => {
    near.destroy()
    far.destroy()
  })
  return { near, far }
}

test('a clean end that has come before anybody asks is told as one', async t => {
  const { near, far } = await joined(t)
  far.end()
  await once(near, 'end')
  assert.deepEqual(await endOf(near), { bytes: 0, end: 'clean' })
})

test('a cut that has come before anybody asks is told as one', async t => {
  const { near, far } = await joined(t)
  far.destroy()
  await once(near, 'end')
  assert.deepEqual(await endOf(near), { bytes: 0, end: 'cut' })
})

test('a reset that has come before anybody asks is told as a cut', async t => {
  const { near, far } = await joined(t)
  // Unread data makes the kernel answer with ECONNRESET.
  near.write('not read')
  far.destroy()
  await closed(near)
  assert.deepEqual(await endOf(near), { bytes: 0, end: 'cut' })
})
