import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { dial, madeOf, readAll } from './support/sockets.ts'
import { UID, World } from './support/world.ts'

const SCRIPT = `
  const server = require('node:net').createServer({ allowHalfOpen: true }, socket => socket.pipe(socket))
  server.listen({ path: process.argv[1], backlog: 1 }, () => console.log('up'))`

test('a server whose queue is full is waited for, and not taken for one that is gone', async () => {
  await using world = await World.create()
  const host = await world.host('alpha')
  const path = join(world.directory, 'busy')
  const server = spawn(process.execPath, ['-e', SCRIPT, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  world.defer(() => void server.kill('SIGKILL'))
  await once(server.stdout, 'data')
  const source = host.register('dev.test.client.default')
  host.register('dev.test.server.default', {
    kind: 'unix',
    path,
    made: madeOf(path),
    uid: UID,
    hello: false,
    protocol: 'tcp'
  })

  server.kill('SIGSTOP')
  const waiting: Socket[] = []
  world.defer(() => {
    for (const socket of waiting) socket.destroy()
  })
  for (let full = false; !full; ) {
    const socket = connect(path)
    waiting.push(socket)
    full = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(false)).once('error', () => resolve(true))
    })
  }
  const asked = host.connect(source, 'dev.test.server.default')
  // Refused at once, if at all.
  await Promise.race([asked.catch(() => {}), pause(300)])
  server.kill('SIGCONT')
  const { path: endpoint } = await asked
  const client = await dial(endpoint)
  client.end('patience')
  assert.equal((await readAll(client)).toString(), 'patience')
})
