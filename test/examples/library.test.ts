import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { AgentClient } from '../../src/client/index.ts'
import { Program, scopeOf, waitFor } from '../harness/index.ts'

const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples', 'library')

interface Started {
  readonly agent: Program
  readonly runtimeDir: string
  /** Starts an example of this name. */
  readonly start: (name: string) => Program
  /** Starts the agent of the same host again. */
  readonly runAgent: () => Promise<Program>
}

/** The agent of the page's own example, and what starts the other examples beside it. */
async function embedded(t: TestContext): Promise<Started> {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const [stateDir, runtimeDir] = [join(directory, 'state'), join(directory, 'run')]
  const program = (name: string, ...args: string[]): Program =>
    new Program(scope, [process.execPath, join(EXAMPLES, `${name}.ts`), ...args], {
      env: { WARREN_RUNTIME_DIR: runtimeDir }
    })
  const runAgent = async (): Promise<Program> => {
    const agent = program('agent', stateDir, runtimeDir)
    await agent.says(/^ready: embedded of library\.example$/m)
    return agent
  }
  return { agent: await runAgent(), runtimeDir, start: name => program(name), runAgent }
}

/** What a program printed that ended well. */
async function printed(program: Program): Promise<string> {
  const { code, stdout, stderr } = await program.outcome()
  assert.equal(code, 0, stdout + stderr)
  assert.equal(stderr, '')
  return stdout
}

test('the examples of the library do what its page says', async t => {
  const { start, agent } = await embedded(t)
  const servers = ['listen', 'http-server', 'datagram-server', 'register'].map(start)
  for (const server of servers) await server.says(/^(serving|registered) dev\.\w+\.\w+\.default\.embedded$/m)

  const clients = ['connect', 'own-client', 'datagram-client', 'http-client', 'instances', 'errors', 'abort']
  const said = Object.fromEntries(
    await Promise.all(clients.map(async name => [name, await printed(start(name))] as const))
  )

  assert.equal(said['connect'], 'connected to dev.web.echo.default.embedded\nanswer: hello\n')
  assert.equal(said['own-client'], 'answer: hello\nagent embedded of library.example\n')
  assert.equal(said['datagram-client'], 'answer: what time is it?\n')
  assert.equal(said['http-client'], '200 you asked for /prices\n')
  assert.match(
    said['instances'] ?? '',
    /^(?:(balanced|first|sticky) picked dev\.web\.(echo|hello)\.default\.embedded\n){3}$/
  )
  assert.match(said['errors'] ?? '', /^not there now, worth another attempt later: .*dev\.web\.nobody\.default\n$/)
  assert.match(said['abort'] ?? '', /^registration: closed$/m)
  assert.match(said['abort'] ?? '', /^the connection is closed$/m)
  assert.match(said['abort'] ?? '', /^not connected: AbortError false$/m)

  for (const server of servers) assert.equal((await server.stop()).code, 0)
  assert.equal((await agent.stop()).code, 0)
})

test('what `listen` has registered is registered again after a restart of the agent', async t => {
  const { start, agent, runAgent, runtimeDir } = await embedded(t)
  const server = start('listen')
  await server.says(/^serving /m)
  assert.equal((await agent.stop()).code, 0)
  const again = await runAgent()
  await using client = new AgentClient({ runtimeDir })
  await waitFor(async () => {
    const { services } = await client.workload.listServices({ pattern: 'dev.web.echo.*' })
    return services.length === 1
  }, 'the server to be registered again')
  assert.equal(await printed(start('connect')), 'connected to dev.web.echo.default.embedded\nanswer: hello\n')
  assert.equal((await server.stop()).code, 0)
  assert.equal((await again.stop()).code, 0)
})
