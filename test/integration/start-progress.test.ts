import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  inTerminal,
  needsCommand,
  type Program,
  scopeOf,
  startPair,
  TestAgent,
  WARREN,
  warren
} from '../harness/index.ts'

const OPTIONS = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']

/** Runs `warren up` on a terminal. */
function upOnTerminal(t: TestContext, directory: string, args: readonly string[]): Program {
  const own = ['--state-dir', join(directory, 's'), '--runtime-dir', join(directory, 'r')]
  const argv = [process.execPath, '--disable-sigusr1', WARREN, 'up', ...own, ...OPTIONS, ...args]
  return inTerminal(scopeOf(t), argv)
}

test('on a terminal, up shows which member it waits for and why that is not there; elsewhere it logs alone', async t => {
  if (!needsCommand(t, 'script')) return
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.stop()
  await b.stop()
  const base = join(b.stateDir, '..')
  const shown = upOnTerminal(t, base, [])
  await shown.says(/^warren: not ready: dialling members of the mesh: \/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/\S+\r$/m)
  await shown.says(/^warren: not ready: no connection to \/ip4\/127\.0\.0\.1\/tcp\/\d+: .*ECONNREFUSED.*\r$/m)
  await shown.says(/^warren: ready in \d+ ms: b of example\.org/m)
  shown.stdin.write('\u0003')
  await shown.outcome()

  const logged = warren(scope, ['up', '--state-dir', b.stateDir, '--runtime-dir', b.runtimeDir, ...OPTIONS])
  await logged.says(/^warren: ready/m, 'stderr')
  await logged.stop()
  assert.doesNotMatch(logged.stderr, /not ready/)
  assert.match(logged.stderr, /serving without having synchronised/)
})

test('on a terminal, up shows which authority it waits for, and each address that does not lead to it', async t => {
  if (!needsCommand(t, 'script')) return
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const token = await a.token('b')
  const address = (await a.status()).dataAddresses[0] ?? ''
  await a.stop()
  // It accepts and says nothing, as a host does that has too much to do.
  const silent = createServer(() => {})
  silent.listen(Number(address.split(':')[1]), '127.0.0.1')
  await once(silent, 'listening')
  scope.defer(() => silent.close())
  const joining = upOnTerminal(t, scope.directory(), ['--join', token])
  await joining.says(/^warren: joining: dialling the authority at 127\.0\.0\.1:\d+\r$/m)
  joining.stdin.write('\u0003')
  await joining.outcome()
})

test('a start that is quick shows nothing but that it is ready', async t => {
  if (!needsCommand(t, 'script')) return
  const up = upOnTerminal(t, scopeOf(t).directory(), ['--init', 'example.org', '--name', 'a'])
  await up.says(/^warren: ready in/m)
  up.stdin.write('\u0003')
  const { stdout } = await up.outcome()
  assert.doesNotMatch(stdout, /not ready|joining/)
})
