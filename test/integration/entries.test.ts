import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import {
  asRoot,
  at,
  needsCommand,
  Program,
  programsForOthers,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor,
  warren
} from '../harness/index.ts'

const OWNER = 61_234
const OTHER = 61_235
const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

/** An agent that runs as root, whose sockets every user can reach. */
async function startRoot(scope: Scope): Promise<TestAgent> {
  const a = new TestAgent(scope, { name: 'a', args: [] })
  await a.start(['--init', 'example.org'])
  chmodSync(dirname(a.runtimeDir), 0o755)
  return a
}

/** `warren ARGS` against an agent as `uid`. */
function as(scope: Scope, agent: TestAgent, uid: number, ...args: string[]): Program {
  return warren(scope, args, { uid }, agent.runtimeDir)
}

// Asks to register an address over the agent's socket and then stays, so that the registration does.
const REGISTER = `
  const [socketPath, address, after] = process.argv.slice(1)
  const body = JSON.stringify({ address })
  const request = require('node:http').request({
    socketPath,
    path: '/warren.api.v1.WorkloadService/Register',
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  }, response => response.on('data', chunk => process.stdout.write(chunk)).on('end', () => console.log(' END')))
  request.end(body)
  if (after === 'stay') setInterval(() => {}, 1000)`

function registering(scope: Scope, agent: TestAgent, uid: number, exe: string, address: string): Program {
  return new Program(scope, at({ uid }, [exe, '-e', REGISTER, agent.socket, address, 'stay']))
}

async function registrations(agent: TestAgent): Promise<number> {
  return (await agent.status()).registrations ?? 0
}

test('a user registers what an entry grants and nothing else, for as long as it is granted', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  await a.allow('dev.*.*.*', 'dev.*.*.*')

  const holder = new Program(scope, at({ uid: OTHER }, ['sleep', '600']))
  const held = ['--pid', String(holder.pid)]
  const before = await as(scope, a, OTHER, 'register', SITE, ...held).outcome()
  assert.equal(before.code, 1)
  assert.match(before.stderr, /PERMISSION_DENIED: no entry grants dev\.web\.site\.default\.a to uid 61235/)
  assert.match(before.stderr, /warren entry add --machine a --uid 61235 dev\.web\.site\.default/)

  const id = (await a.cli('entry', 'add', '--uid', String(OTHER), 'dev.web.*.default')).trim()
  const serve = as(scope, a, OTHER, 'serve', SITE)
  await serve.says(/serving/, 'stderr')
  const client = a.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  client.stdin.write('hello from root\n')
  await serve.says(/hello from root/)

  // Neither another address nor another user.
  assert.match((await as(scope, a, OTHER, 'register', SHOP, ...held).outcome()).stderr, /no entry grants dev\.shop/)
  const own = new Program(scope, at({ uid: OWNER }, ['sleep', '600']))
  const owner = await as(scope, a, OWNER, 'register', SITE, '--pid', String(own.pid)).outcome()
  assert.match(owner.stderr, new RegExp(`entry ${id} does not grant .*: its uid is ${OWNER}`))

  // Nor in the name of a process of another user.
  const lent = await as(scope, a, OWNER, 'register', SITE, ...held).outcome()
  assert.match(lent.stderr, /INVALID_SOURCE|PERMISSION_DENIED/)

  await a.cli('entry', 'remove', id)
  await serve.says(/no longer granted|ended/, 'stderr')
  await waitFor(async () => (await registrations(a)) === 0, 'the registrations to end')
})

test('strict takes the addresses of root and of the agent’s user away until an entry grants them', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await a.cli('entry', 'strict', 'on')
  await waitFor(async () => (await registrations(a)) === 0, 'the registration of root to end')
  assert.match((await a.attempt(['register', SITE])).stderr, /PERMISSION_DENIED: no entry grants .*strict is on/)
  await a.cli('entry', 'add', '--user', 'root', 'dev.web.*.*')
  assert.equal((await a.attempt(['register', SITE])).code, 0)
  await a.cli('entry', 'strict', 'off')
  assert.equal((await a.attempt(['register', SHOP])).code, 0)
})

test(
  'an entry for an executable grants to this file under this path, or to this content, and to no other',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const a = await startRoot(scope)
    const directory = scope.directory()
    chmodSync(directory, 0o755)
    const [trusted, other] = [join(directory, 'trusted'), join(directory, 'other')]
    for (const path of [trusted, other]) {
      copyFileSync(realpathSync(process.execPath), path)
      chmodSync(path, 0o755)
    }
    await a.cli('entry', 'add', '--uid', String(OTHER), '--exe', trusted, SITE)
    await registering(scope, a, OTHER, trusted, SITE).says(/"token".* END/)
    const denied = await registering(scope, a, OTHER, other, SITE).says(/"message":".*END/)
    assert.match(denied[0], new RegExp(`its executable is ${other}`))

    // By content any path will do, and another content none.
    const sha256 = createHash('sha256').update(readFileSync(trusted)).digest('hex')
    await a.cli('entry', 'add', '--uid', String(OTHER), '--sha256', sha256, SHOP)
    const begun = performance.now()
    await registering(scope, a, OTHER, other, SHOP).says(/"token".* END/)
    t.diagnostic(
      `first registration by hash: ${Math.round(performance.now() - begun)} ms, with the start of the program`
    )
    await a.cli('entry', 'add', '--uid', String(OTHER), '--sha256', '0'.repeat(64), 'dev.none.x.default')
    await registering(scope, a, OTHER, other, 'dev.none.x.default').says(/PERMISSION_DENIED.*hash of the executable/)
  }
)

test('an executable that was replaced after its start is not what its path says', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  const directory = scope.directory()
  chmodSync(directory, 0o755)
  const exe = join(directory, 'server')
  copyFileSync(realpathSync(process.execPath), exe)
  chmodSync(exe, 0o755)
  await a.cli('entry', 'add', '--uid', String(OTHER), '--exe', exe, SITE)
  const late = `console.log('running'); process.stdin.once('data', () => {${REGISTER}})`
  const program = new Program(scope, at({ uid: OTHER }, [exe, '-e', late, a.socket, SITE, 'stay']))
  await program.says(/running/)
  await waitFor(() => readlinkSync(`/proc/${program.pid}/exe`) === exe, 'the program to run')
  const replacement = `${exe}.new`
  copyFileSync('/bin/true', replacement)
  renameSync(replacement, exe)
  program.stdin.write('go\n')
  await program.says(/PERMISSION_DENIED.*its executable is not established/)
})

/** A new cgroup of version 2 that goes with the test, as the kernel names it and where it is; undefined without any. */
function makeCgroup(scope: Scope, name: string): { path: string; directory: string } | undefined {
  const mount = / (\S+) cgroup2 /.exec(readFileSync('/proc/mounts', 'utf8'))?.[1]
  if (mount === undefined) return undefined
  const directory = join(mount, name)
  try {
    mkdirSync(directory)
  } catch {
    return undefined
  }
  scope.defer(() => rmdirSync(directory))
  return { path: `/${name}`, directory }
}

test(
  'an entry for a systemd unit or a cgroup grants to what runs in it, and one for a group to its members',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const a = await startRoot(scope)
    const unit = `warren-test-${process.pid}.service`
    const cgroup = makeCgroup(scope, unit)
    if (cgroup === undefined) {
      t.skip('needs a cgroup file system of version 2 that can be written')
      return
    }
    await a.cli('entry', 'add', '--unit', unit, SITE)
    await a.cli('entry', 'add', '--uid', String(OTHER), '--cgroup', cgroup.path, SHOP)
    await a.cli('entry', 'add', '--group', 'tty', 'dev.tty.x.default')
    const inside = (uid: number, address: string): Program => {
      // As the service manager does: moved there as root, and another user's from then on.
      const move = ['/bin/sh', '-c', 'echo $$ >"$0" && exec "$@"', join(cgroup.directory, 'cgroup.procs')]
      return new Program(scope, [
        ...move,
        ...at({ uid }, [process.execPath, '-e', REGISTER, a.socket, address, 'stay'])
      ])
    }
    const outside = (uid: number, address: string): Program => registering(scope, a, uid, process.execPath, address)

    const all: Program[] = []
    const says = async (program: Program, pattern: RegExp): Promise<void> => {
      all.push(program)
      await program.says(pattern)
    }
    await says(inside(OTHER, SITE), /"token".* END/)
    await says(outside(OTHER, SITE), /PERMISSION_DENIED.*its systemd unit is not established/)
    await says(inside(OTHER, SHOP), /"token".* END/)
    await says(inside(OWNER, SHOP), new RegExp(`PERMISSION_DENIED.*its uid is ${OWNER}`))
    await says(outside(OTHER, SHOP), /PERMISSION_DENIED.*its cgroup is/)

    const tty = /^tty:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1] ?? '5'
    const groups = ['setpriv', `--reuid=${OTHER}`, `--regid=${OTHER}`, `--groups=${tty}`, '--']
    const argv = [programsForOthers().node, '-e', REGISTER, a.socket, 'dev.tty.x.default', 'stay']
    await says(new Program(scope, [...groups, ...argv]), /"token".* END/)
    await says(outside(OTHER, 'dev.tty.x.default'), /PERMISSION_DENIED/)
    // Before their cgroup goes.
    for (const program of all) await program.kill()
  }
)

test('a process of a user namespace of its own is granted nothing, whatever its uid says', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  await a.cli('entry', 'add', '--uid', String(OTHER), SITE)
  const unshare = new Program(scope, at({ uid: OTHER }, ['unshare', '--user', '--map-root-user', 'true']))
  if ((await unshare.outcome()).code !== 0) {
    t.skip('needs user namespaces for users, which this kernel does not allow')
    return
  }
  const argv = ['unshare', '--user', '--map-root-user', process.execPath, '-e', REGISTER, a.socket, SITE]
  const inside = new Program(scope, at({ uid: OTHER }, argv))
  await inside.says(/PERMISSION_DENIED.*user namespace/)
})

test(
  'the number that stands for every user without a meaning here is granted nothing, and an entry for it says so',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const a = await startRoot(scope)
    const uid = 65_534
    const { stderr } = await a.attempt(['entry', 'add', '--uid', String(uid), SITE])
    assert.match(
      stderr,
      /granted.*\nwarren: uid 65534 stands for every user that a host cannot map: this entry grants nothing/s
    )
    const nobody = new Program(scope, at({ uid }, [process.execPath, '-e', REGISTER, a.socket, SITE]))
    await nobody.says(/PERMISSION_DENIED.*stands for every user without a meaning here/)
  }
)

test('a caller that ends while its request is under way gets nothing for whoever comes after it', asRoot, async t => {
  if (!needsCommand(t, 'perl')) return
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  // Asks and is gone at once; its pid is free for anybody while the agent has the request.
  const loop = `
use strict; use IO::Socket::UNIX;
my ($path, $address, $count) = @ARGV;
my $body = "{\\"address\\":\\"$address\\"}";
my $request = join("\\r\\n", "POST /warren.api.v1.WorkloadService/Register HTTP/1.1", "host: x",
  "content-type: application/json", "content-length: " . length($body), "", $body);
my $granted = 0;
for my $i (1 .. $count) {
  pipe(my $reader, my $writer);
  my $parent = fork();
  if ($parent == 0) {
    # Connects and dies; a child that holds the same connection reads what it was given.
    my $s = IO::Socket::UNIX->new(Peer => $path) or exit 1;
    syswrite($s, $request) if $i % 2;
    if (fork() == 0) {
      syswrite($s, $request) unless $i % 2;
      my $answer = "";
      local $SIG{ALRM} = sub { syswrite($writer, "-"); exit 0 };
      alarm 2;
      while ($answer !~ /\\}/ && sysread($s, my $part, 65536)) { $answer .= $part }
      syswrite($writer, substr($answer, 0, 2000) || "-");
    }
    exit 0;
  }
  waitpid($parent, 0);
  close($writer);
  my $answer = "";
  while (sysread($reader, my $part, 4096)) { $answer .= $part }
  $granted += 1 if $answer =~ /"token"/;
}
print "granted $granted\\n";`
  await a.cli('entry', 'add', '--uid', String(OTHER), SITE)
  const run = async (uid: number): Promise<number> => {
    const attempts = new Program(scope, at({ uid }, ['perl', '-e', loop, a.socket, SITE, '150']))
    const [, granted] = await attempts.says(/granted (\d+)/, 'stdout', 60_000)
    await waitFor(async () => (await registrations(a)) === 0, 'what ended processes registered to end')
    return Number(granted)
  }
  // Without an entry for it, no race gives it anything.
  assert.equal(await run(OWNER), 0)
  // With one it may win against its own end, and what it won ends with it.
  t.diagnostic(`${await run(OTHER)} of 150 granted to a user with an entry, none of which outlived its process`)
})
