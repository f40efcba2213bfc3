import assert from 'node:assert/strict'
import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { asRoot, at, Program, programsForOthers, type Scope, scopeOf, warren } from '../harness/index.ts'

const OWNER = 61_260
const OTHER = 61_261
const ECHO = 'dev.web.echo.default'

/** A program of the library: it serves, and does what each line of its input says. */
const CLIENT = `
import { createInterface } from 'node:readline'
const { AgentClient, connect, listen } = await import(process.argv[1])
const say = text => console.log(text)
const log = { debug: say, info: say, warn: say, error: say, child: () => log }
const client = new AgentClient()
await listen(${JSON.stringify(ECHO)}, { client, log }, socket => socket.pipe(socket))
const actions = {
  call: async () => void (await client.workload.getStatus({})),
  connect: async () => {
    const socket = await connect(${JSON.stringify(ECHO)}, { client, as: 'dev.web.client.default' })
    socket.end('secret')
    for await (const _ of socket);
  }
}
say('serving')
for await (const line of createInterface({ input: process.stdin })) {
  await actions[line]().then(() => say(line + ': done'), err => say(line + ': ' + err.code))
}`

/** Listens where the agent listened, for everybody, and reports every connection and byte. */
const SQUATTER = `
const { chmodSync, mkdirSync } = require('node:fs')
const { createServer } = require('node:net')
const [dir, ...names] = process.argv.slice(1)
process.umask(0)
for (const each of ['', '/endpoints']) mkdirSync(dir + each, 0o755)
let left = names.length
for (const name of names) {
  const server = createServer(socket => {
    console.log('CONNECTION to ' + name)
    socket.on('error', () => {}).on('data', data => console.log('BYTES ' + data))
  })
  server.listen(dir + '/' + name, () => --left === 0 && console.log('squatting'))
}`

function startAgent(scope: Scope, stateDir: string, runtimeDir: string): Program {
  const ports = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']
  const dirs = ['--state-dir', stateDir, '--runtime-dir', runtimeDir]
  const init = existsSync(stateDir) ? [] : ['--init', 'example.org']
  return warren(scope, ['up', ...init, '--name', 'a', '--drain-timeout', '0s', ...dirs, ...ports], { uid: OWNER })
}

/** A directory in which every user may make files, as in /tmp. */
function sharedDirectory(scope: Scope): string {
  const path = scope.directory()
  chmodSync(path, 0o1777)
  return path
}

function startClient(scope: Scope, runtimeDir: string | undefined): Program {
  const { warren: copy } = programsForOthers()
  const library = join(dirname(dirname(copy)), 'dist', 'client', 'index.js')
  const argv = at({ uid: OWNER }, [process.execPath, '--input-type=module', '-e', CLIENT, library])
  return new Program(scope, argv, { env: { WARREN_RUNTIME_DIR: runtimeDir, XDG_RUNTIME_DIR: undefined } })
}

for (const [name, named] of [
  ['that no variable names', false],
  ['that an operator named', true]
] as const) {
  test(
    `who makes a runtime directory again, ${name}, gets no connection from the programs of its former user`,
    asRoot,
    async t => {
      const scope = scopeOf(t)
      const base = sharedDirectory(scope)
      const runtimeDir = named ? join(base, 'r') : `/tmp/warren-${OWNER}`
      const remove = (): void => rmSync(runtimeDir, { recursive: true, force: true })
      remove()
      scope.defer(remove)
      const stateDir = join(base, 's')

      const agent = startAgent(scope, stateDir, runtimeDir)
      await agent.says(/mesh is up|ready/i, 'stderr')
      const allow = warren(scope, ['allow', 'dev.*.*.*', 'dev.*.*.*'], { uid: OWNER }, runtimeDir)
      assert.equal((await allow.outcome()).code, 0)
      const client = startClient(scope, named ? runtimeDir : undefined)
      await client.says(/^serving$/m)
      client.stdin.write('connect\n')
      await client.says(/^connect: done$/m)
      const endpoints = readdirSync(join(runtimeDir, 'endpoints')).map(each => `endpoints/${each}`)
      assert.ok(endpoints.length > 0)

      await agent.kill()
      remove()
      const names = ['agent.sock', 'admin.sock', 'spiffe.sock', ...endpoints]
      const squatter = new Program(scope, at({ uid: OTHER }, [process.execPath, '-e', SQUATTER, runtimeDir, ...names]))
      await squatter.says(/^squatting$/m)
      client.stdin.write('connect\ncall\n')
      await client.says(/^connect: PERMISSION_DENIED$/m)
      await client.says(/^call: PERMISSION_DENIED$/m)
      await client.says(/^cannot register again yet$/m)
      // A command that begins now can only know the owner of a directory that no operator named.
      if (!named) {
        const { stderr } = await warren(scope, ['status'], { uid: OWNER }).outcome()
        assert.match(stderr, /^warren: PERMISSION_DENIED: /m)
      }
      assert.equal(squatter.stdout, 'squatting\n')

      // The registration was not given up: it is made again once the agent has its directory back.
      await squatter.kill()
      remove()
      startAgent(scope, stateDir, runtimeDir)
      await client.says(/^registered again$/m)
    }
  )
}
