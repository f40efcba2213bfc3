import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { needsRuntime, Program, type RuntimeName, scopeOf } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const EXAMPLES = join(ROOT, 'examples', 'library')
const SERVERS = ['listen', 'http-server', 'datagram-server', 'register']

/** What each example prints, whatever runs it. */
const CLIENTS: Readonly<Record<string, RegExp>> = {
  connect: /^connected to dev\.web\.echo\.default\.embedded\nanswer: hello\n$/,
  'own-client': /^answer: hello\nagent embedded of library\.example\n$/,
  'datagram-client': /^answer: what time is it\?\n$/,
  'http-client': /^200 you asked for \/prices\n$/,
  instances: /^(?:(balanced|first|sticky) picked dev\.web\.(echo|hello)\.default\.embedded\n){3}$/,
  errors: /^not there now, worth another attempt later: .*dev\.web\.nobody\.default\n$/,
  abort: /^registration: closed$[\s\S]*^not connected: AbortError false$/m
}

const built = mkdtempSync(join(tmpdir(), 'warren-built-'))
before(() => {
  execFileSync(process.execPath, [join(ROOT, 'tools', 'build.ts'), '--code', '--out', built], { stdio: 'pipe' })
})
after(() => rmSync(built, { recursive: true, force: true }))

/** A program outside of the repository: the built package, and the examples as the page of the library shows them. */
function project(directory: string, change: (source: string) => string): void {
  const installed = join(directory, 'node_modules', 'warren')
  mkdirSync(installed, { recursive: true })
  copyFileSync(join(ROOT, 'package.json'), join(installed, 'package.json'))
  cpSync(built, join(installed, 'dist'), { recursive: true })
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  for (const name of readdirSync(EXAMPLES)) {
    const source = readFileSync(join(EXAMPLES, name), 'utf8').replaceAll("'../../src/client/index.ts'", "'warren'")
    writeFileSync(join(directory, name), change(source))
  }
}

async function runExamples(t: TestContext, name: RuntimeName, args: readonly string[], change = (s: string) => s) {
  const path = needsRuntime(t, name)
  if (path === undefined) return
  const scope = scopeOf(t)
  const directory = scope.directory()
  const runtimeDir = join(directory, 'run')
  project(directory, change)
  const env = { WARREN_RUNTIME_DIR: runtimeDir, NO_COLOR: '1' }
  // The agent needs a later Node, and has it.
  const agentArgs = [join(EXAMPLES, 'agent.ts'), join(directory, 'state'), runtimeDir]
  const agent = new Program(scope, [process.execPath, ...agentArgs], { env })
  await agent.says(/^ready: embedded of library\.example$/m)
  const start = (example: string): Program =>
    new Program(scope, [path, ...args, join(directory, `${example}.ts`)], { cwd: directory, env })

  const servers = SERVERS.map(start)
  for (const server of servers) await server.says(/^(serving|registered) dev\.\w+\.\w+\.default\.embedded$/m)
  await Promise.all(
    Object.entries(CLIENTS).map(async ([example, wanted]) => {
      const { code, stdout, stderr } = await start(example).outcome()
      assert.match(stdout, wanted, `${example}: ${stderr}`)
      assert.equal(code, 0, example)
    })
  )
  await Promise.all(
    servers.map(async server => {
      const { code, stderr } = await server.stop()
      assert.equal(code, 0, stderr)
    })
  )
  assert.equal((await agent.stop()).code, 0)
}

test('the library runs on Node 22, with every example of its page', async t => {
  const plain = (source: string): string =>
    source.includes('await using client')
      ? `${source.replace('await using client', 'const client')}\nawait client.close()\n`
      : source
  await runExamples(t, 'node-22', [], plain)
})

test('every example of the page of the library runs under Bun', async t => {
  await runExamples(t, 'bun', ['run'])
})

test('every example of the page of the library runs under Deno', async t => {
  await runExamples(t, 'deno', ['run', '--allow-all'])
})

test('an agent refuses Node 22 by a sentence', async t => {
  const path = needsRuntime(t, 'node-22')
  if (path === undefined) return
  const scope = scopeOf(t)
  const directory = scope.directory()
  project(directory, source => source)
  symlinkSync(join(ROOT, 'node_modules', 'koffi'), join(directory, 'node_modules', 'koffi'))
  const program = "import('warren/agent').catch(err => console.log(err.message))"
  const { stdout } = await new Program(scope, [path, '--eval', program], { cwd: directory }).outcome()
  assert.match(stdout, /^UNSUPPORTED: the agent of warren needs Node 24 or later, this is 22\./)
})
