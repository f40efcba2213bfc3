import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { IS_LONG, scopeOf, TestAgent } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const PER_SECOND = IS_LONG ? 200 : 100
/** What a busy machine does not get done is not asked of it: in a queue it would wait for longer than any bound. */
const MAX_AT_ONCE = IS_LONG ? 300 : 30
const BEFORE_MS = 1_000
const AFTER_MS = 8_000
/** What the mesh promises; a busy machine gets twice that before the test fails. */
const BOUND_MS = 3_000
const SLACK = 2

const ANSWERS: readonly string[] = [
  ErrorCode.Timeout,
  ErrorCode.InvalidSource,
  ErrorCode.DestinationNotFound,
  ErrorCode.DestinationUnreachable,
  ErrorCode.CannotConnect,
  ErrorCode.Unauthorized
]

interface Result {
  /** Since the two hosts went away. */
  readonly atMs: number
  readonly tookMs: number
  readonly error?: string
}

test('three instances, one host killed and one stopped under load: every connection ends in time, and soon none fails', async t => {
  const scope = scopeOf(t)
  const [near, killed, stopped, good] = ['near', 'killed', 'stopped', 'good'].map(
    name => new TestAgent(scope, { name, args: [] })
  ) as [TestAgent, TestAgent, TestAgent, TestAgent]
  await near.start(['--init', 'example.org'])
  const others = [killed, stopped, good]
  for (const agent of others) await agent.start(['--join', await near.token(agent.name)])
  await Promise.all([near, ...others].map(agent => agent.sees(3)))
  for (const agent of others) {
    const client = new AgentClient({ runtimeDir: agent.runtimeDir })
    scope.defer(() => void client.close())
    await listen(SITE, { client, whitelist: ['dev.*.*.*'] }, socket => {
      socket.on('error', () => {})
      socket.end()
    })
    await near.knows(`${SITE}.${agent.name}`)
  }

  const client = new AgentClient({ runtimeDir: near.runtimeDir })
  scope.defer(() => client.close())
  const results: Result[] = []
  let beganMs = Number.POSITIVE_INFINITY
  const once = async (): Promise<void> => {
    const startMs = performance.now()
    const result = (error?: string): Result => ({
      atMs: startMs - beganMs,
      tookMs: performance.now() - startMs,
      ...(error === undefined ? {} : { error })
    })
    try {
      const socket = await connect(SITE, { client, as: 'dev.shop.cart.default' })
      results.push(result())
      socket.on('error', () => {})
      socket.resume().end()
    } catch (err) {
      results.push(result(WarrenError.from(err).code))
    }
  }
  const running: Promise<void>[] = []
  const begun = (): number => running.length - results.length
  const load = async (ms: number): Promise<void> => {
    const until = performance.now() + ms
    let due = performance.now()
    while (performance.now() < until) {
      for (; due <= performance.now(); due += 1_000 / PER_SECOND) if (begun() < MAX_AT_ONCE) running.push(once())
      await pause(2)
    }
  }
  await load(BEFORE_MS)
  beganMs = performance.now()
  const gone = killed.kill()
  process.kill(stopped.pid, 'SIGSTOP')
  scope.defer(() => void process.kill(stopped.pid, 'SIGCONT'))
  await load(AFTER_MS)
  await Promise.all([...running, gone])

  const during = results.filter(({ atMs }) => atMs >= 0)
  const failed = during.filter(({ error }) => error !== undefined)
  const late = failed.filter(({ atMs }) => atMs > BOUND_MS)
  const slowest = Math.max(...during.map(({ tookMs }) => tookMs))
  const lastFailure = Math.max(0, ...failed.map(({ atMs }) => atMs))
  const slow = during.filter(({ tookMs }) => tookMs > 500).length
  t.diagnostic(
    `${during.length} connects, ${failed.length} failed, ${late.length} of them after ${BOUND_MS} ms; slowest ${Math.round(slowest)} ms, ${slow} above 500 ms; last failure began at ${Math.round(lastFailure)} ms`
  )
  assert.equal(results.length, running.length)
  for (const { error } of failed) assert.ok(ANSWERS.includes(error ?? ''), String(error))
  assert.ok(slowest <= BOUND_MS * SLACK, `the slowest took ${slowest} ms`)
  assert.ok(lastFailure <= BOUND_MS * SLACK, `one that began after ${lastFailure} ms failed`)
})
