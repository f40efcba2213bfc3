import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { openHandover } from '../../src/restart/index.ts'
import { takeStored } from '../../src/restart/stored.ts'
import { scopeOf } from '../harness/index.ts'

const SUCCESSOR = join(import.meta.dirname, 'support', 'successor.ts')
const skip = process.platform === 'linux' ? false : 'only Linux has memory without a path'
const PROGRAM = { file: '/bin/false', argv: ['false'] }

/** What this process leaves, and the port on which it listened. */
async function leave(): Promise<{ readonly stored: ReadonlyMap<string, number>; readonly port: number }> {
  const handover = await openHandover({})
  assert.ok(handover)
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  handover.leaveListener(`port 127.0.0.1:${port}`, server)
  handover.leave('keys', () => ({ data: { secret: 'hidden', port }, bytes: [Buffer.from('kept'), Buffer.alloc(0)] }))
  handover.leaveListeners()
  await handover.collect()
  return { stored: handover.store('one', PROGRAM, 0), port }
}

/** Starts a process as systemd does: descriptors from 3 on, and their names in the environment. Resolves with what it says first. */
async function started(
  t: TestContext,
  stored: ReadonlyArray<readonly [string, number]>,
  pid = '$$'
): Promise<Record<string, unknown>> {
  const names = stored.map(([name]) => name)
  const child = spawn('/bin/sh', ['-c', `export LISTEN_PID=${pid}; exec "$@"`, 'sh', process.execPath, SUCCESSOR], {
    env: { LISTEN_FDS: String(names.length), LISTEN_FDNAMES: names.join(':') },
    stdio: ['pipe', 'pipe', 'inherit', ...stored.map(([, fd]) => fd)]
  })
  scopeOf(t).defer(() => void child.kill())
  assert.ok(child.stdout)
  let text = ''
  for await (const chunk of child.stdout) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  return JSON.parse(text) as Record<string, unknown>
}

test('what a service manager has kept, in any order, is there in the process that it starts, and its keys are wiped', {
  skip
}, async t => {
  const { stored, port } = await leave()
  // It waits for the next process.
  const client = connect({ host: '127.0.0.1', port })
  await once(client, 'connect')
  const found = await started(t, [...stored, ['another', 0] as const].toReversed())
  assert.deepEqual([found['id'], found['data'], found['bytes']], ['one', { secret: 'hidden', port }, ['kept', '']])
  const fds = found['fds'] as ReadonlyArray<{
    readonly fd: number
    readonly path: string
    readonly isInherited: boolean
  }>
  assert.deepEqual(
    fds.filter(({ fd, path, isInherited }) => fd > 2 && isInherited && path.startsWith('socket:')),
    []
  )
  assert.equal(fds.filter(({ path }) => path.includes('handover')).length, 0)
  assert.equal(fstatSync(stored.get('warren') ?? 0).size, 0)
  const [answer] = (await once(client, 'data')) as [Buffer]
  assert.equal(String(answer), 'served')
})

test('descriptors that are kept for another process, or without what explains them, are without effect', {
  skip
}, async t => {
  for (const [pid, without] of [
    ['1', ''],
    ['$$', 'warren']
  ] as const) {
    const { stored } = await leave()
    // It begins anew.
    const found = await started(
      t,
      [...stored].filter(([name]) => name !== without),
      pid
    )
    assert.equal(typeof found['port'], 'number')
  }
})

test('the environment says no more to programs that this process starts', () => {
  const env = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'one:two', OTHER: 'stays' }
  assert.deepEqual(
    [...takeStored(env, 7)],
    [
      ['one', 3],
      ['two', 4]
    ]
  )
  assert.deepEqual(env, { OTHER: 'stays' })
  for (const LISTEN_FDS of ['', 'x', '-1', '1e3', '9999999'])
    assert.equal(takeStored({ LISTEN_PID: '7', LISTEN_FDS, LISTEN_FDNAMES: 'one' }, 7).size, 0)
})
