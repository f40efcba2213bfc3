import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, type TestContext } from 'node:test'
import fc from 'fast-check'
import { peerCredentials, processHandle } from '../../src/attest/index.ts'
import type { Platform } from '../../src/attest/platform.ts'
import { platform } from '../../src/attest/select.ts'
import { asRoot } from '../harness/needs.ts'

const directory = mkdtempSync(join(tmpdir(), 'warren-race-'))
chmodSync(directory, 0o755)
after(() => rmSync(directory, { recursive: true }))
const denied = (err: Error & { code?: string }) => err.code === 'PERMISSION_DENIED'
const [CALLER, VICTIM] = [1_000, 2_000]
const socketOf = (fd: number) => ({ _handle: { fd } }) as unknown as Socket

type Step = 'connect' | 'credentials' | 'descriptor' | 'open' | 'uids'
interface World {
  /** Who holds the one pid of this world from each step on: a user, or nobody. */
  readonly holders: Readonly<Record<Step, number | undefined>>
  /** Of a kernel without descriptors of peers; else whether it has one for a peer that has ended. */
  readonly kernel: 'old' | 'refuses' | 'keeps'
}

/** A system with one pid, which goes from hand to hand between any two system calls. */
function racing({ holders, kernel }: World): Platform & { opened: number[]; closed: number[] } {
  const opened: number[] = []
  const closed: number[] = []
  const open = (step: Step): number => {
    opened.push(opened.length)
    who.push({ uid: holders[step], step })
    return opened.length - 1
  }
  const who: { uid: number | undefined; step: Step }[] = []
  // In order of time. The caller itself is gone once the pid is nobody's or another's.
  const steps: Step[] = ['connect', 'credentials', 'descriptor', 'open', 'uids']
  const livesOn = (from: Step): boolean =>
    steps.slice(steps.indexOf(from)).every(step => holders[step] === holders[from]) && holders[from] !== undefined
  return {
    opened,
    closed,
    credentialsOf: () => ({ pid: 7, uid: CALLER, gid: CALLER }),
    peerProcessFd: () => {
      if (kernel === 'old') return undefined
      if (!livesOnUntil('descriptor') && kernel === 'refuses') throw new Error('ESRCH')
      return open('connect')
    },
    openProcess: () => {
      if (holders.open === undefined) throw new Error('ESRCH')
      return open('open')
    },
    userIdsOf: () => {
      if (holders.uids === undefined) throw new Error('ENOENT')
      return Array(4).fill(holders.uids)
    },
    sharesNetwork: () => true,
    ended: fds => fds.map(fd => !livesOn(who[fd]?.step ?? 'connect')),
    close: fd => void closed.push(fd)
  }
  function livesOnUntil(last: Step): boolean {
    return steps.slice(0, steps.indexOf(last) + 1).every(step => holders[step] === CALLER)
  }
}

test('however a pid changes hands meanwhile, a caller is never taken for a process of another user', () => {
  const holder = fc.constantFrom(CALLER, VICTIM, undefined)
  const holders = fc.record({
    connect: fc.constant(CALLER),
    credentials: holder,
    descriptor: holder,
    open: holder,
    uids: holder
  })
  let accepted = 0
  fc.assert(
    fc.property(fc.record({ holders, kernel: fc.constantFrom('old', 'refuses', 'keeps') }), world => {
      const system = racing(world as World)
      try {
        const { uid, process: handle } = peerCredentials(socketOf(1), system)
        accepted += 1
        assert.equal(uid, CALLER)
        assert.equal(handle.isAlive(), true)
        // Old kernels: a later process of the same user may stand for it, one of another user never.
        if (world.kernel === 'old') assert.deepEqual([world.holders.open, world.holders.uids], [CALLER, CALLER])
        else assert.ok(Object.values(world.holders).every(one => one === CALLER))
        handle.close()
      } catch (err) {
        assert.ok(denied(err as Error), String(err))
      }
      assert.deepEqual(system.closed, system.opened, 'no descriptor leaks')
    }),
    { numRuns: 500 }
  )
  assert.ok(accepted > 0)
})

interface Accepted {
  readonly path: string
  readonly next: () => Promise<Socket>
}

async function listening(t: TestContext, name: string): Promise<Accepted> {
  const path = join(directory, name)
  const server = createServer({ pauseOnConnect: true })
  server.listen(path)
  await once(server, 'listening')
  chmodSync(path, 0o666)
  t.after(() => server.close())
  return { path, next: async () => ((await once(server, 'connection')) as [Socket])[0].on('error', () => {}) }
}

const CONNECT = `import socket,sys,os
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
os._exit(0)`
const HOLD = `import socket,sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)`
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : undefined
const needsPython = { skip: python === undefined && 'needs /usr/bin/python3' }

test(
  'callers that connect and end at once are refused, round after round, while their pids go to others',
  needsPython,
  async t => {
    const { path, next } = await listening(t, 'exits')
    let refused = 0
    for (let round = 0; round < 12; round += 1) {
      const accepted = next()
      const child = spawn(python ?? '', ['-c', CONNECT, path], { stdio: 'ignore' })
      const exited = once(child, 'exit')
      const socket = await accepted
      await exited
      // Others take pids meanwhile; whether one of them is the caller's does not matter.
      const others = Array.from({ length: 3 }, () => spawn('sleep', ['600'], { stdio: 'ignore' }))
      assert.ok(
        (socket as unknown as { _handle: { fd: number } })._handle.fd >= 0,
        'the connection still has its descriptor'
      )
      assert.throws(() => peerCredentials(socket), denied)
      refused += 1
      socket.destroy()
      for (const other of others) other.kill('SIGKILL')
    }
    assert.equal(refused, 12)
  }
)

test('a caller that hands its connection on and ends is refused, though the connection lives', needsPython, async t => {
  const { path, next } = await listening(t, 'heir')
  const heir = `import socket,sys,os
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
if os.fork() == 0:
  s.recv(1)
os._exit(0)`
  const accepted = next()
  const child = spawn(python ?? '', ['-c', heir, path], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const socket = await accepted
  await exited
  assert.throws(() => peerCredentials(socket), denied)
  socket.destroy()
})

test('a setuid-like caller is known by the user that it was when it connected', {
  skip: needsPython.skip || asRoot.skip
}, async t => {
  const { path, next } = await listening(t, 'drops')
  const drops = `import socket,sys,os
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
os.setresuid(65534, 65534, 65534); s.send(b'x'); s.recv(1)`
  const accepted = next()
  const child = spawn(python ?? '', ['-c', drops, path], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const socket = await accepted
  await once(socket.resume(), 'data')
  const { uid, process: handle } = peerCredentials(socket)
  assert.equal(uid, 0)
  handle.close()
  // Where only the pid is known, it now is of another user, and so not surely the caller.
  const old: Platform = { ...platform(), peerProcessFd: () => undefined }
  assert.throws(() => peerCredentials(socket, old), denied)
  socket.destroy()
  await exited
})

test('no descriptor is left behind by callers, accepted or refused', needsPython, async t => {
  const { path, next } = await listening(t, 'leaks')
  const accepted = next()
  const child = spawn(python ?? '', ['-c', HOLD, path], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const socket = await accepted
  const before = descriptors()
  const old: Platform = { ...platform(), peerProcessFd: () => undefined }
  const wrong: Platform = { ...old, userIdsOf: () => [4_711] }
  for (let round = 0; round < 50; round += 1) {
    peerCredentials(socket).process.close()
    peerCredentials(socket, old).process.close()
    assert.throws(() => peerCredentials(socket, wrong), denied)
    processHandle(process.pid).close()
  }
  assert.equal(descriptors(), before)
  socket.destroy()
  await exited
})

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}
