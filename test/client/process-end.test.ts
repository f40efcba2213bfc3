import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { AgentClient, listen } from '../../src/client/index.ts'
import { Program, scopeOf } from '../harness/index.ts'
import { FakeAgent } from './fake-agent.ts'

const INDEX = JSON.stringify(join(import.meta.dirname, '..', '..', 'src', 'client', 'index.ts'))
/** Far below the time for which the server keeps an idle connection, and far above a slow start of Node. */
const ENDS_WITHIN_MS = 60_000
const SERVER_KEEPS_MS = 600_000

async function setUp(t: TestContext) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  await listen('dev.web.echo.default', { client, whitelist: ['dev.*.*.*'] }, socket => {
    socket.on('error', () => {}).pipe(socket)
  })
  const http = createServer({ keepAliveTimeout: SERVER_KEEPS_MS }, (_request, response) => response.end('hello'))
  await listen('dev.web.site.default', { client, whitelist: ['dev.*.*.*'] }, socket => {
    http.emit('connection', socket)
  })
  const run = (program: string): Program =>
    new Program(scopeOf(t), [process.execPath, '--input-type=module', '-e', program], {
      env: { WARREN_RUNTIME_DIR: agent.runtimeDir }
    })
  const ends = async (program: string): Promise<string> => {
    const { code, stdout, stderr } = await run(program).outcome(ENDS_WITHIN_MS)
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    return stdout
  }
  return { agent, run, ends }
}

test('a program that has connected once ends then, and has deregistered', async t => {
  const { agent, ends } = await setUp(t)
  const program = `
    import { text } from 'node:stream/consumers'
    import { connect } from ${INDEX}
    const socket = await connect('dev.web.echo.default', { as: 'dev.shop.cart.default' })
    socket.end('hello')
    console.log(await text(socket))
    let ticked = false
    setTimeout(() => { ticked = true }, 900).unref()
    process.on('exit', () => console.log(ticked ? 'waited' : 'at once'))`
  assert.equal(await ends(program), 'hello\nat once\n')
  assert.equal(agent.countOf('deregister'), 1)
})

test('a connection that a keep-alive agent holds keeps no process', async t => {
  const { ends } = await setUp(t)
  const program = `
    import { get } from 'node:http'
    import { once } from 'node:events'
    import { text } from 'node:stream/consumers'
    import { MeshHttpAgent } from ${INDEX}
    const agent = new MeshHttpAgent({ as: 'dev.shop.cart.default' }, { keepAlive: true })
    for (let i = 0; i < 2; i += 1) {
      const request = get({ host: 'dev.web.site.default', path: '/', agent })
      const [response] = await once(request, 'response')
      console.log(await text(response), request.reusedSocket)
      await new Promise(setImmediate)
    }`
  assert.equal(await ends(program), 'hello false\nhello true\n')
})

test('a connection that is let go and needed again keeps the process for as long as it is needed', async t => {
  const { ends } = await setUp(t)
  const program = `
    import { connect, createConnection } from ${INDEX}
    for (const socket of [
      await connect('dev.web.echo.default', { as: 'dev.shop.cart.default' }),
      createConnection('dev.web.echo.default', { as: 'dev.shop.cart.default' })
    ]) {
      socket.unref()
      socket.ref()
      socket.once('data', data => {
        console.log(String(data))
        socket.unref()
      })
      socket.write('hello')
    }`
  assert.equal(await ends(program), 'hello\nhello\n')
})

test('an idle connection keeps the process that has not let it go, and so does a registration', async t => {
  const { run } = await setUp(t)
  for (const what of [
    `await connect('dev.web.echo.default', { as: 'dev.shop.cart.default' })`,
    `await register('dev.shop.cart.default')`
  ]) {
    const program = run(`
      import { connect, register } from ${INDEX}
      ${what}
      console.log('ready')
      process.on('beforeExit', () => console.log('ends'))
      setTimeout(() => console.log('still here'), 1500).unref()`)
    await program.says(/^still here$/m)
    program.signal('SIGKILL')
    assert.doesNotMatch((await program.outcome()).stdout, /ends/)
  }
})

test('a listener of forward keeps no process, and its path is removed at the end', async t => {
  const { ends } = await setUp(t)
  const program = `
    import { connect } from 'node:net'
    import { text } from 'node:stream/consumers'
    import { forward } from ${INDEX}
    const local = await forward('dev.web.echo.default', { as: 'dev.shop.cart.default' })
    const socket = connect({ path: local.path, allowHalfOpen: true })
    socket.end('hello')
    await text(socket)
    console.log(local.path)`
  const path = (await ends(program)).trim()
  assert.match(path, /^\//)
  assert.equal(existsSync(path), false)
})

test('a call keeps the process until its answer, whatever was let go', async t => {
  const { ends } = await setUp(t)
  const program = `
    import { once } from 'node:events'
    import { AgentClient, connect } from ${INDEX}
    const socket = await connect('dev.web.echo.default', { as: 'dev.shop.cart.default' })
    socket.unref()
    const client = new AgentClient()
    const { token } = await client.workload.register({ address: 'dev.a.b.c' })
    await client.workload.deregister({ token })
    console.log('answered')`
  assert.equal(await ends(program), 'answered\n')
})
