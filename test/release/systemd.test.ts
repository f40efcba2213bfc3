import assert from 'node:assert/strict'
import { basename, join } from 'node:path'
import test, { after, type TestContext } from 'node:test'
import { createHosts, type Host, Program, type Scope, scopeOf, waitFor } from '../harness/index.ts'
import { laterDeb, Release, releaseOptions } from './support/released.ts'
import { SystemdRoot, whyNoSystemd } from './support/systemd-root.ts'

const why = whyNoSystemd()
const options = why === undefined ? releaseOptions : { skip: why }
const SITE = 'dev.web.site.default'
const SERVER = 'import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind="127.0.0.1")'
const FLOWS_PROGRAM = join(import.meta.dirname, 'support', 'patterned-flows.ts')
/** `npm run test:restarts`: as many as the guarantee names. */
const IS_FULL = process.env['TEST_UPGRADES'] === 'full'
const FLOWS = IS_FULL ? 100 : 8
const RESTARTS = IS_FULL ? 20 : 1
/** Both hosts resume flows. */
const RESUMES = 'WARREN_RESUME_WINDOW=60s'
/** Within which an agent that was killed is back: one second of the unit, and the start. */
const MAX_BACK_MS = 3_000

const scope = scopeOf({ after: release => after(release as () => void) })
let release: Release | undefined

/** The release, made once. */
function released(): Release {
  release ??= Release.any(scope, { without: 'rpm,image' })
  return release
}

function deb(): string {
  return released().file(/\.deb$/)
}

async function twoHosts(
  own: Scope,
  files: Readonly<Record<string, string>>
): Promise<{ readonly roots: [SystemdRoot, SystemdRoot]; readonly hosts: [Host, Host] }> {
  const [a, b] = await createHosts(own, 'a', 'b')
  return { hosts: [a, b], roots: [await SystemdRoot.boot(own, a, files), await SystemdRoot.boot(own, b, files)] }
}

function install(root: SystemdRoot, file = 'warren.deb'): void {
  root.run('dpkg', '--install', '--force-depends', `/given/${file}`)
}

/** Says how the agent starts, and starts it now and at each boot. */
function enable(root: SystemdRoot, ...lines: readonly string[]): void {
  root.run('sh', '-c', `printf '%s\\n' "$@" >> /etc/warren/warren.env`, 'sh', ...lines)
  root.run('systemctl', 'enable', '--now', 'warren')
}

function mainPid(root: SystemdRoot): string {
  return root.property('warren.service', 'MainPID')
}

/** Nothing that the unit forbids is what an agent needs. */
function assertNothingWasForbidden(root: SystemdRoot): void {
  const log = root.run('journalctl', '--unit', 'warren', '--output', 'cat', '--no-pager')
  assert.doesNotMatch(log, /EPERM|EACCES|EROFS|ENOSYS/)
}

test('under systemd: install, up, join, serve, kill, upgrade, remove, purge', options, async t => {
  const own = scopeOf(t)
  const later = laterDeb(own, deb(), '99.0.0')
  const { roots } = await twoHosts(own, { 'warren.deb': deb(), 'later.deb': later })
  const [a, b] = roots
  for (const root of [a, b]) {
    install(root)
    // It has no mesh yet.
    assert.equal(root.property('warren.service', 'ActiveState'), 'inactive')
    assert.match(root.run('id', 'warren'), /^uid=\d+\(warren\)/)
    assert.equal(root.run('systemd-analyze', 'verify', 'warren.service'), '')
  }

  enable(a, 'WARREN_UP_OPTIONS="--init example.org"')
  // Type=notify: once the command is back, the agent serves.
  assert.match(a.run('warren', 'status'), /example\.org/)
  assert.equal(a.property('warren.service', 'StatusText'), 'ready: a of example.org')
  enable(b, `WARREN_JOIN_TOKEN=${a.run('warren', 'token', 'create', 'b').trim()}`)
  assert.match(b.run('warren', 'status'), /example\.org/)
  for (const root of [a, b]) assertConfined(root)

  new Program(own, a.enter('python3', '-c', SERVER))
  const expose = new Program(own, a.enter('warren', 'expose', SITE, '--tcp', '127.0.0.1:8080'))
  await expose.says(/dev\.web\.site\.default\.a/)
  a.run('warren', 'allow', 'dev.*.*.*', SITE)
  const forward = new Program(own, b.enter('warren', 'forward', SITE, '--listen', '127.0.0.1:9090'))
  await forward.says(/127\.0\.0\.1:9090/)
  await answers(b)

  await backAfterKill(t, a)
  await answers(b)

  const before = mainPid(a)
  install(a, 'later.deb')
  assert.notEqual(mainPid(a), before)
  assert.equal(a.property('warren.service', 'ActiveState'), 'active')
  await answers(b)
  for (const root of [a, b]) assertNothingWasForbidden(root)

  a.run('dpkg', '--remove', 'warren')
  assert.equal(a.property('warren.service', 'LoadState'), 'not-found')
  assert.throws(() => a.run('pgrep', '--exact', 'warren'))
  a.run('test', '-s', '/etc/warren/warren.env')
  assert.match(a.run('dpkg', '--purge', 'warren'), /stay in \/var\/lib\/warren/)
  assert.throws(() => a.run('test', '-e', '/etc/warren'))
  // Its keys are there, and a new installation has the same host.
  install(a)
  a.run('systemctl', 'start', 'warren')
  assert.match(a.run('warren', 'status'), /example\.org/)
})

test(
  'flows continue with every byte over restarts of either agent by systemd, and a stop resets them',
  options,
  async t => {
    const own = scopeOf(t)
    const { roots, hosts } = await twoHosts(own, { 'warren.deb': deb() })
    const [a, b] = roots
    for (const root of roots) install(root)
    enable(a, 'WARREN_UP_OPTIONS="--init example.org"', RESUMES)
    enable(b, `WARREN_JOIN_TOKEN=${a.run('warren', 'token', 'create', 'b').trim()}`, RESUMES)
    const [near, far] = hosts
    const server = new Program(own, near.enter([process.execPath, FLOWS_PROGRAM, 'server', '8080']))
    await server.says(/listens/)
    const expose = new Program(
      own,
      a.enter('warren', 'expose', SITE, '--tcp', '127.0.0.1:8080', '--server-user', 'any')
    )
    await expose.says(/dev\.web\.site\.default\.a/)
    a.run('warren', 'allow', 'dev.*.*.*', SITE)
    const forward = new Program(own, b.enter('warren', 'forward', SITE, '--listen', '127.0.0.1:9090'))
    await forward.says(/127\.0\.0\.1:9090/)
    await waitFor(() => b.run('warren', 'services').includes(SITE), 'the server to be known')
    const client = new Program(own, far.enter([process.execPath, FLOWS_PROGRAM, 'client', '9090', String(FLOWS)]))
    await client.says(/"open"/)
    const said = (): string[] => client.stdout.trim().split('\n')
    const stillMs: number[] = []
    for (let round = 0; round < RESTARTS * 2; round += 1) {
      const root = round % 2 === 0 ? b : a
      const former = mainPid(root)
      root.run('systemctl', 'restart', 'warren')
      assert.notEqual(mainPid(root), former)
      client.stdin.write('move\n')
      await waitFor(() => said().length === round + 2, 'the flows to move', 60_000)
      const { faults, ...moved } = JSON.parse(said().at(-1) ?? '') as { faults: string[]; stillMs: number[] }
      assert.deepEqual(faults, [])
      stillMs.push(...moved.stillMs)
      // Nothing keeps open what the agent closes.
      assert.equal(root.property('warren.service', 'NFileDescriptorStore'), '0')
    }
    const sorted = stillMs.toSorted((one, other) => one - other)
    t.diagnostic(
      `interactive flows stood still for ${sorted.at(sorted.length >> 1)} ms (median), ${sorted.at(-1)} ms at most`
    )
    b.run('systemctl', 'stop', 'warren')
    client.stdin.end('move\n')
    await client.says(/ECONNRESET/)
  }
)

test(
  'systemctl reload ends when a change is served, touches no flow, and fails with the reason of a wrong file',
  options,
  async t => {
    const own = scopeOf(t)
    const [host] = await createHosts(own, 'a')
    const root = await SystemdRoot.boot(own, host, { 'warren.deb': deb() })
    install(root)
    const declare = (name: string, text: string): void => {
      root.run('sh', '-c', 'printf "%s" "$2" > /etc/warren/conf.d/$1', 'sh', name, text)
    }
    const forward = (port: number): string =>
      `forwards: [{ destination: ${SITE}, listen: "127.0.0.1:${port}", as: dev.shop.till.default, user: root }]\n`
    const service = `services: [{ address: ${SITE}, user: root, tcp: "127.0.0.1:8080", server-user: any }]\n`
    declare('site.yaml', service + forward(9090))
    const server = new Program(own, host.enter([process.execPath, FLOWS_PROGRAM, 'server', '8080']))
    await server.says(/listens/)
    enable(root, 'WARREN_UP_OPTIONS="--init example.org"')
    root.run('warren', 'allow', 'dev.*.*.*', SITE)
    await waitFor(() => echoes(host, 9090), 'the first flow', 30_000)
    const flows = new Program(own, host.enter([process.execPath, FLOWS_PROGRAM, 'client', '9090', '8']))
    await flows.says(/"open"/)
    const moved = async (): Promise<void> => {
      const seen = flows.stdout.trim().split('\n').length
      flows.stdin.write('move\n')
      await waitFor(() => flows.stdout.trim().split('\n').length > seen, 'the flows to move', 60_000)
      const last = JSON.parse(flows.stdout.trim().split('\n').at(-1) ?? '') as { readonly faults: string[] }
      assert.deepEqual(last.faults, [])
    }
    const agent = mainPid(root)
    const served = 'ready: a of example.org'

    declare('later.yaml', forward(9091))
    root.run('systemctl', 'reload', 'warren')
    // Without a wait.
    assert.ok(echoes(host, 9091))
    assert.equal(root.property('warren.service', 'StatusText'), served)
    await moved()

    declare('later.yaml', 'forward: []\n')
    assert.throws(() => root.run('systemctl', 'reload', 'warren'), /Job for warren\.service failed/)
    assert.equal(root.property('warren.service', 'ActiveState'), 'active')
    const wrong = /later\.yaml:1:1: unknown key "forward".*Did you mean "forwards"/
    const text = root.property('warren.service', 'StatusText')
    assert.ok(text.startsWith(`${served}; not reloaded: `), text)
    assert.match(text, wrong)
    const log = root.run('journalctl', '--unit', 'warren', '--output', 'cat', '--no-pager')
    assert.match(log, /^warren: INVALID_CONFIG: .*later\.yaml:1/m)
    for (const port of [9090, 9091]) assert.ok(echoes(host, port))
    await moved()

    // As somebody does who knows no command of it.
    root.run('rm', '/etc/warren/conf.d/later.yaml')
    root.run('systemctl', 'kill', '--kill-whom=main', '--signal=HUP', 'warren')
    await waitFor(() => root.property('warren.service', 'StatusText') === served, 'the reload after a signal')
    await waitFor(() => root.property('warren.service', 'ActiveState') === 'active', 'the end of that reload')
    assert.ok(!echoes(host, 9091))
    await moved()
    assert.equal(mainPid(root), agent)
    assertNothingWasForbidden(root)
  }
)

test('an agent that stands still is started again by the watchdog of its unit', options, async t => {
  const own = scopeOf(t)
  const [host] = await createHosts(own, 'a')
  const root = await SystemdRoot.boot(own, host, { 'warren.deb': deb() })
  install(root)
  enable(root, 'WARREN_UP_OPTIONS="--init example.org"')
  assert.equal(root.property('warren.service', 'WatchdogUSec'), '30s')
  // As an administrator would, for a test that ends sooner.
  root.run(
    'sh',
    '-c',
    'mkdir -p /run/systemd/system/warren.service.d && printf "[Service]\\nWatchdogSec=2\\n" > /run/systemd/system/warren.service.d/test.conf'
  )
  root.run('systemctl', 'daemon-reload')
  root.run('systemctl', 'restart', 'warren')
  const stopped = mainPid(root)
  root.run('kill', '-STOP', stopped)
  await waitFor(() => !['0', stopped].includes(mainPid(root)) && root.run('warren', 'status'), 'another agent', 30_000)
  // No core dump holds its keys.
  assert.equal(root.run('sh', '-c', 'ls /var/lib/systemd/coredump 2>/dev/null || true'), '')
})

test('install.sh installs what systemd runs, and removes it', options, async t => {
  const own = scopeOf(t)
  const [host] = await createHosts(own, 'a')
  const names = [/^install\.sh$/, /^SHA256SUMS$/, /^SHA256SUMS\.sig$/, /^release\.pub$/, /\.tar\.gz$/]
  const files = names.map(name => released().file(name)).map(file => [basename(file), file])
  const root = await SystemdRoot.boot(own, host, Object.fromEntries(files))
  const install = (...args: readonly string[]) => root.run('sh', '/given/install.sh', ...args)
  install('--key', '/given/release.pub')
  assert.equal(root.run('systemd-analyze', 'verify', 'warren.service'), '')
  assert.equal(root.property('warren.service', 'FragmentPath'), '/etc/systemd/system/warren.service')
  enable(root, 'WARREN_UP_OPTIONS="--init example.org"')
  assert.match(root.run('/usr/local/bin/warren', 'status'), /example\.org/)
  assertConfined(root)
  const running = mainPid(root)
  install('--key', '/given/release.pub')
  assert.notEqual(mainPid(root), running)

  install('--uninstall')
  assert.equal(root.property('warren.service', 'LoadState'), 'not-found')
  assert.throws(() => root.run('pgrep', '--exact', 'warren'))
  root.run('test', '-d', '/var/lib/warren')
  install('--key', '/given/release.pub')
  install('--uninstall', '--purge')
  for (const path of ['/var/lib/warren', '/etc/warren', '/usr/local/bin/warren'])
    assert.throws(() => root.run('test', '-e', path))
})

function assertConfined(root: SystemdRoot): void {
  const status = root.run('cat', `/proc/${mainPid(root)}/status`)
  assert.match(status, new RegExp(`^Uid:\\s${root.run('id', '-u', 'warren').trim()}\\s`, 'm'))
  assert.match(status, /^CapEff:\s0000000000080003$/m)
  assert.match(status, /^NoNewPrivs:\s1$/m)
  assert.match(status, /^Seccomp:\s2$/m)
}

/** Whether a new connection to the port leads to the server that returns what it gets. */
function echoes(host: Host, port: number): boolean {
  const program =
    'import socket, sys; s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10); s.sendall(b"x"); assert s.recv(1) == b"x"'
  try {
    host.run('python3', '-c', program, String(port))
    return true
  } catch {
    return false
  }
}

async function answers(root: SystemdRoot): Promise<void> {
  const curl = ['curl', '--silent', '--fail', '--max-time', '5', 'http://127.0.0.1:9090/etc/hostname']
  const answer = await waitFor(() => root.run(...curl), 'an answer over two hosts', 30_000)
  assert.equal(answer.trim(), 'a')
}

async function backAfterKill(t: TestContext, root: SystemdRoot): Promise<void> {
  const killed = mainPid(root)
  root.run('kill', '-KILL', killed)
  const startedMs = performance.now()
  const isBack = (): boolean =>
    root.property('warren.service', 'ActiveState') === 'active' && !['0', killed].includes(mainPid(root))
  await waitFor(isBack, 'the agent to be back')
  const backMs = Math.round(performance.now() - startedMs)
  t.diagnostic(`back ${backMs} ms after kill -9, and at most ${MAX_BACK_MS} are promised`)
}
