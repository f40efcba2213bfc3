import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  createHosts,
  needsCommand,
  needsRoot,
  type Outcome,
  scopeOf,
  startPair,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const AS = 'dev.shop.cart.default'
const SITE = 'dev.web.site.default'

async function oneAgent(t: TestContext) {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const run = (...command: string[]): Promise<Outcome> => agent.attempt(['run', '--as', AS, ...command])
  return { scope, agent, run }
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const bound = server.address()
  await new Promise(resolve => server.close(resolve))
  return bound !== null && typeof bound === 'object' ? bound.port : 0
}

const APP = `import http.server, os, sys, urllib.request
if len(sys.argv) > 1:
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(b'hello from python')
    server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Hello)
    print('serving', flush=True)
    server.serve_forever()
else:
    print(urllib.request.urlopen('http://${SITE}.warren/').read().decode())
`

test('programs serve and reach each other on two hosts by run alone', async t => {
  if (!needsRoot(t) || !needsCommand(t, 'curl') || !needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'server', 'client')
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
  const app = join(scope.directory(), 'app.py')
  writeFileSync(app, APP)
  const serving = a.spawn([
    'run',
    '--as',
    'dev.web.self.default',
    '--serve',
    `${SITE}=8080`,
    '--allow',
    AS,
    '--',
    '/usr/bin/python3',
    app,
    '8080'
  ])
  await serving.says(/serving/)
  await b.knows(SITE)
  await waitFor(async () => /passing/.test(await b.cli('services')) || undefined, 'the server to pass')
  const run = (...args: string[]): Promise<Outcome> => b.attempt(['run', '--as', AS, ...args])
  const url = `http://${SITE}.warren/`
  for (const command of [
    ['--', 'curl', '-sS', url],
    ['--', '/usr/bin/python3', app],
    ['--no-proxy', '--forward', `${SITE}=7070`, '--', 'curl', '-sS', 'http://127.0.0.1:7070/']
  ]) {
    const { stdout, stderr } = await run(...command)
    assert.equal(stdout.trim(), 'hello from python', `${command.join(' ')}: ${stderr}`)
  }
  const refused = await run('--', 'curl', '-sS', 'http://dev.web.other.default.warren/')
  assert.match(refused.stdout, /DESTINATION_NOT_FOUND[\s\S]*It does not work\./)
  // Another user of the host gets nothing at the ports that were made for the command.
  const other = 'setpriv --reuid=61320 --regid=61320 --clear-groups curl -sS'
  const script = `${other} --noproxy '*' http://127.0.0.1:7070/; echo "ended $?"; ${other} ${url}`
  const { stdout, stderr } = await run('--forward', `${SITE}=7070`, '--', '/bin/sh', '-c', script)
  // 7: it is closed before curl has looked whether it is connected.
  assert.match(stderr, /uid 61320 may not use port 7070/)
  assert.match(stdout, /^ended (7|52|56)\n[\s\S]*uid 61320 may not use this proxy/)

  serving.signal('SIGTERM')
  assert.equal((await serving.outcome()).code, 128 + 15)
  await waitFor(async () => ((await b.cli('services')).includes(SITE) ? undefined : 'gone'), 'the service to go')
})

test('the exit code is that of the command, or what a shell says for its end by a signal', async t => {
  const { run } = await oneAgent(t)
  const codes: Record<string, number> = { 'exit 0': 0, 'exit 7': 7, 'kill -9 $$': 137, 'kill -TERM $$': 143 }
  for (const [script, code] of Object.entries(codes))
    assert.equal((await run('--', '/bin/sh', '-c', script)).code, code)
  const missing = await run('--', 'no-such-command')
  assert.equal(missing.code, 127)
  assert.match(missing.stderr, /there is no command "no-such-command"/)
  assert.equal((await run('--', '/etc/passwd')).code, 126)
  const output = await run('--', '/bin/sh', '-c', 'cat; echo problem >&2')
  assert.deepEqual([output.stdout, output.stderr], ['', 'problem\n'])
})

test('signals reach the command and what it has started, and nothing of it stays', async t => {
  const { agent, scope } = await oneAgent(t)
  const left = join(scope.directory(), 'left')
  const script = `trap 'echo caught; exit 3' INT; sleep 1000 & echo $! > ${left}; echo ready; while :; do wait; done`
  const running = agent.spawn(['run', '--as', AS, '--', '/bin/sh', '-c', script])
  await running.says(/ready/)
  running.signal('SIGINT')
  const { code, stdout } = await running.outcome()
  assert.deepEqual([code, stdout], [3, 'ready\ncaught\n'])
  // What ignores the end, and was left behind, is ended too.
  const stubborn = `(trap '' TERM; echo $$ ready; exec sleep 1000) & echo $! > ${left}; exit 4`
  assert.equal((await agent.attempt(['run', '--as', AS, '--', '/bin/sh', '-c', stubborn])).code, 4)
  const [pid] = readFileSync(left, 'utf8').split('\n')
  await waitFor(() => (existsSync(`/proc/${pid}`) ? undefined : 'gone'), 'what was left behind to end')
})

test('a command finds its identity, and its files end with it', async t => {
  const { run } = await oneAgent(t)
  const script =
    'cat $WARREN_SVID_DIR/svid.pem $WARREN_SVID_DIR/svid_key.pem; echo "$WARREN_SVID_DIR|$WARREN_SPIFFE_ID|$SPIFFE_ENDPOINT_SOCKET"'
  const { stdout } = await run('--svid-files', '--', '/bin/sh', '-c', script)
  assert.match(stdout, /BEGIN CERTIFICATE[\s\S]*BEGIN PRIVATE KEY/)
  const [directory = '', id, socket = ''] = stdout.trim().split('\n').at(-1)?.split('|') ?? []
  assert.equal(id, `spiffe://example.org/${AS.replaceAll('.', '/')}/a`)
  // It is the command's own, and ends with it.
  assert.match(socket, /^unix:\/\/\/.*\/spiffe\.sock$/)
  assert.ok(!existsSync(socket.slice('unix://'.length)))
  assert.ok(directory !== '' && !existsSync(directory))
})

test('an isolated command reaches the mesh and nothing else', async t => {
  if (!needsRoot(t) || !needsCommand(t, 'curl')) return
  const { agent, run } = await oneAgent(t)
  const { stdout: interfaces } = await run('--isolated', '--', 'cat', '/proc/net/dev')
  assert.deepEqual(
    [...interfaces.matchAll(/^ *(\w+):/gm)].map(([, name]) => name),
    ['lo']
  )
  const script = `curl -sS http://${SITE}.warren/; curl -sS --noproxy '*' http://10.0.0.1/; echo "outside $?"`
  const { stdout } = await run('--isolated', '--', '/bin/sh', '-c', script)
  assert.match(stdout, /DESTINATION_NOT_FOUND[\s\S]*^outside 7$/m)
  const both = await run('--isolated', '--serve', `${SITE}=8080`, '--', 'true')
  assert.match(both.stderr, /--serve does not go with --isolated/)
  const denied = await agent.attempt(['run', '--as', AS, '--isolated', '--', 'true'], { uid: 61_321 })
  assert.equal(denied.code, 1)
  assert.match(denied.stderr, /PERMISSION_DENIED: --isolated needs CAP_SYS_ADMIN\n {2}Run it as root/)
})

test('what a command wrote before it ended reaches its server whole, and a command needs no address', async t => {
  if (!needsCommand(t, 'python3')) return
  const { agent, scope } = await oneAgent(t)
  const received = Promise.withResolvers<number | Error>()
  const sink = createServer(socket => {
    let bytes = 0
    socket.on('data', chunk => {
      if (bytes === 0) socket.write('k')
      bytes += chunk.length
    })
    socket.on('error', received.resolve).on('end', () => received.resolve(bytes))
  }).listen(0, '127.0.0.1')
  scope.defer(() => void sink.close())
  await new Promise(resolve => sink.once('listening', resolve))
  const { port } = sink.address() as AddressInfo
  const expose = ['expose', SITE, '--tcp', `127.0.0.1:${port}`, '--no-health-check']
  await agent.spawn(expose).says(/^dev\.web\.site\.default\.a$/m)
  await agent.allow('dev.user.*.default', SITE)
  const own = await freePort()
  // Whose it is must be known first: the kernel forgets that of a connection that its client has closed.
  const script = `import socket
s = socket.create_connection(('127.0.0.1', ${own}))
s.sendall(b'a')
s.recv(1)
s.sendall(bytes(2_999_999))`
  const { code, stderr } = await agent.attempt(['run', '--forward', `${SITE}=${own}`, '--', 'python3', '-c', script])
  assert.deepEqual([code, stderr], [0, ''])
  assert.equal(await received.promise, 3_000_000)
  const files = await agent.attempt(['run', '--svid-files', '--', 'true'])
  assert.match(files.stderr, /are for the certificate of --as\n {2}Say whose it is: --as /)
})

test('what cannot be made is said with what to do, and the command is not started', async t => {
  const { run, scope } = await oneAgent(t)
  const marker = join(scope.directory(), 'started')
  const held = createServer().listen(0, '127.0.0.1')
  scope.defer(() => void held.close())
  await new Promise(resolve => held.once('listening', resolve))
  const bound = held.address()
  const port = bound !== null && typeof bound === 'object' ? bound.port : 0
  const cases: [string[], RegExp][] = [
    [['--forward', `${SITE}=${port}`], /PORT_IN_USE[\s\S]*Choose another: --forward dev\.web\.site\.default=PORT/],
    [['--forward', SITE], /is not ADDRESS=PORT[\s\S]*--forward dev\.web\.site\.default=8080/],
    [['--serve', `${SITE}=0`], /is not ADDRESS=PORT/],
    [['--allow', 'dev.*.*.*'], /--serve/],
    [['--serve', 'nonsense=8080'], /INVALID_ARGUMENT/]
  ]
  for (const [args, pattern] of cases) {
    const { code, stderr } = await run(...args, '--', 'touch', marker)
    assert.notEqual(code, 0)
    assert.match(stderr, pattern)
  }
  assert.ok(!existsSync(marker))
  const free = await freePort()
  assert.equal((await run('--forward', `${SITE}=${free}`, '--', 'touch', marker)).code, 0)
  assert.ok(existsSync(marker))
})
