import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { at, createHosts, needsCommand, needsRoot, Program, scopeOf, startPair, waitFor } from '../harness/index.ts'

const TARGET = 'db.example.net:8080'
const ADDRESS = 'dev.db.managed.default'
const LOCAL = '127.0.0.1:9090'
const SAYS =
  'import http.server, sys\nclass H(http.server.BaseHTTPRequestHandler):\n  def do_GET(self):\n    self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())\nhttp.server.HTTPServer((sys.argv[1], 8080), H).serve_forever()'

test('a host stands for a server without an agent, if an entry names that server, and for no server of its own', async t => {
  if (!needsRoot(t) || !needsCommand(t, 'curl') || !needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const [gateway, client, database] = await createHosts(scope, 'a', 'b', 'db')
  const names = join(scope.directory(), 'hosts')
  const resolveTo = (...ips: string[]): void => writeFileSync(names, ips.map(ip => `${ip} db.example.net\n`).join(''))
  resolveTo(database.ip)
  gateway.run('mount', '--bind', names, '/etc/hosts')
  const serve = (host: typeof gateway, ip: string, says: string): Program =>
    new Program(scope, at({ host }, ['python3', '-c', SAYS, ip, says]))
  serve(database, database.ip, 'the database')
  // What must never answer for it.
  serve(gateway, '127.0.0.1', 'a server of the gateway')
  serve(gateway, gateway.ip, 'a server of the gateway')
  const [first, second] = await startPair(scope, { hosts: [gateway, client], args: ['--no-mdns'] })
  const expose = ['expose', ADDRESS, '--tcp', TARGET, '--gateway', '--no-health-check']

  const without = await first.attempt(expose)
  assert.equal(without.code, 1)
  assert.match(
    without.stderr,
    /PERMISSION_DENIED: no entry grants dev\.db\.managed\.default\.a to uid 0 as a gateway to db\.example\.net:8080/
  )
  assert.match(
    without.stderr,
    /warren entry add --machine a --uid 0 --gateway db\.example\.net:8080 dev\.db\.managed\.default/
  )
  await first.cli('entry', 'add', '--uid', '0', '--gateway', 'db.example.net:5432', ADDRESS)
  assert.equal((await first.attempt(expose)).code, 1)
  const granting = ['--machine', 'a', '--uid', '0', ADDRESS]
  const other = (await first.cli('entry', 'add', ...granting, '--gateway', 'db.example.net:1')).trim()
  const { stdout, stderr } = await first.attempt(['entry', 'add', ...granting, '--gateway', TARGET.toUpperCase()])
  const entry = stdout.trim()
  assert.match(stderr, new RegExp(`it replaces ${other}, .* no gateway to db\\.example\\.net:1 any more`))
  assert.match(await first.cli('entry', 'list'), /GATEWAY TO[\s\S]*db\.example\.net:8080/)
  const exposed = first.spawn(expose)
  await exposed.says(/^dev\.db\.managed\.default\.a$/m)
  await first.allow('dev.user.*.*', ADDRESS)
  await second.knows(ADDRESS)
  await second.follows(first)
  await second.spawn(['forward', ADDRESS, '--listen', LOCAL]).says(/^127/m)
  const curl = async (): Promise<string> => {
    const program = new Program(scope, at({ host: client }, ['curl', '-sS', `http://${LOCAL}/`]))
    return (await program.outcome()).stdout
  }
  await waitFor(async () => (await curl()) === 'the database', 'the database to answer')
  assert.match(
    await first.cli('explain', 'dev.user.root.default', ADDRESS),
    /ok {2}server +a gateway to db\.example\.net:8080/
  )

  // Whoever answers for the name must not lead the agent to a server of its own host.
  for (const ip of ['127.0.0.1', gateway.ip, '::1', '0.0.0.0', '::ffff:127.0.0.1', '169.254.169.254']) {
    resolveTo(ip)
    assert.equal(await curl(), '', ip)
  }
  const refused = await second.attempt(['connect', ADDRESS])
  assert.match(refused.stderr, /DESTINATION_UNREACHABLE/)
  // The name is looked up again, and what leads elsewhere still counts.
  resolveTo('127.0.0.1', database.ip)
  assert.equal(await curl(), 'the database')

  // With its entry, the registration ends.
  await first.cli('entry', 'remove', entry)
  assert.equal((await exposed.outcome()).code, 1)
  assert.match(exposed.stderr, /no longer granted/)
  assert.equal(await curl(), '')
})

test('a gateway is for TCP servers of other hosts, and for nothing that this host serves', async t => {
  const scope = scopeOf(t)
  const [agent] = await startPair(scope)
  const expose = (...args: string[]) => agent.attempt(['expose', ADDRESS, '--no-health-check', ...args])
  for (const target of ['127.0.0.1:80', 'localhost:80', '[::1]:80', 'a_b:80', 'db.example.net:0']) {
    const { code, stderr } = await expose('--tcp', target, '--gateway')
    assert.notEqual(code, 0)
    assert.match(stderr, /INVALID_ARGUMENT: .* names no server of another host/)
  }
  assert.match((await expose('--udp', '192.0.2.7:53', '--gateway')).stderr, /--gateway goes with --tcp alone/)
  const elsewhere = await expose('--tcp', '192.0.2.7:80')
  assert.match(elsewhere.stderr, /is not on this host\n.*--gateway/)
  const wrong = await agent.attempt(['entry', 'add', '--uid', '0', '--gateway', 'localhost:80', ADDRESS])
  assert.match(wrong.stderr, /names no server of another host/)
})
