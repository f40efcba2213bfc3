import assert from 'node:assert/strict'
import { globSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  at,
  createHosts,
  type Host,
  isInstalled,
  needsCommand,
  needsRoot,
  type Outcome,
  Program,
  type Scope,
  scopeOf,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'
import { userNamed } from '../programs/support/users.ts'

const SITES = ['one', 'two', 'three'] as const
const OTHER = 61_311
const DNS = '127.0.0.1:5300'
const nameOf = (site: string): string => `dev.web.${site}.default.warren`

interface Mesh {
  readonly scope: Scope
  readonly client: Host
  readonly server: Host
  readonly serverAgent: TestAgent
  readonly clientAgent: TestAgent
  /** Runs a program on the client's host to its end. */
  readonly run: (argv: readonly string[], uid?: number) => Promise<Outcome>
  /** What dig prints of one question. */
  readonly dig: (...args: string[]) => Promise<string>
  readonly startDns: (...args: string[]) => Promise<Program>
}

/** Three sites on one host, of which the first two may be reached from the other; there, dnsmasq sends names to `warren dns`. */
async function mesh(t: TestContext): Promise<Mesh | undefined> {
  const commands = ['curl', 'python3', 'dig', 'dnsmasq']
  if (!needsRoot(t) || !commands.every(command => needsCommand(t, command))) return undefined
  const scope = scopeOf(t)
  const [server, client] = await createHosts(scope, 'server', 'client')
  const [serverAgent, clientAgent] = await startPair(scope, { hosts: [server, client], args: ['--no-mdns'] })
  for (const [index, site] of SITES.entries()) {
    const directory = join(scope.directory(), 'www')
    mkdirSync(directory)
    writeFileSync(join(directory, 'index.html'), `<p>this is ${site}</p>\n`)
    const port = 8080 + index
    const serving = ['python3', '-um', 'http.server', '-d', directory, '--bind', '127.0.0.1', String(port)]
    await new Program(scope, at({ host: server }, serving)).says(/Serving HTTP/)
    const expose = ['expose', `dev.web.${site}.default`, '--tcp', `127.0.0.1:${port}`, '--port', '80']
    await serverAgent.spawn([...expose, '--port', '8443']).says(/^dev\.web\..*$/m)
  }
  await serverAgent.allow('dev.*.*.*', 'dev.web.{one,two}.default')
  await Promise.all(SITES.map(site => clientAgent.knows(`dev.web.${site}.default`)))
  await clientAgent.follows(serverAgent)
  const resolv = join(scope.directory(), 'resolv.conf')
  writeFileSync(resolv, 'nameserver 127.0.0.1\n')
  client.run('mount', '--bind', resolv, '/etc/resolv.conf')
  const flags = ['--no-resolv', '--no-hosts', '--listen-address=127.0.0.1', '--bind-interfaces', '--log-facility=-']
  const dnsmasq = new Program(
    scope,
    at({ host: client }, ['dnsmasq', '-k', ...flags, `--server=/warren/${DNS.replace(':', '#')}`])
  )
  await dnsmasq.says(/started/, 'stderr')
  const run = async (argv: readonly string[], uid?: number): Promise<Outcome> => {
    const program = new Program(scope, at({ host: client, ...(uid !== undefined && { uid }) }, argv))
    program.stdin.end()
    return await program.outcome()
  }
  const dig = async (...args: string[]): Promise<string> => {
    const options = ['+tries=1', '+time=5', '+noall', '+comments', '+answer']
    return (await run(['dig', ...options, '@127.0.0.1', '-p', '5300', ...args])).stdout
  }
  const startDns = async (...args: string[]): Promise<Program> => {
    const program = clientAgent.spawn(['dns', '--listen', DNS, ...args])
    await program.says(/^127\.0\.0\.1:5300$/m)
    return program
  }
  return { scope, server, client, serverAgent, clientAgent, run, dig, startDns }
}

const addressIn = (answer: string): string => /\sA\s+(\S+)/.exec(answer)?.[1] ?? ''

test('curl reaches services of another host by their names, at the ports that they declare', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { run, dig, startDns } = all
  await startDns('--scope', 'dev')
  for (const site of ['one', 'two']) {
    const page = `<p>this is ${site}</p>\n`
    for (const url of [
      `http://${nameOf(site)}/`,
      `http://web.${site}.warren:8443/`,
      `http://dev.web.${site}.default.a.warren/`
    ]) {
      const { stdout, stderr } = await run(['curl', '-sS', '--noproxy', '*', url])
      assert.equal(stdout, page, `${url} ${stderr}`)
    }
  }
  const addresses = await Promise.all(['one', 'two'].map(async site => addressIn(await dig(nameOf(site)))))
  assert.notEqual(addresses[0], addresses[1])
  const [upper, short, tcp, six, srv] = await Promise.all([
    dig(nameOf('one').toUpperCase()),
    dig('web.one.warren'),
    dig('+tcp', nameOf('one')),
    dig('-t', 'AAAA', nameOf('one')),
    dig('-t', 'SRV', `_http._tcp.${nameOf('one')}`)
  ])
  for (const answer of [upper, short, tcp]) assert.equal(addressIn(answer), addresses[0])
  assert.match(six, /status: NOERROR[\s\S]*ANSWER: 0/)
  assert.match(srv, /SRV\s+0 0 80 dev\.web\.one\.default\.warren\.\n.*SRV\s+1 0 8443 /)
})

test('a refused or unknown name does not exist, or leads to a page that says why, as does a text; other names are refused', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { run, dig, startDns, serverAgent, clientAgent } = all
  await startDns()
  const why =
    /UNAUTHORIZED: no rule and no whitelist entry allows it \(Each check: warren explain dev\.user\.root\.default dev\.web\.three\.default/
  // One that declares the port of HTTP has an address, for that page; another one has none.
  assert.match(
    await dig(nameOf('three')),
    new RegExp(`status: NOERROR[\\s\\S]*EDE: 18[\\s\\S]*${why.source}[\\s\\S]*\\sA\\s`)
  )
  const expose = ['expose', 'dev.web.three.other', '--tcp', '127.0.0.1:8080', '--port', '8443']
  await serverAgent.spawn(expose).says(/^dev\.web\..*$/m)
  await clientAgent.knows('dev.web.three.other')
  const closed = /status: NXDOMAIN[\s\S]*EDE: 18[\s\S]*UNAUTHORIZED/
  await waitFor(async () => closed.test(await dig('dev.web.three.other.warren')) || undefined, 'the refusal')
  assert.match(await dig('-t', 'TXT', nameOf('three')), new RegExp(`status: NOERROR[\\s\\S]*TXT\\s+"${why.source}`))
  const page = await run(['curl', '-sSi', '--noproxy', '*', `http://${nameOf('three')}/`])
  assert.match(
    page.stdout,
    new RegExp(`^HTTP/1\\.1 403 [\\s\\S]*${why.source}[\\s\\S]*NO +policy[\\s\\S]*It does not work`)
  )
  const atOther = await run(['curl', '-sS', '--noproxy', '*', `http://${nameOf('three')}:8443/`])
  assert.ok([52, 56].includes(atOther.code ?? 0), atOther.stdout)
  assert.match((await run(['dig', '+short', '-t', 'TXT', nameOf('three')])).stdout, why)
  assert.match(await dig('-t', 'TXT', nameOf('nine')), /TXT\s+"no service dev\.web\.nine\.default is known/)
  assert.match(await dig(nameOf('nine')), /status: NXDOMAIN/)
  assert.match(await dig('example.com'), /status: REFUSED/)
  assert.match(await dig('-x', '127.64.0.1'), /status: REFUSED/)
  // A rule opens it, and a service that declares no port says so.
  await serverAgent.allow('dev.*.*.*', 'dev.*.*.*')
  await clientAgent.follows(serverAgent)
  const portless = ['expose', 'dev.web.portless.default', '--tcp', '127.0.0.1:8080']
  await serverAgent.spawn(portless).says(/^dev\.web\..*$/m)
  await clientAgent.knows('dev.web.portless.default')
  await waitFor(async () => addressIn(await dig(nameOf('three'))).startsWith('127.'), 'the name to exist')
  const reason = /TXT\s+"dev\.web\.portless\.default declares no port: /
  await waitFor(async () => reason.test(await dig('-t', 'TXT', nameOf('portless'))), 'the reason')
})

test('a name keeps its address over a restart, and a program of another user gets nothing at it', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { run, dig, startDns, clientAgent } = all
  const first = await startDns()
  const address = addressIn(await dig(nameOf('one')))
  first.signal('SIGTERM')
  assert.equal((await first.outcome()).code, 0)
  const atAddress = ['curl', '-sS', '--noproxy', '*', `http://${address}/`]
  assert.equal((await run(atAddress)).code, 7)
  const second = await startDns()
  // Before anybody has asked for the name again.
  assert.equal((await run(atAddress)).stdout, '<p>this is one</p>\n')
  assert.equal(addressIn(await dig(nameOf('one'))), address)
  const busy = await clientAgent.attempt(['dns', '--listen', '127.0.0.1:5301'])
  assert.equal(busy.code, 1)
  assert.match(busy.stderr, /another warren dns keeps its addresses in \/var\/lib\/warren-dns\n.*--state-dir/)
  const outside = await clientAgent.attempt(['dns', '--listen', '0.0.0.0:5301'])
  assert.match(outside.stderr, /can be reached from other machines\n {2}.*127\.0\.0\.1:PORT/)

  const url = `http://${nameOf('one')}/`
  const denied = await run(['curl', '-sS', '--noproxy', '*', url], OTHER)
  assert.notEqual(denied.code, 0)
  assert.equal(denied.stdout, '')
  await second.says(new RegExp(`uid ${OTHER} may not use these names`), 'stderr')
  second.signal('SIGTERM')
  await second.outcome()
  await startDns('--allow-uid', String(OTHER), '--as', 'dev.shop.cart.default')
  assert.equal((await run(['curl', '-sS', '--noproxy', '*', url], OTHER)).stdout, '<p>this is one</p>\n')
  assert.match(await dig('-t', 'TXT', nameOf('one')), /"as dev\.shop\.cart\.default"/)
})

test('the programs of each user connect as their own user, or as the address that is given for it', async t => {
  const all = await mesh(t)
  if (all === undefined) return
  const { run, startDns, serverAgent, clientAgent } = all
  const [configured, own] = [OTHER, OTHER + 1]
  await serverAgent.allow(`dev.user.uid-${own}.default`, 'dev.web.three.default')
  await clientAgent.follows(serverAgent)
  const dns = await startDns('--each-user', '--allow-uid', `${configured}=dev.shop.cart.default`)
  const curl = (site: string, uid?: number): Promise<Outcome> =>
    run(['curl', '-sS', '--noproxy', '*', `http://${nameOf(site)}/`], uid)
  assert.equal((await curl('three', own)).stdout, '<p>this is three</p>\n')
  assert.equal((await curl('one', configured)).stdout, '<p>this is one</p>\n')
  for (const [uid, source] of [
    [configured, 'dev.shop.cart.default'],
    [undefined, 'dev.user.root.default']
  ] as const) {
    // The checks are for the operator, as those of `explain` are.
    const { stdout } = await curl('three', uid)
    assert.match(stdout, new RegExp(`^warren: UNAUTHORIZED[\\s\\S]*${source}`))
    assert.equal(/NO +policy/.test(stdout), uid === undefined)
    await dns.says(new RegExp(`UNAUTHORIZED.*warren explain ${source} dev\\.web\\.three\\.default`), 'stderr')
  }
  // Asked without a resolver between, a text is about who asks.
  const text = async (site: string, uid: number): Promise<string> =>
    (await run(['dig', '+short', '@127.0.0.1', '-p', '5300', 'TXT', nameOf(site)], uid)).stdout
  assert.match(await text('three', own), new RegExp(`"as dev\\.user\\.uid-${own}\\.default"`))
  assert.match(await text('three', configured), /UNAUTHORIZED.*warren explain dev\.shop\.cart\.default/)
  const wrong = await clientAgent.attempt(['dns', '--allow-uid', `${own}=nonsense`])
  assert.match(wrong.stderr, new RegExp(`names no address\\n {2}Write it as ${own}=dev\\.shop\\.cart\\.default`))
})

test('psql connects by the name of a database, with its usual port', async t => {
  const [bin] = globSync('/usr/lib/postgresql/*/bin')
  if (bin === undefined || !isInstalled('psql')) {
    t.skip('needs PostgreSQL, which is not installed')
    return
  }
  const all = await mesh(t)
  if (all === undefined) return
  const { scope, server, serverAgent, clientAgent, run, startDns } = all
  const data = join(scope.directory(), 'data')
  const uid = userNamed('postgres')
  const own = (argv: readonly string[]) => new Program(scope, at({ host: server, uid }, argv))
  await new Program(scope, ['install', '-d', '-o', String(uid), data]).outcome()
  await new Program(scope, ['chmod', '755', join(data, '..')]).outcome()
  const made = await own([join(bin, 'initdb'), '-D', data, '-U', 'postgres', '-A', 'trust', '-N']).outcome()
  assert.equal(made.code, 0, made.stderr)
  const settings = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=off']
  await own([join(bin, 'postgres'), '-D', data, ...settings]).says(/ready to accept/, 'stderr')
  const target = ['--tcp', '127.0.0.1:5432', '--server-user', String(uid)]
  await serverAgent.spawn(['expose', 'dev.db.main.default', ...target, '--port', '5432']).says(/^dev\.db\..*$/m)
  await serverAgent.allow('dev.*.*.*', 'dev.db.*.*')
  await clientAgent.knows('dev.db.main.default')
  await clientAgent.follows(serverAgent)
  await startDns('--scope', 'dev')
  for (const name of ['db.main.warren', 'dev.db.main.default.warren']) {
    const { stdout, stderr } = await run(['psql', '-h', name, '-U', 'postgres', '-qAtc', 'select 6 * 7', 'postgres'])
    assert.equal(stdout, '42\n', stderr)
  }
})
