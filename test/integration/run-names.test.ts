import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  at,
  createHosts,
  type Host,
  needsCommand,
  needsRoot,
  type Outcome,
  type Place,
  Program,
  scopeOf,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'

const AS = 'dev.shop.cart.default'
const SITE = 'dev.web.site.default'
const USER = 61_331
const PAGE = 'hello by name'
const SERVE = `require('node:http').createServer((_, answer) => answer.end('${PAGE}')).listen(8080, '127.0.0.1', () => console.log('serves'))`
/** A program that knows no proxy. */
const FETCH = `import socket, sys
def fetch(name, port):
    s = socket.create_connection((name, port))
    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    return s.makefile('rb').read().split(b'\\r\\n\\r\\n')[-1].decode()
`

interface Mesh {
  readonly client: Host
  readonly directory: string
  readonly run: (args: readonly string[], place?: Place) => Promise<Outcome>
  readonly serverAgent: TestAgent
}

/** A site with two ports on one host, and one that nobody may reach; the other host has no network but the agents'. */
async function mesh(t: TestContext): Promise<Mesh | undefined> {
  if (!needsRoot(t) || !needsCommand(t, 'curl') || !needsCommand(t, 'python3')) return undefined
  const scope = scopeOf(t)
  const [server, client] = await createHosts(scope, 'server', 'client')
  const [serverAgent, clientAgent] = await startPair(scope, { hosts: [server, client], args: ['--no-mdns'] })
  await new Program(scope, at({ host: server }, [process.execPath, '-e', SERVE])).says(/serves/)
  for (const name of ['site', 'closed', 'plain']) {
    const ports = name === 'plain' ? [] : ['--port', '80', '--port', '5432']
    await serverAgent
      .spawn(['expose', `dev.web.${name}.default`, '--tcp', '127.0.0.1:8080', ...ports])
      .says(/^dev\.web/m)
  }
  await serverAgent.allow('dev.*.*.*', 'dev.web.{site,plain}.default')
  await serverAgent.cli('entry', 'add', '--uid', String(USER), AS)
  await Promise.all(['site', 'closed', 'plain'].map(name => clientAgent.knows(`dev.web.${name}.default`)))
  await clientAgent.follows(serverAgent)
  chmodSync(dirname(clientAgent.runtimeDir), 0o755)
  const directory = scope.directory()
  chmodSync(directory, 0o755)
  const run = (args: readonly string[], place: Place = {}): Promise<Outcome> =>
    clientAgent.attempt(['run', '--as', AS, ...args], { host: client, ...place })
  return { client, directory, run, serverAgent }
}

test('a command finds services by name with no other set-up: as root, as another user, and isolated', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { client, directory, run } = all
  const hosts = readFileSync(client.path('/etc/hosts'), 'utf8')
  const script = join(directory, 'app.py')
  writeFileSync(script, `${FETCH}print(fetch('web.site.warren', 5432), fetch('${SITE}.warren', 5432))\n`)
  const python = ['--', '/usr/bin/python3', script]
  const both = `${PAGE} ${PAGE}\n`
  const asRoot = await run(python)
  assert.deepEqual([asRoot.stdout, asRoot.stderr, asRoot.code], [both, '', 0])
  const asUser = await run(python, { uid: USER })
  assert.deepEqual([asUser.stdout, asUser.code], [both, 0])
  // Both names have port 80; a program that knows no proxy would miss it.
  assert.match(asUser.stderr, /^warren: PERMISSION_DENIED: this user may not listen at ports below 1024[^\n]*\n$/)
  assert.equal((await run(['--isolated', ...python])).stdout, both)
  const curl = ['--', 'curl', '-sS']
  for (const place of [{}, { uid: USER }]) {
    assert.equal((await run([...curl, 'http://web.site.warren/'], place)).stdout, PAGE)
    assert.equal((await run([...curl, '--noproxy', '*', `http://${SITE}.a.warren:5432/`], place)).stdout, PAGE)
  }
  // A command of another user has no more privileges than before, and is still this user.
  const facts = await run(['--names', '--', '/bin/sh', '-c', 'id -u; grep ^CapEff /proc/self/status; exit 7'], {
    uid: USER
  })
  assert.match(facts.stdout, new RegExp(`^${USER}\nCapEff:\\s+0+\n$`))
  assert.equal(facts.code, 7)
  assert.equal((await run(['--names', '--', '/no-such-command'], { uid: USER })).code, 127)
  // For everybody else nothing has changed.
  assert.equal(readFileSync(client.path('/etc/hosts'), 'utf8'), hosts)
})

test('names lead nowhere for other users, come and go with their services and their command, and errors say why there is none', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { directory, run, serverAgent } = all
  const curl = 'curl -sS --noproxy "*"'
  const refused = await run([
    '--',
    '/bin/sh',
    '-c',
    `${curl} http://web.closed.warren:5432/; echo "ended $?"; ${curl} http://web.closed.warren/`
  ])
  // A reset for programs of any kind, of which curl says 7 if it comes before it has looked whether it is connected, and a page at the port of HTTP.
  assert.match(refused.stdout, /^ended (7|52|56)\nwarren: UNAUTHORIZED[\s\S]*NO +policy[\s\S]*It does not work\./)
  assert.match(refused.stderr, /UNAUTHORIZED.*warren explain dev\.shop\.cart\.default dev\.web\.closed\.default/)
  const other = await run([
    '--',
    '/bin/sh',
    '-c',
    `setpriv --reuid=61332 --clear-groups ${curl} http://web.site.warren/; echo "ended $?"`
  ])
  assert.match(other.stdout, /^ended (7|52|56)$/m)
  assert.match(other.stderr, /uid 61332 may not use port 80/)
  const unknown = await run(['--', 'true', 'web.nobody.warren', 'web.plain.warren'])
  assert.match(unknown.stderr, /DESTINATION_NOT_FOUND: web\.nobody\.warren: no such service is known/)
  assert.match(unknown.stderr, /dev\.web\.plain\.default declares no port, .*--forward dev\.web\.plain\.default=PORT/)
  assert.equal(unknown.code, 0)
  // Nobody mentions a name, or nobody wants one.
  const list = ['--', '/bin/cat', '/etc/hosts']
  assert.doesNotMatch((await run(list)).stdout, /warren$/m)
  assert.doesNotMatch((await run(['--no-names', ...list, '/dev/null', 'web.site.warren'])).stdout, /warren$/m)
  assert.match(
    (await run(['--names', ...list])).stdout,
    /^127\.\d+\.\d+\.\d+ dev\.web\.site\.default\.warren web\.site\.warren$/m
  )
  // What stays behind finds the names no more: their addresses may soon be those of others.
  const said = join(directory, 'said')
  const left = `(trap '' TERM; echo ready > ${said}; while grep -q web.site.warren /etc/hosts; do sleep 0.05; done; echo gone >> ${said})`
  await run([
    '--names',
    '--',
    '/bin/sh',
    '-c',
    `setsid /bin/sh -c '${left.replaceAll("'", `'"'"'`)}' >/dev/null 2>&1 & until [ -s ${said} ]; do sleep 0.05; done`
  ])
  await waitFor(() => readFileSync(said, 'utf8').includes('gone') || undefined, 'the names to go')
  const late = run([
    '--',
    '/bin/sh',
    '-c',
    'echo web.site.warren; until grep -q web.late.warren /etc/hosts; do sleep 0.05; done; curl -sS --noproxy "*" http://web.late.warren/'
  ])
  await serverAgent
    .spawn(['expose', 'dev.web.late.default', '--tcp', '127.0.0.1:8080', '--port', '80', '--allow', 'dev.*.*.*'])
    .says(/^dev\.web/m)
  assert.equal((await late).stdout, `web.site.warren\n${PAGE}`)
  const without = { capabilities: ['dac_override', 'kill'] }
  const fallback = await run(['--', 'echo', 'web.site.warren'], without)
  assert.deepEqual([fallback.stdout, fallback.code], ['web.site.warren\n', 0])
  assert.match(
    fallback.stderr,
    /UNSUPPORTED: the command finds no names of the mesh: a mount namespace needs CAP_SYS_ADMIN \(Use --forward ADDRESS=PORT/
  )
  const wanted = await run(['--names', '--', 'echo', 'started'], without)
  assert.deepEqual([wanted.stdout, wanted.code], ['', 1])
})
