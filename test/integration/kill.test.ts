import assert from 'node:assert/strict'
import { connect } from 'node:net'
import test, { type TestContext } from 'node:test'
import { type Outcome, type Program, scopeOf, settled, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const ENDS_WITHIN_MS = 5_000

interface Flow {
  readonly a: TestAgent
  readonly b: TestAgent
  readonly serve: Program
  readonly client: Program
}

/** A server on a, a client on b, and a flow between them that has carried bytes both ways. */
async function openFlow(t: TestContext): Promise<Flow> {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  const client = b.spawn(['connect', SITE])
  await converse(serve, client, 'before')
  return { a, b, serve, client }
}

async function converse(serve: Program, client: Program, word: string): Promise<void> {
  client.stdin.write(`${word}-there\n`)
  await serve.says(new RegExp(`${word}-there`))
  serve.stdin.write(`${word}-back\n`)
  await client.says(new RegExp(`${word}-back`))
}

async function endsWithError(client: Program): Promise<Outcome> {
  const outcome = await settled(client.outcome(), 'the other side to end', ENDS_WITHIN_MS)
  assert.equal(outcome.code, 1, outcome.stderr)
  assert.match(outcome.stderr, /STREAM_TRUNCATED|FLOW_CUT|AGENT_NOT_RUNNING/)
  return outcome
}

async function serverSeesCut(serve: Program): Promise<void> {
  await serve.says(/cut/, 'stderr', ENDS_WITHIN_MS)
}

/** Waits until no socket file is left that nobody answers at. */
async function noDeadSocket(agent: TestAgent): Promise<void> {
  await waitFor(async () => {
    const answers = await Promise.all(agent.endpointFiles().map(isAnswered))
    return answers.every(Boolean)
  }, `no dead socket file of ${agent.name}`)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path })
    socket.once('connect', () => socket.destroy())
    socket.once('close', failed => resolve(!failed))
    socket.on('error', () => {})
  })
}

/** A new client gets through to the server: nothing had to be repaired by hand. */
async function servesAgain({ b, serve }: Flow): Promise<void> {
  await b.knows(SITE)
  const scope = { client: undefined as Program | undefined }
  await waitFor(
    async () => {
      const next = b.spawn(['connect', SITE])
      await next.says(/connected/, 'stderr', 5_000)
      scope.client = next
      return true
    },
    'a new connection',
    20_000
  )
  assert.ok(scope.client !== undefined)
  await converse(serve, scope.client, 'after')
}

test('kill -9 of the client ends the server side with an error, and leaves no socket file', async t => {
  const flow = await openFlow(t)
  await flow.client.kill()
  await serverSeesCut(flow.serve)
  await waitFor(() => flow.b.endpointFiles().length === 0, 'the endpoint of the dead client to go')
  await waitFor(async () => ((await flow.a.status()).flows ?? 0) === 0, 'the flow to go')
  await servesAgain(flow)
})

test('kill -9 of the server ends the client side with an error, and its record goes everywhere', async t => {
  const { a, b, serve, client } = await openFlow(t)
  await serve.kill()
  await endsWithError(client)
  await waitFor(() => a.endpointFiles().length === 0, 'the socket of the dead server to go')
  await waitFor(async () => !(await b.cli('services', '--json')).includes(SITE), 'the record to go from b')
  const { code, stderr } = await b.attempt(['connect', SITE])
  assert.equal(code, 1)
  assert.match(stderr, /DESTINATION_NOT_FOUND/)
})

test('kill -9 of the agent of the client ends both sides with an error; restarted, it serves again', async t => {
  const flow = await openFlow(t)
  await flow.b.kill()
  await Promise.all([endsWithError(flow.client), serverSeesCut(flow.serve)])
  await flow.b.start([])
  await flow.b.sees(1)
  await noDeadSocket(flow.b)
  await servesAgain(flow)
})

test('kill -9 of the agent of the server ends both sides with an error; restarted, it serves again', async t => {
  const flow = await openFlow(t)
  await flow.a.kill()
  await Promise.all([endsWithError(flow.client), serverSeesCut(flow.serve)])
  await flow.a.start([])
  await flow.a.sees(1)
  await noDeadSocket(flow.a)
  await servesAgain(flow)
})
