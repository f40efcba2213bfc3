import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, Program, scopeOf, settled, waitFor, warren } from '../harness/index.ts'

const SERVER = `require('node:http').createServer((_, answer) => answer.end('hello from the other host'))
  .listen(8080, '127.0.0.1', () => console.log('up'))`

test('two hosts go from nothing to an HTTP answer in six commands and one copied string', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await createHosts(scope, 'a', 'b')
  const server = new Program(scope, a.enter([process.execPath, '-e', SERVER]))
  await server.says(/up/)

  // 1
  const founded = performance.now()
  const first = warren(scope, ['up', '--init', 'example.org'], { host: a })
  await first.says(/ready/, 'stderr')
  t.diagnostic(`start to ready: ${Math.round(performance.now() - founded)} ms`)
  // 2
  const made = await warren(scope, ['token', 'create', 'b'], { host: a }).outcome()
  assert.equal(made.code, 0, made.stderr)
  const token = made.stdout.trim()
  assert.match(token, /^\S+$/)
  // 3
  const joined = performance.now()
  const second = warren(scope, ['up', '--join', token], { host: b })
  await second.says(/ready/, 'stderr')
  t.diagnostic(`join to ready: ${Math.round(performance.now() - joined)} ms`)
  // 4
  const expose = warren(scope, ['expose', 'dev.web.site.default', '--tcp', '127.0.0.1:8080'], { host: a })
  await expose.says(/dev\.web\.site\.default\.a/)
  // 5
  const allowed = await warren(scope, ['allow', 'dev.*.*.*', 'dev.web.site.default'], { host: a }).outcome()
  assert.equal(allowed.code, 0, allowed.stderr)
  // 6
  const forward = warren(scope, ['forward', 'dev.web.site.default', '--listen', '127.0.0.1:9090'], { host: b })
  await forward.says(/127\.0\.0\.1:9090/)

  // A person would not be fast enough to notice that the rule and the record take a moment to reach the other host.
  const answer = await waitFor(
    () => b.run('curl', '--silent', '--show-error', '--max-time', '10', 'http://127.0.0.1:9090/'),
    'the first answer',
    5_000
  )
  assert.equal(answer, 'hello from the other host')
})

test('a second agent proxies its first bytes soon after its start', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await createHosts(scope, 'a', 'b')
  const first = warren(scope, ['up', '--init', 'example.org'], { host: a })
  await first.says(/ready/, 'stderr')
  const token = (await warren(scope, ['token', 'create', 'b'], { host: a }).outcome()).stdout.trim()
  assert.equal((await warren(scope, ['allow', 'dev.*.*.*', 'dev.*.*.*'], { host: a }).outcome()).code, 0)
  const serve = warren(scope, ['serve', 'dev.web.echo.default'], { host: a })
  await serve.says(/serving/, 'stderr')

  const started = performance.now()
  const second = warren(scope, ['up', '--join', token], { host: b })
  await second.says(/ready/, 'stderr')
  const client = warren(scope, ['connect', 'dev.web.echo.default'], { host: b })
  client.stdin.write('first bytes\n')
  await settled(serve.says(/first bytes/), 'the first brokered bytes')
  // A budget, not a promise of this test: it depends on the machine.
  t.diagnostic(`second agent's start to first brokered byte: ${Math.round(performance.now() - started)} ms`)
})
