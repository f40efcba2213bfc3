import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { surfaceTruncation } from '../../src/client/truncation.ts'
import { Program, scopeOf } from '../harness/index.ts'
import { privateDirectory } from '../harness/temporary.ts'

const DEADLINE_MS = 30_000

/** Answers the first byte of a connection with many, and closes it; then `closed` exists. */
const SERVER = (path: string, closed: string): string => `
  const server = require('node:net').createServer(socket => {
    socket.on('error', () => {}).once('data', () => {
      socket.write(Buffer.alloc(50_000))
      socket.destroy()
    }).once('close', () => require('node:fs').writeFileSync(${JSON.stringify(closed)}, ''))
  }).listen(${JSON.stringify(path)}, () => console.log('listening'))`

test('bytes that arrive behind a cut, while its reason is asked for, do not end the process of the client', async t => {
  const directory = privateDirectory('warren-cut-')
  const [path, closed] = [join(directory, 'socket'), join(directory, 'closed')]
  const server = new Program(scopeOf(t), [process.execPath, '-e', SERVER(path, closed)])
  await server.says(/listening/)
  const client = connect(path)
  let asked = 0
  const socket = surfaceTruncation(client, {
    explain: async err => {
      asked += 1
      // The kernel has the bytes since before the cut: each turn of the loop could read them.
      for (let turns = 0; turns < 5; turns += 1) await turn()
      return err
    },
    verdict: async () => undefined,
    reset: async () => {}
  })
  await once(socket, 'connect')
  socket.on('data', () => {}).write('a')
  // Nothing is read meanwhile: this process waits here, as a busy one does.
  const deadline = Date.now() + DEADLINE_MS
  while (!existsSync(closed)) assert.ok(Date.now() < deadline, 'the server has not closed the connection')
  socket.write('b')
  const [error] = await once(socket, 'error')
  assert.equal(error.code, 'EPIPE')
  await once(socket, 'close')
  assert.equal(asked, 1)
})
