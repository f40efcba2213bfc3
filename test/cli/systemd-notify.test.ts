import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { serviceManager } from '../../src/cli/systemd.ts'
import { needsCommand, Program, type Scope, scopeOf } from '../harness/index.ts'

/** As systemd, which ignores a datagram of more than 4,096 bytes. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    text = s.recv(65536)
    if len(text) <= 4096: print(len(text), text.decode().replace('\\n', ';'), flush=True)
`

async function notified(scope: Scope) {
  const address = join(scope.directory(), 'notify')
  const receiver = new Program(scope, ['python3', '-c', RECEIVER, address])
  await receiver.says(/bound/)
  return { receiver, manager: await serviceManager({ NOTIFY_SOCKET: address }) }
}

test('systemd learns that an agent is ready, however long the reason is why a reload was not applied', async t => {
  if (!needsCommand(t, 'python3')) return
  const { receiver, manager } = await notified(scopeOf(t))
  manager.ready('ready: a')
  manager.reloaded(`${'\u{1f407}'.repeat(5_000)} is not one of debug, info`)
  manager.stopping()
  await receiver.says(/STOPPING=1/)
  const [, , second = ''] = receiver.stdout.trim().split('\n')
  assert.match(second, /^\d+ READY=1;STATUS=ready: a; not reloaded: \u{1f407}{200,}$/u)
  assert.ok(parseInt(second, 10) <= 1_024 + 'READY=1;STATUS='.length)
})

test('a reload while an agent starts does not make systemd take it for ready', async t => {
  if (!needsCommand(t, 'python3')) return
  const { receiver, manager } = await notified(scopeOf(t))
  manager.reloading()
  manager.reloaded('')
  manager.reloading()
  manager.reloaded('unknown key')
  manager.ready('ready: a')
  await receiver.says(/READY=1/)
  assert.deepEqual(receiver.stdout.trim().split('\n').slice(1), ['23 READY=1;STATUS=ready: a'])
})
