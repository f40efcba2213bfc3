import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { needsCommand, Program, type Scope, scopeOf, TestAgent, WARREN, waitFor } from '../harness/index.ts'

/** Receives as systemd does: datagrams, and the process that the kernel names as their sender. */
const RECEIVER = `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind('\\0' + sys.argv[1][1:] if sys.argv[1][0] == '@' else sys.argv[1])
print('bound', flush=True)
while True:
    text, ancillary, _, _ = s.recvmsg(4096, 4096)
    print(struct.unpack('3i', ancillary[0][2])[0], text.decode().replace('\\n', ';'), flush=True)
`

async function receiver(scope: Scope, address: string): Promise<Program> {
  const program = new Program(scope, ['python3', '-c', RECEIVER, address])
  await program.says(/bound/)
  return program
}

/** An agent that is started by a service manager at `address`. */
function startedBy(scope: Scope, address: string, env: NodeJS.ProcessEnv, options: readonly string[] = []) {
  const { stateDir, runtimeDir } = new TestAgent(scope, { name: 'a', args: [] })
  const where = ['--state-dir', stateDir, '--runtime-dir', runtimeDir]
  const listen = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const agent = new Program(
    scope,
    [WARREN, 'up', '--init', 'example.org', '--name', 'a', ...where, ...listen, ...options],
    {
      env: { ...env, NOTIFY_SOCKET: address }
    }
  )
  return { agent, runtimeDir }
}

test('an agent notifies the service manager when it is ready, that it lives, and when it stops', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const address = join(scope.directory(), 'notify')
  const manager = await receiver(scope, address)
  const { agent, runtimeDir } = startedBy(scope, address, { WATCHDOG_USEC: '200000' })
  await manager.says(/READY=1/)
  // No earlier than it serves.
  assert.equal(spawnSync(WARREN, ['--runtime-dir', runtimeDir, 'status']).status, 0)
  await waitFor(() => (manager.stdout.match(/WATCHDOG=1/g) ?? []).length >= 3, 'three signs of life')
  assert.equal((await agent.stop()).code, 0)
  await manager.says(/STOPPING=1/)
  const lines = manager.stdout.trim().split('\n').slice(1)
  assert.equal(lines[0], `${agent.pid} READY=1;STATUS=ready: a of example.org`)
  // systemd believes the main process alone.
  assert.ok(lines.every(line => line.startsWith(`${agent.pid} `)))
})

test('the service manager learns of each reload when it begins and ends, and why one was not applied', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const base = scope.directory()
  const [address, file] = [join(base, 'notify'), join(base, 'warren.yaml')]
  writeFileSync(file, '')
  const manager = await receiver(scope, address)
  const { agent, runtimeDir } = startedBy(scope, address, {}, ['--config', file])
  await manager.says(/READY=1/)
  const reload = (): number | null => spawnSync(WARREN, ['--runtime-dir', runtimeDir, 'reload']).status
  assert.equal(reload(), 0)
  writeFileSync(file, 'nonsense: yes\n')
  assert.equal(reload(), 2)
  await manager.says(/not reloaded/)
  writeFileSync(file, '')
  // As with Type=notify-reload.
  const sentUs = process.hrtime.bigint() / 1_000n
  agent.signal('SIGHUP')
  await manager.says(/not reloaded(?:.*\n)+.*READY=1/)
  await agent.stop()
  await manager.says(/STOPPING=1/)
  const said = manager.stdout
    .trim()
    .split('\n')
    .map(line => line.replace(/^\d+ /, ''))
  const beginnings = said.filter(line => line.startsWith('RELOADING=1'))
  assert.ok(BigInt(beginnings.at(-1)?.match(/MONOTONIC_USEC=(\d+)$/)?.[1] ?? 0) >= sentUs, beginnings.join())
  assert.deepEqual(
    said.slice(1).map(line => line.replace(/(?<=RELOADING=1).*|(?<=not reloaded: ).*warren\.yaml:1:1: .*/, '')),
    [
      'READY=1;STATUS=ready: a of example.org',
      'RELOADING=1',
      'READY=1;STATUS=ready: a of example.org',
      'RELOADING=1',
      'READY=1;STATUS=ready: a of example.org; not reloaded: ',
      'RELOADING=1',
      'READY=1;STATUS=ready: a of example.org',
      'STOPPING=1;STATUS=draining'
    ]
  )
})

test('signs of life that another process owes are not given, also at an abstract name', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  // systemd in a container listens at such an abstract name.
  const address = `@warren-test-${process.pid}`
  const manager = await receiver(scope, address)
  const { agent } = startedBy(scope, address, { WATCHDOG_USEC: '200000', WATCHDOG_PID: '1' })
  await manager.says(/READY=1/)
  // Signs of life were asked from another process.
  await agent.stop()
  await manager.says(/STOPPING=1/)
  assert.doesNotMatch(manager.stdout, /WATCHDOG=1/)
})

test('an agent starts where nobody reads at the address that it was given', async t => {
  const scope = scopeOf(t)
  for (const address of ['vsock:2:1', `/${'long/'.repeat(40)}`, join(scope.directory(), 'nobody')]) {
    const { agent } = startedBy(scope, address, {})
    await agent.says(/ready in/, 'stderr')
    assert.equal((await agent.stop()).code, 0)
  }
})
