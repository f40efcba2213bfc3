import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { asRoot, Capture, createHosts, needsCommand, Program, scopeOf, waitFor } from './index.ts'

test('waitFor says what it waited for, and why in vain', async () => {
  await assert.rejects(
    waitFor(() => Promise.reject(new Error('not yet')), 'the end of the world', 30),
    (err: Error) => /the end of the world/.test(err.message) && (err.cause as Error).message === 'not yet'
  )
})

test('what a test started ends with it', async t => {
  let pid = 0
  let directory = ''
  await t.test('inner', async inner => {
    const scope = scopeOf(inner)
    const program = new Program(scope, ['/bin/sh', '-c', 'echo up; exec sleep 600'])
    directory = scope.directory()
    pid = program.pid
    await program.says(/up/)
  })
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  assert.equal(existsSync(directory), false)
})

test('a program that ends without the awaited words is reported with its output', async t => {
  const program = new Program(scopeOf(t), ['/bin/sh', '-c', 'echo something else; exit 3'])
  await assert.rejects(program.says(/the words/), /something else/)
  assert.equal((await program.outcome()).code, 3)
})

test('hosts have a network, a name and directories of their own', asRoot, async t => {
  const [a, b] = await createHosts(scopeOf(t), 'alpha', 'beta')
  assert.equal(a.run('hostname').trim(), 'alpha')
  a.run('touch', '/run/mark', '/var/lib/mark')
  assert.ok(existsSync(a.path('/run/mark')))
  assert.ok(!existsSync(b.path('/run/mark')) && !existsSync('/run/mark'))
  a.run('/bin/sh', '-c', `exec 3<>/dev/null; ip -br addr show eth0 | grep -q ${a.ip}`)
  assert.match(b.run('ip', 'route', 'get', a.ip), /dev eth0/)
})

test('a capture records what crosses the network, and a cut link carries nothing', asRoot, async t => {
  if (!needsCommand(t, 'tcpdump') || !needsCommand(t, 'nft')) return
  const scope = scopeOf(t)
  const [a, b, c] = await createHosts(scope, 'a', 'b', 'c')
  const capture = await Capture.on(scope, b)
  const send = `require('node:dgram').createSocket('udp4').send('MARKER', 9, process.argv[1], () => process.exit())`
  const greet = (from: typeof a): string =>
    from.run(process.execPath, '-e', send.replace('MARKER', `from-${from.name}`), b.ip)
  a.cut(b)
  // Dropped on its way out, so the send itself is refused or lost.
  try {
    greet(a)
  } catch {}
  greet(c)
  await capture.holds('from-c')
  a.heal()
  assert.equal((await capture.stop()).includes('from-a'), false)
})
