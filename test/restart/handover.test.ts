import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { openHandover } from '../../src/restart/index.ts'
import { Program, scopeOf } from '../harness/index.ts'

const SUCCESSOR = join(import.meta.dirname, 'support', 'successor.ts')
const skip = process.platform === 'linux' ? false : 'only Linux replaces processes'

interface Found {
  readonly pid: number
  readonly id: string
  readonly data: unknown
  readonly bytes: readonly string[]
  readonly again?: unknown
  readonly fds: ReadonlyArray<{ readonly fd: number; readonly path: string; readonly isInherited: boolean }>
}

test('what is left lies in memory without a path, and is gone once it is read', { skip }, async t => {
  const program = new Program(scopeOf(t), [process.execPath, SUCCESSOR])
  await program.says(/"port":\d+/)
  const before = JSON.parse(program.stdout) as { readonly pid: number; readonly port: number }
  // It waits for the next process.
  program.stdin.write('go\n')
  await program.says(/"id":/)
  const { pid, id, data, bytes, again, fds } = JSON.parse(program.stdout.trim().split('\n')[1] ?? '') as Found
  assert.deepEqual(
    { pid, id, data, bytes, again },
    {
      pid: before.pid,
      id: 'one',
      data: { secret: 'hidden', port: before.port },
      bytes: ['kept', ''],
      again: undefined
    }
  )
  assert.deepEqual(
    fds.filter(({ path }) => path.includes('handover')),
    []
  )
  // Programs that it starts get nothing of it.
  assert.deepEqual(
    fds.filter(({ fd, isInherited, path }) => fd > 2 && isInherited && path.startsWith('socket:')),
    []
  )
})

test('a connection that comes between two processes is served by the second, whatever else that listened at', {
  skip
}, async t => {
  const program = new Program(scopeOf(t), [process.execPath, SUCCESSOR])
  await program.says(/"port":\d+/)
  const { port } = JSON.parse(program.stdout) as { readonly port: number }
  const client = connect({ host: '127.0.0.1', port })
  await once(client, 'connect')
  program.stdin.write('go\n')
  const [answer] = (await once(client, 'data')) as [Buffer]
  assert.equal(String(answer), 'served')
})

test('a process that listens elsewhere at the same port is not kept from it by what was left', { skip }, async t => {
  const program = new Program(scopeOf(t), [process.execPath, SUCCESSOR, 'elsewhere'])
  await program.says(/"port":\d+/)
  const { port } = JSON.parse(program.stdout) as { readonly port: number }
  program.stdin.write('go\n')
  await program.says(/"id":/)
  const client = connect({ host: '127.0.0.1', port })
  const [answer] = (await once(client, 'data')) as [Buffer]
  assert.equal(String(answer), 'served')
})

test('a variable that names no memory of a handover is without effect', { skip }, async t => {
  const file = join(scopeOf(t).directory(), 'file')
  writeFileSync(file, 'no memory')
  for (const value of ['0', '2', '3', '999999', 'x', '']) {
    const handover = await openHandover({ WARREN_HANDOVER: value })
    assert.equal(handover?.facts, undefined)
    assert.equal(handover?.isFollowed, false)
    assert.equal(handover?.take('flows'), undefined)
  }
})
