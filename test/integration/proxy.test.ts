import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  at,
  createHosts,
  type Host,
  needsCommand,
  needsRoot,
  type Outcome,
  Program,
  type Scope,
  scopeOf,
  startPair,
  type TestAgent
} from '../harness/index.ts'

const SITES = ['one', 'two', 'three'] as const
const PROXY_PORT = 1080
const PROXY = `127.0.0.1:${PROXY_PORT}`
const OTHER = 61_310
const LARGE_BYTES = 20 * 1024 * 1024

const nameOf = (site: string): string => `dev.web.${site}.default.warren`

interface Mesh {
  readonly scope: Scope
  readonly server: Host
  readonly client: Host
  readonly serverAgent: TestAgent
  readonly clientAgent: TestAgent
  /** Runs a program on the client's host to its end. */
  readonly run: (argv: readonly string[], uid?: number) => Promise<Outcome>
  readonly curl: (...args: string[]) => Promise<Outcome>
}

/** Three sites on one host, of which the first two may be reached from the other, where nothing but agents has a network. */
async function mesh(t: TestContext): Promise<Mesh | undefined> {
  if (!needsRoot(t) || !needsCommand(t, 'curl') || !needsCommand(t, 'python3')) return undefined
  const scope = scopeOf(t)
  const [server, client] = await createHosts(scope, 'server', 'client')
  const [serverAgent, clientAgent] = await startPair(scope, { hosts: [server, client], args: ['--no-mdns'] })
  for (const [index, site] of SITES.entries()) {
    const directory = join(scope.directory(), 'www')
    mkdirSync(directory)
    writeFileSync(join(directory, 'index.html'), `<p>this is ${site}</p>\n`)
    writeFileSync(join(directory, 'large'), LARGE)
    const port = 8080 + index
    const serving = ['python3', '-um', 'http.server', '-d', directory, '--bind', '127.0.0.1', String(port)]
    await new Program(scope, at({ host: server }, serving)).says(/Serving HTTP/)
    await serverAgent.spawn(['expose', `dev.web.${site}.default`, '--tcp', `127.0.0.1:${port}`]).says(/^dev\.web\..*$/m)
  }
  await serverAgent.allow('dev.*.*.*', 'dev.web.{one,two}.default')
  await Promise.all(SITES.map(site => clientAgent.knows(`dev.web.${site}.default`)))
  await clientAgent.follows(serverAgent)
  const run = async (argv: readonly string[], uid?: number): Promise<Outcome> => {
    const program = new Program(scope, at({ host: client, ...(uid !== undefined && { uid }) }, argv))
    program.stdin.end()
    return await program.outcome()
  }
  const curl = (...args: string[]): Promise<Outcome> => run(['curl', '-sS', '--noproxy', '', ...args])
  return { scope, server, client, serverAgent, clientAgent, run, curl }
}

const LARGE = randomBytes(LARGE_BYTES)

test('curl reaches services of another host by name, over SOCKS5, CONNECT and plain HTTP', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { clientAgent, curl, run } = all
  const proxy = clientAgent.spawn(['proxy', '--listen', PROXY])
  await proxy.says(/^127\.0\.0\.1:1080$/m)
  const kinds = [
    ['--proxy', `socks5h://${PROXY}`],
    ['--proxy', `http://${PROXY}`],
    ['-p', '--proxy', `http://${PROXY}`]
  ]
  for (const kind of kinds) {
    for (const site of ['one', 'two']) {
      assert.equal((await curl(...kind, `http://${nameOf(site)}/`)).stdout, `<p>this is ${site}</p>\n`)
    }
    const sum = await run(['/bin/sh', '-c', `curl -sS ${kind.join(' ')} http://${nameOf('one')}/large | sha256sum`])
    assert.equal(sum.stdout.split(' ')[0], createHash('sha256').update(LARGE).digest('hex'))
  }
  assert.equal((await curl('--proxy', `http://${PROXY}`, `http://dev.web.one.default.a.warren./`)).code, 0)

  const page = await curl('--proxy', `http://${PROXY}`, '-i', `http://${nameOf('three')}/`)
  assert.match(page.stdout, /^HTTP\/1\.1 403 [\s\S]*UNAUTHORIZED[\s\S]*NO {2}policy[\s\S]*It does not work\./)
  const missing = await curl('--proxy', `http://${PROXY}`, '-i', `http://${nameOf('four')}/`)
  assert.match(missing.stdout, /^HTTP\/1\.1 404 [\s\S]*DESTINATION_NOT_FOUND/)
  const refused = await curl('--proxy', `socks5h://${PROXY}`, `http://${nameOf('three')}/`)
  assert.match(refused.stdout, /^warren: UNAUTHORIZED[\s\S]*NO {2}policy[\s\S]*It does not work\./)
  // At another port than that of HTTP nobody knows what the client speaks: it gets the number of SOCKS5.
  const byNumber = await curl('--proxy', `socks5h://${PROXY}`, `http://${nameOf('three')}:8080/`)
  assert.equal(byNumber.code, 97)
  assert.match(byNumber.stderr, /\(2\)/)
  await proxy.says(/UNAUTHORIZED.*warren explain dev\.user\.root\.default dev\.web\.three\.default/, 'stderr')
})

test('a program of another user or machine gets nothing from a proxy, unless its user is named', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { clientAgent, run, scope } = all
  await clientAgent.spawn(['proxy', '--listen', PROXY, '--as', 'dev.user.me.default']).says(/^127/m)
  const { code, stderr } = await clientAgent.attempt(['proxy', '--listen', '0.0.0.0:1082'])
  assert.equal(code, 2)
  assert.match(stderr, /can be reached from other machines\n {2}.*127\.0\.0\.1:PORT/)

  const url = `http://${nameOf('one')}/`
  const asOther = (proxy: string, ...args: string[]) => run(['curl', '-sS', '--proxy', proxy, ...args, url], OTHER)
  assert.match((await asOther(`http://${PROXY}`)).stdout, new RegExp(`uid ${OTHER} may not use this proxy`))
  assert.equal((await asOther(`socks5h://${PROXY}`)).code, 97)
  assert.equal((await asOther(`http://${PROXY}`, '-p')).code, 56)

  const second = '127.0.0.1:1081'
  await clientAgent.spawn(['proxy', '--listen', second, '--allow-uid', String(OTHER)]).says(/^127/m)
  assert.equal((await asOther(`socks5h://${second}`)).stdout, '<p>this is one</p>\n')
  assert.equal((await run(['curl', '-sS', '--proxy', `http://${second}`, url])).stdout, '<p>this is one</p>\n')

  const directory = scope.directory()
  chmodSync(directory, 0o755)
  const [own, shared] = [join(directory, 'own'), join(directory, 'shared')]
  await clientAgent.spawn(['proxy', '--listen', `unix:${own}`]).says(/^unix/m)
  await clientAgent.spawn(['proxy', '--listen', `unix:${shared}`, '--allow-uid', String(OTHER)]).says(/^unix/m)
  const ask = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b'GET ${url} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
print(s.makefile('rb').read().decode())`
  const viaPath = (path: string, uid?: number) => run(['/usr/bin/python3', '-c', ask, path], uid)
  assert.match((await viaPath(own)).stdout, /this is one/)
  assert.match((await viaPath(own, OTHER)).stderr, /PermissionError/)
  assert.match((await viaPath(shared, OTHER)).stdout, /this is one/)
  assert.match((await viaPath(shared, OTHER + 1)).stdout, /403 Forbidden/)
})

/** A SOCKS client of RFC 1928, section 7; as root, since it also sends as another user. What each step receives is a line. */
const UDP_CLIENT = `import os, socket, struct, sys
name, other = sys.argv[1].encode(), int(sys.argv[2])
control = socket.create_connection(('127.0.0.1', ${PROXY_PORT}))
control.sendall(b'\\x05\\x01\\x00' + b'\\x05\\x03\\x00\\x01' + bytes(6))
answer = control.makefile('rb').read(12)
relay = (socket.inet_ntoa(answer[6:10]), struct.unpack('>H', answer[10:12])[0])
def datagram(text, to=name): return b'\\0\\0\\0\\x03' + bytes([len(to)]) + to + struct.pack('>H', 53) + text
def send(text, to=name):
    own.sendto(datagram(text, to), relay)
if os.fork() == 0:
    os.setuid(other)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(datagram(b'of another user'), relay)
    os._exit(0)
os.wait()
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for text in (b'hello', b'x' * 1200):
    send(text)
    got = own.recv(65535)
    print(got == datagram(text), len(got), flush=True)
send(b'refused', b'dev.web.closed.default.warren')
sys.stdin.readline()
control.close()
own.connect(relay)
own.settimeout(1)
while True:
    try:
        own.send(datagram(b'too late'))
        own.recv(1)
    except ConnectionRefusedError:
        print('over', flush=True)
        break
    except TimeoutError:
        pass
`

test('a SOCKS client sends datagrams to a service of another host, for as long as its connection lasts', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { scope, server, client, serverAgent, clientAgent } = all
  const echo =
    'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 5353))\nprint("serves", flush=True)\nwhile True: data, at = s.recvfrom(65535); print(data[:20], flush=True); s.sendto(data, at)'
  const serving = new Program(scope, at({ host: server }, ['/usr/bin/python3', '-c', echo]))
  await serving.says(/serves/)
  for (const name of ['udp', 'closed'])
    await serverAgent.spawn(['expose', `dev.web.${name}.default`, '--udp', '127.0.0.1:5353']).says(/^dev\.web\..*$/m)
  await serverAgent.allow('dev.*.*.*', 'dev.web.udp.default')
  await Promise.all(['udp', 'closed'].map(name => clientAgent.knows(`dev.web.${name}.default`)))
  await clientAgent.follows(serverAgent)
  const proxy = clientAgent.spawn(['proxy', '--listen', PROXY])
  await proxy.says(/^127/m)
  const asking = new Program(
    scope,
    at({ host: client }, ['/usr/bin/python3', '-c', UDP_CLIENT, nameOf('udp'), String(OTHER)])
  )
  await asking.says(/^True \d+\nTrue 12\d\d$/m)
  await proxy.says(/UNAUTHORIZED.*warren explain dev\.user\.root\.default dev\.web\.closed\.default/, 'stderr')
  await proxy.says(/PERMISSION_DENIED: a datagram of another user came to the port of a SOCKS client/, 'stderr')
  asking.stdin.write('go on\n')
  await asking.says(/^over$/m)
  assert.doesNotMatch(serving.stdout, /another user|refused|late/)
})
