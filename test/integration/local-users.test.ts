import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import test from 'node:test'
import {
  asRoot,
  at,
  localCall,
  type Outcome,
  Program,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor,
  warren
} from '../harness/index.ts'

const OWNER = 61_236
const OTHER = 61_237
const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

/** An agent that runs as root and lets OTHER serve below dev.web; everybody reaches its sockets. */
async function startRoot(scope: Scope): Promise<TestAgent> {
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  chmodSync(dirname(a.runtimeDir), 0o755)
  await a.cli('entry', 'add', '--uid', String(OTHER), 'dev.web.*.*')
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  return a
}

/** A shell line as `uid`. */
async function sh(scope: Scope, uid: number, script: string, ...args: string[]): Promise<Outcome> {
  return await new Program(scope, at({ uid }, ['/bin/sh', '-c', script, 'sh', ...args])).outcome()
}

// Registers each line of its input, which is JSON, and prints the answers, as curl would, from one long-lived process.
const REGISTRAR = `
  require('node:readline').createInterface({ input: process.stdin }).on('line', body => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const path = '/warren.api.v1.WorkloadService/Register'
    const options = { socketPath: process.argv[1], path, method: 'POST', headers, agent: false }
    require('node:http').request(options, response => {
      let text = ''
      response.on('data', chunk => { text += chunk }).on('end', () => console.log('ANSWER ' + text))
    }).end(body)
  })`

async function register(scope: Scope, agent: TestAgent, uid: number, input: object): Promise<Record<string, string>> {
  const program = new Program(scope, at({ uid }, [process.execPath, '-e', REGISTRAR, agent.socket]))
  program.stdin.write(`${JSON.stringify(input)}\n`)
  const [, answer = ''] = await program.says(/ANSWER (.*)\n/)
  return JSON.parse(answer) as Record<string, string>
}

test('the listening socket of a user can neither be reached, replaced nor taken by another', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  const { listenPath = '' } = await register(scope, a, OTHER, { address: SITE, target: { listen: {} } })
  const directory = dirname(listenPath)
  assert.deepEqual([statSync(directory).uid, statSync(directory).mode & 0o777], [OTHER, 0o700])
  for (const script of [
    'ls "$1"',
    'touch "$1/s"',
    'rmdir "$1"',
    'mv "$1" "$1.away"',
    'ls "$2"',
    'mkdir "$2/mine"',
    'ln -s /etc "$2/link"'
  ]) {
    const { code, stderr } = await sh(scope, OWNER, script, directory, dirname(directory))
    assert.notEqual(code, 0, script)
    assert.match(stderr, /[Pp]ermission denied|Operation not permitted/, script)
  }
  // Nor can its own user move it away from where others will look for it.
  assert.notEqual((await sh(scope, OTHER, 'mv "$1" "$1.away"', directory)).code, 0)
})

test('a link that a user puts in place of a socket leads the agent to nobody else’s', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  const base = scope.directory()
  chmodSync(base, 0o755)

  // A server of root that is open to all, and what is open to root alone.
  let heard = ''
  const open = join(base, 'victim.sock')
  const victim = createServer(socket => socket.on('data', chunk => (heard += chunk)).on('error', () => {})).listen(open)
  scope.defer(() => victim.close())
  await new Promise(resolve => victim.once('listening', resolve))
  chmodSync(open, 0o666)

  for (const [index, aim] of [open, a.adminSocket, a.socket].entries()) {
    const address = `dev.web.link${index}.default`
    const { listenPath = '' } = await register(scope, a, OTHER, { address, target: { listen: {} } })
    assert.equal((await sh(scope, OTHER, 'ln -s "$1" "$2"', aim, listenPath)).code, 0)
    const client = a.spawn(['connect', address, '--as', SHOP])
    client.stdin.end('GET / HTTP/1.0\r\n\r\n')
    const { code, stdout, stderr } = await client.outcome()
    assert.equal(code, 1, aim)
    assert.equal(stdout, '', aim)
    assert.match(stderr, /DESTINATION_UNREACHABLE/, aim)
  }
  assert.equal(heard, '')

  // A whole path of one's own choice leads no further.
  const chosen = join(scope.directory(), 'chosen')
  chmodSync(dirname(chosen), 0o711)
  symlinkSync(a.adminSocket, chosen)
  const target = { unix: chosen }
  assert.match(JSON.stringify(await register(scope, a, OTHER, { address: SITE, target })), /PERMISSION_DENIED/)
  rmSync(chosen)
  symlinkSync(open, chosen)
  await register(scope, a, OTHER, { address: SITE, target, healthCheck: 'HEALTH_CHECK_OFF' })
  const { code, stderr } = await a.attempt(['connect', SITE, '--as', SHOP])
  assert.equal(code, 1)
  assert.match(stderr, /DESTINATION_UNREACHABLE: .*served by another user/)
  assert.equal(heard, '')
})

test('links that a user leaves behind are removed, and what they lead to stays', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await startRoot(scope)
  const precious = scope.directory()
  writeFileSync(join(precious, 's'), 'precious')
  mkdirSync(join(precious, 'empty'))
  const holder = new Program(scope, at({ uid: OTHER }, ['sleep', '600']))
  const input = { address: SITE, target: { listen: {} }, ownerPid: holder.pid }
  const { listenPath = '' } = await register(scope, a, OTHER, input)
  const directory = dirname(listenPath)
  const script = 'ln -s "$1/s" "$2/s" && ln -s "$1/empty" "$2/more"'
  assert.equal((await sh(scope, OTHER, script, precious, directory)).code, 0)
  await holder.kill()
  await waitFor(() => lstatSync(listenPath, { throwIfNoEntry: false }) === undefined, 'the planted link to go')

  // What is left of the directory is cleared at the next start as little as before.
  await a.stop()
  await a.start([])
  assert.equal(readFileSync(join(precious, 's'), 'utf8'), 'precious')
  assert.deepEqual(readdirSync(precious).toSorted(), ['empty', 's'])
})

test('an agent does not start over a link in its runtime directory, and touches nothing behind it', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const names = readdirSync(a.runtimeDir)
  assert.ok(names.length >= 6, names.join())
  await a.stop()
  const precious = scope.directory()
  mkdirSync(join(precious, 'directory'))
  writeFileSync(join(precious, 'directory', 's'), 'precious')
  writeFileSync(join(precious, 'file'), 'precious')
  chmodSync(precious, 0o750)
  for (const name of names) {
    const path = join(a.runtimeDir, name)
    rmSync(path, { recursive: true, force: true })
    symlinkSync(name.endsWith('.sock') ? join(precious, 'file') : precious, path)
    const again = warren(
      scope,
      ['up', '--state-dir', a.stateDir, '--no-mdns', '--listen', '127.0.0.1:0'],
      {},
      a.runtimeDir
    )
    const { code, stderr } = await again.outcome()
    assert.equal(code, 1, name)
    assert.match(stderr, new RegExp(`STATE_UNUSABLE: .*${name}`), name)
    rmSync(path)
  }
  assert.equal(statSync(precious).mode & 0o777, 0o750)
  assert.deepEqual(readdirSync(precious, { recursive: true }).toSorted(), ['directory', 'directory/s', 'file'])
  assert.equal(readFileSync(join(precious, 'file'), 'utf8'), 'precious')

  // Nor in a directory that somebody else made for it.
  const trap = scope.directory()
  chownSync(trap, OTHER, OTHER)
  const own = ['up', '--state-dir', a.stateDir, '--runtime-dir', trap]
  assert.match((await warren(scope, own).outcome()).stderr, /STATE_UNUSABLE: .*belongs to uid/)
  await a.start([])
})

const LAST_PID = '/proc/sys/kernel/ns_last_pid'

/** Runs `argv` as the process `pid`; undefined if somebody else has taken that. */
async function startAs(scope: Scope, pid: number, argv: readonly string[]): Promise<Program | undefined> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    // The shell is the next process, and what it executes stays that process.
    writeFileSync(LAST_PID, String(pid - 1))
    const program = new Program(scope, argv)
    if (program.pid === pid) return program
    await program.kill()
  }
  return undefined
}

test(
  'a pid that is used again is not the process that had it: neither for who asks nor for what is registered',
  asRoot,
  async t => {
    try {
      writeFileSync(LAST_PID, readFileSync(LAST_PID, 'utf8').trim())
    } catch {
      t.skip(`needs to write ${LAST_PID}, which this container does not allow`)
      return
    }
    const scope = scopeOf(t)
    const a = await startRoot(scope)
    const directory = scope.directory()
    chmodSync(directory, 0o755)
    const trusted = join(directory, 'trusted')
    copyFileSync(realpathSync('/bin/sleep'), trusted)
    chmodSync(trusted, 0o755)
    await a.cli('entry', 'add', '--uid', String(OTHER), '--exe', trusted, SHOP)

    // It is accepted and answered, hands the connection to its child and ends; the child asks once the pid belongs to a
    // trusted program.
    const fork = `
      const { spawn } = require('node:child_process')
      const socket = require('node:net').connect(process.argv[1])
      socket.write('POST /warren.api.v1.WorkloadService/GetStatus HTTP/1.1\\r\\nhost: x\\r\\n' +
        'content-type: application/json\\r\\ncontent-length: 2\\r\\n\\r\\n{}')
      socket.once('data', chunk => {
        if (!String(chunk).startsWith('HTTP/1.1 200')) throw new Error(String(chunk))
        spawn(process.execPath, ['-e', process.argv[2]], {
          stdio: ['inherit', 'inherit', 'inherit', socket], detached: true
        })
        console.log('PARENT ' + process.pid)
        process.exit(0)
      })`
    const child = `
    process.stdin.once('data', () => {
      const body = JSON.stringify({ address: '${SHOP}' })
      const socket = new (require('node:net').Socket)({ fd: 3 })
      socket.on('data', chunk => { console.log('ANSWER ' + chunk); process.exit(0) })
        socket.on('close', () => { console.log('CLOSED'); process.exit(0) })
      socket.on('error', () => {})
      socket.write('POST /warren.api.v1.WorkloadService/Register HTTP/1.1\\r\\nhost: x\\r\\n' +
        'content-type: application/json\\r\\ncontent-length: ' + body.length + '\\r\\n\\r\\n' + body)
    })`
    const argv = ['/bin/sh', '-c', '"$@"; exec sleep 600', 'sh', process.execPath, '-e', fork, a.socket, child]
    let attacker = new Program(scope, at({ uid: OTHER }, argv))
    let heir: Program | undefined
    for (let round = 0; heir === undefined && round < 5; round += 1) {
      if (round > 0) attacker = new Program(scope, at({ uid: OTHER }, argv))
      const [, parent = ''] = await attacker.says(/PARENT (\d+)/)
      await waitFor(() => !existsSync(`/proc/${parent}`), 'the pid to be free')
      heir = await startAs(scope, Number(parent), at({ uid: OTHER }, [trusted, '600']))
    }
    assert.ok(heir !== undefined, 'no pid could be had again')
    const { pid } = heir
    await waitFor(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(trusted), 'the trusted program')
    attacker.stdin.write('go\n')
    await attacker.says(/CLOSED|ANSWER/)
    // CLOSED if it ended before it was accepted.
    assert.match(attacker.stdout, /INVALID_SOURCE|CLOSED/)
    assert.doesNotMatch(attacker.stdout, /"token"/)
    // The trusted program itself is granted it.
    const granted = await register(scope, a, OTHER, { address: SITE, ownerPid: pid })
    assert.ok(granted['token'] !== undefined, JSON.stringify(granted))

    // And what is registered for it ends with it, though its pid goes on.
    await heir.kill()
    const next = await startAs(scope, pid, at({ uid: OTHER }, [trusted, '600']))
    assert.ok(next !== undefined, `pid ${pid} could not be had again`)
    await waitFor(async () => ((await a.status()).registrations ?? 0) === 0, 'the registration to end')
    const { body } = await localCall(a.socket, 'WorkloadService/Connect', {
      token: granted['token'],
      destination: SITE
    })
    assert.match(JSON.stringify(body), /INVALID_SOURCE/)
  }
)

test(
  'a user who opens all the connections he can, and says nothing on them, shuts nobody else out',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const a = await startRoot(scope)
    await a.cli('entry', 'add', '--uid', String(OWNER), SHOP)
    const script = `
    const { connect } = require('node:net')
    let open = 0
    let left = 0
    for (const path of process.argv.slice(1)) {
      for (let index = 0; index < 600; index += 1) {
        const socket = connect(path)
        left += 1
        const settle = () => { left -= 1; if (left === 0) console.log('SETTLED ' + open) }
        // Whoever is refused is told at once, and whoever is not hears nothing.
        const timer = setTimeout(() => { open += 1; settle() }, 1500)
        socket.resume().on('error', () => {}).on('close', () => {
          if (!timer._destroyed) { clearTimeout(timer); settle() }
        })
      }
    }`
    const sockets = [a.socket, join(a.runtimeDir, 'spiffe.sock')]
    const greedy = new Program(scope, at({ uid: OTHER }, [process.execPath, '-e', script, ...sockets]))
    const [, open = ''] = await greedy.says(/SETTLED (\d+)/)
    t.diagnostic(`${open} of 1200 connections are kept`)
    // On each socket 256, and 8 that are about to be told that they are too many.
    assert.ok(Number(open) > 0 && Number(open) <= 2 * (256 + 8), `${open} are kept`)
    const lines = a.program.stderr.split('\n').filter(line => line.includes('local connection refused')).length
    // Ten a minute on each socket, however often he asks.
    assert.ok(lines > 0 && lines <= 24, `${lines} lines of log`)
    const registered = await register(scope, a, OWNER, { address: SHOP })
    assert.ok(registered['token'] !== undefined, JSON.stringify(registered))
    assert.equal((await a.status()).registrations, 1)
  }
)
