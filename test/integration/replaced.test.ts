import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import test, { type TestContext } from 'node:test'
import { type Scope, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'
import { type Kind, PatternedFlow } from './support/patterned-flow.ts'

const SITE = 'dev.web.site.default'
/** TEST_UPGRADES=full: as many as the guarantee names. */
const IS_FULL = process.env['TEST_UPGRADES'] === 'full'
const FLOWS = IS_FULL ? 100 : 20
const ROUNDS = IS_FULL ? 10 : 2
const KINDS: readonly Kind[] = ['idle', 'interactive', 'interactive', 'bulk']

async function echoServer(scope: Scope): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, socket => void socket.on('error', () => {}).pipe(socket))
  scope.defer(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** a serves, b leads clients there; both resume flows. */
async function served(t: TestContext) {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { args: ['--resume-window', '120s', '--drain-timeout', '1s'] })
  await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  await a.spawn(['expose', SITE, '--tcp', `127.0.0.1:${await echoServer(scope)}`]).says(/^dev\./m)
  await b.knows(SITE)
  const forward = b.spawn(['forward', SITE, '--listen', '127.0.0.1:0'])
  await forward.says(/127\.0\.0\.1:\d+/, 'stderr')
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(forward.stderr)?.[1])
  return { scope, a, b, port }
}

async function upgrade(agent: TestAgent): Promise<{ readonly flows: number; readonly pauseMs: number }> {
  return JSON.parse(await agent.cli('upgrade', '--json')) as { flows: number; pauseMs: number }
}

test('flows of every kind go on over the replacement of either agent, with every byte', async t => {
  const { a, b, port } = await served(t)
  const flows = Array.from(
    { length: FLOWS },
    (_, at) => new PatternedFlow(KINDS[at % KINDS.length] ?? 'idle', port, at)
  )
  await Promise.all(flows.map(flow => flow.begin()))
  const faults = (): string[] => flows.flatMap(({ fault }) => fault ?? [])
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const agents of round === 0 || IS_FULL ? [[a], [b], [a, b]] : [[a, b]]) {
      const done = await Promise.all(agents.map(upgrade))
      assert.deepEqual(
        done.map(one => one.flows),
        agents.map(() => FLOWS),
        faults().join('; ')
      )
      // Each moves again, in both directions.
      await Promise.all(
        flows.map(flow =>
          flow.kind === 'idle'
            ? flow.exchange()
            : flow.reaches(flow.received + 2 * 1024 * 1024 ** Number(flow.kind === 'bulk'))
        )
      )
      assert.deepEqual(faults(), [])
    }
  }
  await Promise.all(flows.map(flow => flow.end()))
  assert.deepEqual(faults(), [])
})
