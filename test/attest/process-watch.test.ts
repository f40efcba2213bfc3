import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import test, { after } from 'node:test'
import { type ProcessHandle, ProcessWatch, processHandle } from '../../src/attest/index.ts'
import type { Platform } from '../../src/attest/platform.ts'
import { fromDescriptor } from '../../src/attest/process-handle.ts'
import { platform } from '../../src/attest/select.ts'

const POLL_MS = 250
const children: ChildProcess[] = []
after(() => {
  for (const child of children) child.kill('SIGKILL')
})

/** One shell with many children of its own: cheaper than as many spawns of ours. */
async function sleepers(count: number): Promise<number[]> {
  const shell = spawn('/bin/sh', ['-c', `for i in $(seq ${count}); do sleep 600 & echo $!; done; exec sleep 600`])
  children.push(shell)
  let text = ''
  for await (const chunk of shell.stdout) {
    text += chunk
    if (text.endsWith('\n') && text.trim().split('\n').length === count) break
  }
  const pids = text.trim().split('\n').map(Number)
  after(() => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {}
    }
  })
  return pids
}

/** A system whose processes end when the test says so, and that counts its calls. */
function fakeSystem(): Platform & { gone: Set<number>; polls: number; closed: number[] } {
  const unused = (): never => {
    throw new Error('not asked for here')
  }
  const system = {
    gone: new Set<number>(),
    polls: 0,
    closed: [] as number[],
    credentialsOf: unused,
    peerProcessFd: unused,
    openProcess: (pid: number) => pid,
    userIdsOf: unused,
    sharesNetwork: unused,
    ended: (fds: readonly number[]) => {
      system.polls += 1
      return fds.map(fd => system.gone.has(fd))
    },
    close: (fd: number) => void system.closed.push(fd)
  }
  return system
}

test('of 200 processes, watched with one system call a round, the end of each is told once and of no other', async () => {
  const pids = await sleepers(200)
  let [polls, most] = [0, 0]
  const counting: Platform = {
    ...platform(),
    ended: fds => {
      polls += 1
      most = Math.max(most, fds.length)
      return platform().ended(fds)
    }
  }
  const watch = new ProcessWatch(counting)
  const told: number[] = []
  const all = Promise.withResolvers<void>()
  const handles = pids.map(pid => processHandle(pid, counting))
  const victims = pids.filter((_, at) => at % 20 === 0)
  const unwatch = handles.map(handle =>
    watch.watch(handle, () => {
      told.push(handle.pid)
      if (told.length === victims.length) all.resolve()
    })
  )
  for (const pid of victims) process.kill(pid, 'SIGKILL')
  await all.promise
  assert.deepEqual(
    told.toSorted((a, b) => a - b),
    victims.toSorted((a, b) => a - b)
  )
  assert.ok(most > 100, 'all of them in one call')
  assert.ok(polls <= 10, `${polls} calls`)
  for (const [at, handle] of handles.entries()) {
    assert.equal(handle.isAlive(), !victims.includes(handle.pid))
    unwatch[at]?.()
    handle.close()
  }
})

test('what is told during a round may end, close and watch others', t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const system = fakeSystem()
  const watch = new ProcessWatch(system)
  const [first, second, third] = [1, 2, 3].map(fd => fromDescriptor(fd, fd, system)) as [
    ProcessHandle,
    ProcessHandle,
    ProcessHandle
  ]
  const told: string[] = []
  watch.watch(first, () => {
    told.push('first')
    unwatchSecond()
    first.close()
    watch.watch(third, () => told.push('third'))
  })
  const unwatchSecond = watch.watch(second, () => told.push('second'))
  system.gone = new Set([1, 2, 3])
  t.mock.timers.tick(POLL_MS)
  assert.deepEqual(told, ['first'])
  t.mock.timers.tick(POLL_MS)
  assert.deepEqual(told, ['first', 'third'])
  t.mock.timers.tick(10 * POLL_MS)
  assert.equal(system.polls, 2, 'nobody is left to be asked about')
})

test('each of several watchers of one process is told, and one that stops does not stop the others', t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const system = fakeSystem()
  const watch = new ProcessWatch(system)
  const handle = fromDescriptor(1, 1, system)
  const told: string[] = []
  const stop = watch.watch(handle, () => told.push('one'))
  watch.watch(handle, () => told.push('two'))
  stop()
  stop()
  system.gone.add(1)
  t.mock.timers.tick(POLL_MS)
  assert.deepEqual(told, ['two'])
  stop()
})

test('a kernel that does not answer for a round has ended nobody, and a closed handle ends its watch silently', t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const system = fakeSystem()
  let mute = true
  const { ended } = system
  const watch = new ProcessWatch({
    ...system,
    ended: fds => {
      if (mute) throw new Error('ENOMEM')
      return ended(fds)
    }
  })
  const told: number[] = []
  const handles = [1, 2].map(fd => fromDescriptor(fd, fd, system))
  for (const handle of handles) watch.watch(handle, () => told.push(handle.pid))
  system.gone = new Set([1, 2])
  t.mock.timers.tick(POLL_MS)
  assert.deepEqual(told, [])
  handles[0]?.close()
  handles[0]?.close()
  mute = false
  t.mock.timers.tick(POLL_MS)
  assert.deepEqual(told, [2])
  assert.deepEqual(system.closed, [1], 'a descriptor is closed once, for it may be somebody else’s by then')
})

test('a process that ended before it was watched is told as well', async () => {
  const child = spawn('sleep', ['600'])
  await once(child, 'spawn')
  const handle = processHandle(child.pid ?? 0)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const told = Promise.withResolvers<void>()
  new ProcessWatch().watch(handle, told.resolve)
  // The timer of a watch does not keep a process running.
  const awake = setInterval(() => {}, 1_000)
  await told.promise
  clearInterval(awake)
  handle.close()
})
