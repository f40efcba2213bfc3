import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chownSync, statSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { silentLogger, type WarrenError } from '../../src/core/index.ts'
import { ScrapeServer } from '../../src/metrics/index.ts'
import { asRoot, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

interface Answer {
  readonly status: number | undefined
  readonly type: string | undefined
  readonly body: string
}

interface Asked {
  readonly path: string
  readonly method?: string
  readonly accept?: string
}

/** One request to `at`, which is host:port or unix:path. */
function ask(at: string, { path, method = 'GET', accept = '*/*' }: Asked): Promise<Answer> {
  const where = at.startsWith('unix:') ? { socketPath: at.slice(5) } : { host: '127.0.0.1', port: at.split(':').at(-1) }
  return new Promise((resolve, reject) => {
    request({ ...where, path, method, agent: false, headers: { accept } }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode, type: response.headers['content-type'], body }))
    })
      .on('error', reject)
      .end()
  })
}

async function servedAt(agent: TestAgent): Promise<string> {
  await agent.program.says(/"metrics served"/, 'stderr')
  return /"address":"([^"]+)","msg":"metrics served"/.exec(agent.program.stderr)?.[1] ?? ''
}

test('a scraper gets the metrics in both formats, and a monitor learns whether the agent lives and serves', async t => {
  const agent = new TestAgent(scopeOf(t), { name: 'a', args: [] })
  await agent.start(['--init', 'example.org', '--metrics-listen', '127.0.0.1:0'])
  const at = await servedAt(agent)

  const plain = await ask(at, { path: '/metrics' })
  assert.equal(plain.status, 200)
  assert.match(plain.type ?? '', /^text\/plain; version=0\.0\.4/)
  assert.match(plain.body, /^# TYPE warren_members gauge$/m)
  assert.match(plain.body, /^warren_members\{state="self"\} 1$/m)

  const open = await ask(at, {
    path: '/metrics',
    accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5'
  })
  assert.match(open.type ?? '', /^application\/openmetrics-text; version=1\.0\.0/)
  assert.match(open.body, /\n# EOF\n$/)
  assert.match(open.body, /^# TYPE warren_joins counter$/m)
  assert.match(open.body, /^warren_joins_total\{result="admitted"\} 0$/m)

  assert.deepEqual(await ask(at, { path: '/healthz' }), {
    status: 200,
    type: 'text/plain; charset=utf-8',
    body: 'ok\n'
  })
  assert.equal((await ask(at, { path: '/readyz' })).status, 200)
  await agent.cli('drain')
  assert.deepEqual(await ask(at, { path: '/readyz' }), {
    status: 503,
    type: 'text/plain; charset=utf-8',
    body: 'draining\n'
  })
  assert.equal((await ask(at, { path: '/healthz' })).status, 200)

  assert.equal((await ask(at, { path: '/metrics', method: 'HEAD' })).body, '')
  assert.equal((await ask(at, { path: '/metrics', method: 'POST' })).status, 405)
  const lost = await ask(at, { path: '/' })
  assert.deepEqual([lost.status, lost.body], [404, 'there are /metrics, /healthz and /readyz\n'])
})

test('metrics at a unix socket are for its owner and group, and the socket of a killed agent is replaced', async t => {
  const scope = scopeOf(t)
  const path = join(scope.directory(), 'metrics.sock')
  const args = ['--metrics-listen', `unix:${path}`]
  const agent = new TestAgent(scope, { name: 'a', args })
  await agent.start(['--init', 'example.org', ...args])
  assert.equal(await servedAt(agent), `unix:${path}`)
  assert.equal(statSync(path).mode & 0o777, 0o660)
  await agent.kill()
  await agent.start()
  assert.match((await ask(`unix:${path}`, { path: '/metrics' })).body, /^warren_members/m)
  await agent.stop()
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined)
})

test('an agent whose port for metrics is taken does not start, and says which option to change', async t => {
  const scope = scopeOf(t)
  const other = createServer()
  t.after(() => other.close())
  await once(other.listen(0, '127.0.0.1'), 'listening')
  const { port } = other.address() as AddressInfo
  const agent = new TestAgent(scope, { name: 'a', args: [] })
  const starting = agent.start(['--init', 'example.org', '--metrics-listen', `127.0.0.1:${port}`])
  await assert.rejects(starting)
  const { code, stderr } = await agent.program.outcome()
  assert.equal(code, 1, stderr)
  assert.match(stderr, new RegExp(`PORT_IN_USE: cannot listen for metrics at 127\\.0\\.0\\.1:${port}: another program`))
  assert.match(stderr, /--metrics-listen/)
})

test('whoever asks for metrics all the time has them collected twice a second', async t => {
  let nowMs = 1_000
  let collected = 0
  const server = new ScrapeServer({
    listen: { host: '127.0.0.1', port: 0 },
    text: async () => {
      collected += 1
      return `${collected}\n`
    },
    state: () => 'ready',
    nowMs: () => nowMs,
    log: silentLogger
  })
  const at = await server.start()
  t.after(() => server.stop())
  const all = await Promise.all(Array.from({ length: 25 }, () => ask(at, { path: '/metrics' })))
  assert.deepEqual([...new Set(all.map(({ body }) => body))], ['1\n'])
  nowMs += 499
  assert.equal((await ask(at, { path: '/metrics' })).body, '1\n')
  nowMs += 1
  assert.equal((await ask(at, { path: '/metrics' })).body, '2\n')
})

test('scrapers that do not read their answers lose their connections, and others are served again', async t => {
  const server = new ScrapeServer({
    listen: { host: '127.0.0.1', port: 0 },
    // More than the buffers of both sockets take.
    text: async () => 'x'.repeat(4 * 1024 * 1024),
    state: () => 'ready',
    nowMs: () => 1_000,
    idleMs: 100,
    log: silentLogger
  })
  const at = await server.start()
  t.after(() => server.stop())
  // As many as are served at a time.
  for (let count = 0; count < 32; count += 1) {
    const socket = connect(Number(at.split(':').at(-1)), '127.0.0.1').on('error', () => {})
    t.after(() => socket.destroy())
    socket.pause()
    socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(socket, 'connect')
  }
  const served = () =>
    ask(at, { path: '/healthz' }).then(
      ({ status }) => status === 200,
      () => false
    )
  await waitFor(served, 'a place for another scraper')
})

test('connections that stay, silent or after a request, keep no scraper out', async t => {
  const server = new ScrapeServer({
    listen: { host: '127.0.0.1', port: 0 },
    text: async () => 'x 1\n',
    state: () => 'ready',
    nowMs: () => performance.now(),
    log: silentLogger
  })
  const at = await server.start()
  t.after(() => server.stop())
  for (const first of ['', 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /met']) {
    for (let count = 0; count < 100; count += 1) {
      const socket = connect(Number(at.split(':').at(-1)), '127.0.0.1').on('error', () => {})
      t.after(() => socket.destroy())
      await once(socket, 'connect')
      socket.write(first)
    }
    const scraped = () =>
      ask(at, { path: '/metrics' }).then(
        ({ body }) => body === 'x 1\n',
        () => false
      )
    await waitFor(scraped, `a scrape beside connections that begin with "${first}"`)
  }
})

test('a socket for metrics in a directory of another user is refused, and the option is named', asRoot, async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  chownSync(directory, 4_711, 4_711)
  const server = new ScrapeServer({
    listen: { path: join(directory, 'm.sock') },
    text: async () => '',
    state: () => 'ready',
    nowMs: () => 1_000,
    log: silentLogger
  })
  await assert.rejects(server.start(), (err: WarrenError) => {
    assert.equal(err.code, 'STATE_UNUSABLE')
    assert.match(err.reason, /^cannot listen for metrics at unix:.*: the directory .* belongs to uid 4711$/)
    assert.match(err.hint ?? '', /--metrics-listen/)
    return true
  })
})
