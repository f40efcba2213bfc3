import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, Program, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const PORT = 7461

/** Listens at the data port of a host, in place of its agent, until `close`. */
async function listening(scope: Scope, host: Host, script: string): Promise<{ close: () => Promise<void> }> {
  const full = `const at = { host: '0.0.0.0', port: ${PORT} }; const up = () => console.log('up');${script}`
  const program = new Program(scope, host.enter([process.execPath, '--input-type=module', '-e', full]))
  await waitFor(() => program.stdout.includes('up'), 'a listener')
  return { close: () => program.kill() }
}

const CERTIFICATE = `
  import { execFileSync } from 'node:child_process'
  const [key, cert] = execFileSync('sh', ['-c', 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout - -out - 2>/dev/null'],
    { encoding: 'utf8' }).split(/(?=-----BEGIN CERTIFICATE)/)`

/** What listens at the data port of a host whose agent has gone, and what `explain` says of it. */
const LISTENERS: ReadonlyArray<readonly [name: string, script: string, expected: RegExp]> = [
  [
    'a program that speaks first',
    `import net from 'node:net'; net.createServer(s => s.on('error', () => {}).end('SSH-2.0-OpenSSH_10.0\\r\\n')).listen(at, up)`,
    /another program listens there: it does not speak TLS/
  ],
  [
    'a web server',
    `import http from 'node:http'; http.createServer((q, r) => r.end()).listen(at, up)`,
    /another program listens there: it does not speak TLS/
  ],
  [
    'a program that says nothing',
    `import net from 'node:net'; net.createServer(s => s.on('error', () => {})).listen(at, up)`,
    /something accepts the connection and says nothing: another program, or an agent that stands still/
  ],
  [
    'a reset after the connection',
    `import net from 'node:net'; net.createServer(s => s.resetAndDestroy()).listen(at, up)`,
    // Before this host has seen that it is connected, or after.
    /the connection is (reset at once: a firewall|(reset|closed) unanswered: another program, a firewall)/
  ],
  [
    'a TLS server without agents',
    `${CERTIFICATE}
    import tls from 'node:tls'; tls.createServer({ key, cert }, s => s.on('error', () => {}).end()).listen(at, up)`,
    /a TLS server that is no agent answers there/
  ],
  [
    'a TLS server of other protocols',
    `${CERTIFICATE}
    import tls from 'node:tls'
    tls.createServer({ key, cert, ALPNProtocols: ['http/1.1'] }).on('tlsClientError', () => {}).listen(at, up)`,
    /it speaks TLS, but is no agent of this version/
  ]
]

test('explain names who answers at the data port of a host, if it is not its agent', asRoot, async t => {
  const scope = scopeOf(t)
  const [here, there] = await createHosts(scope, 'a', 'b')
  const at = ['--no-mdns', '--data-listen', `0.0.0.0:${PORT}`]
  const a = await new TestAgent(scope, { name: 'a', args: [], host: here }).start(['--init', 'example.org', ...at])
  const tokenOf = async (name: string): Promise<string> => (await a.cli('token', 'create', name)).trim()
  const b = await new TestAgent(scope, { name: 'b', args: [], host: there }).start([
    '--join',
    await tokenOf('b'),
    ...at
  ])
  const tokenOfC = await tokenOf('c')
  const register = () => b.cli('register', SITE, '--tcp', '127.0.0.1:9', '--no-health-check', '--allow', 'dev.*.*.*')
  await register()
  await a.knows(SITE)
  const explained = async (): Promise<string> => {
    const { stdout } = await a.attempt(['explain', `dev.shop.cart.default.a`, SITE, '--local'])
    return /^(?:ok|NO) +(?:path|host) .*$/m.exec(stdout)?.[0] ?? stdout
  }
  const directly = `direct ${there.ip}:${PORT}`
  assert.match(await explained(), new RegExp(`^ok +path +direct: ${directly} answers in`))
  assert.doesNotMatch(b.program.stderr, /unauthenticated|handshake/, 'the question leaves no line of a stranger')

  await b.kill()
  await t.test('nobody', async () => {
    assert.match(
      await explained(),
      new RegExp(`^NO +(path|host) .*${directly} does not lead to it \\(nobody listens there`)
    )
  })
  for (const [name, script, expected] of LISTENERS) {
    await t.test(name, async () => {
      const listener = await listening(scope, there, script)
      const text = await explained()
      await listener.close()
      assert.match(text, new RegExp(`^NO +(path|host) .*${directly} does not lead to it`))
      assert.match(text, expected)
    })
  }
  await t.test('an agent of another trust domain', async () => {
    const other = new TestAgent(scope, { name: 'b', args: [], host: there })
    await other.start(['--init', 'other.example', ...at])
    const text = await explained()
    await other.kill()
    assert.match(text, /^NO .*an agent of another trust domain answers there, other\.example by its own account/)
  })
  await t.test('the agent of another host', async () => {
    const c = new TestAgent(scope, { name: 'c', args: [], host: there })
    await c.start(['--join', tokenOfC, ...at])
    const text = await explained()
    await c.kill()
    assert.match(text, /^NO .*the agent of c answers there/)
  })
  await t.test('a firewall that drops', async () => {
    there.block(PORT)
    const text = await explained()
    there.heal()
    assert.match(text, /^NO .*nothing comes back: the host is down, or a firewall drops it/)
  })
  await t.test('the right host, again', async () => {
    await b.start(at)
    await register()
    await waitFor(async () => (await explained()).startsWith('ok'), 'the agent of b to be found')
  })
})
