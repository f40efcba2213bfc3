import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { listenerOf, ProcessWatch, peerCredentials, processHandle } from '../../src/attest/index.ts'
import type { Platform } from '../../src/attest/platform.ts'
import { platform } from '../../src/attest/select.ts'
import { at, temporaryDirectory } from '../harness/index.ts'

const directory = temporaryDirectory('warren-attest-')
after(() => rmSync(directory, { recursive: true }))
const root = process.getuid?.() === 0
const CLIENT = `
const socket = require('node:net').connect(process.argv[1], () => socket.write('x'))
socket.on('close', () => process.exit())`
const denied = (err: Error & { code?: string }) => err.code === 'PERMISSION_DENIED'
let sockets = 0

/** A child process that connects to us. */
async function connected(uid?: number): Promise<{ child: ChildProcess; socket: Socket }> {
  const path = join(directory, `s${++sockets}`)
  const server = createServer()
  server.listen(path)
  await once(server, 'listening')
  chmodSync(path, 0o666)
  const [command = '', ...args] = at(uid === undefined ? {} : { uid }, [process.execPath, '-e', CLIENT, path])
  const accepted = once(server, 'connection')
  const child = spawn(command, args, { stdio: 'ignore' })
  const [socket] = (await accepted) as [Socket]
  server.close()
  return { child, socket }
}

async function end({ child, socket }: { child: ChildProcess; socket: Socket }): Promise<void> {
  const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
  socket.on('error', () => {}).destroy()
  child.kill('SIGKILL')
  await exited
}

test('the kernel tells who connected', async () => {
  const one = await connected()
  const { uid, gid, pid, process: handle } = peerCredentials(one.socket)
  assert.deepEqual([uid, gid, pid], [process.getuid?.(), process.getgid?.(), one.child.pid])
  assert.equal(handle.isAlive(), true)
  await end(one)
  assert.equal(handle.isAlive(), false)
  handle.close()
  handle.close()
})

test('another user is told apart', { skip: !root && 'needs root' }, async () => {
  const one = await connected(65_534)
  const { uid, gid, process: handle } = peerCredentials(one.socket)
  assert.deepEqual([uid, gid], [65_534, 65_534])
  handle.close()
  await end(one)
})

test('who has ended before being asked about is nobody', async () => {
  const one = await connected()
  const exited = once(one.child, 'exit')
  one.child.kill('SIGKILL')
  await exited
  assert.throws(() => peerCredentials(one.socket), denied)
  await end(one)
})

// Where the kernel had no descriptor for a peer that has ended, it was once looked up by its pid.
test('a peer of which the kernel has no descriptor is not looked up by its pid', async () => {
  assert.throws(() => platform().peerProcessFd(-1))
  const one = await connected()
  let lookedUp = 0
  const ended: Platform = {
    ...platform(),
    peerProcessFd: () => {
      throw new Error('ESRCH')
    },
    openProcess: pid => {
      lookedUp += 1
      return platform().openProcess(pid)
    }
  }
  assert.throws(() => peerCredentials(one.socket, ended), denied)
  assert.equal(lookedUp, 0)
  await end(one)
})

test('a socket without a descriptor, and a kernel that does not answer, identify nobody', async () => {
  const one = await connected()
  const mute: Platform = {
    ...platform(),
    credentialsOf: () => {
      throw new Error('EPERM')
    }
  }
  assert.throws(() => peerCredentials(one.socket, mute), denied)
  assert.throws(() => listenerOf(one.socket, mute), denied)
  await end(one)
  assert.throws(() => peerCredentials(one.socket), denied)
})

test('a pid that went to another user between connecting and looking is not taken for the caller', async () => {
  const one = await connected()
  let closed = 0
  const old: Platform = {
    ...platform(),
    peerProcessFd: () => undefined,
    userIdsOf: () => [4_711],
    close: fd => {
      closed += 1
      platform().close(fd)
    }
  }
  assert.throws(() => peerCredentials(one.socket, old), denied)
  assert.equal(closed, 1, 'its descriptor is not leaked')
  const same: Platform = { ...platform(), peerProcessFd: () => undefined }
  const { process: handle, pid } = peerCredentials(one.socket, same)
  assert.equal(pid, one.child.pid)
  handle.close()
  await end(one)
})

test('the uid of a listener is that of the process that listens', async () => {
  const path = join(directory, 'listener')
  const server = createServer(socket => socket.on('error', () => {}).destroy())
  server.listen(path)
  await once(server, 'listening')
  const { connect } = await import('node:net')
  const socket = connect(path)
  await once(socket, 'connect')
  const { uid, view, isSelf } = listenerOf(socket)
  assert.deepEqual([uid, view()?.isOfHost, isSelf], [process.getuid?.(), true, true])
  socket.destroy()
  server.close()
})

test('the end of one of many processes is told once, and of that one only', async () => {
  const children = Array.from({ length: 40 }, () => spawn('sleep', ['600']))
  await Promise.all(children.map(child => once(child, 'spawn')))
  const watch = new ProcessWatch()
  const told: number[] = []
  const handles = children.map(child => processHandle(child.pid ?? 0))
  const first = Promise.withResolvers<void>()
  const unwatch = handles.map((handle, at) =>
    watch.watch(handle, () => {
      told.push(at)
      first.resolve()
    })
  )
  unwatch[3]?.()
  children[3]?.kill('SIGKILL')
  children[7]?.kill('SIGKILL')
  await first.promise
  assert.deepEqual(told, [7])
  for (const [at, child] of children.entries()) {
    unwatch[at]?.()
    child.kill('SIGKILL')
    handles[at]?.close()
  }
})

test('a process that is gone cannot be held', async () => {
  const child = spawn('true')
  await once(child, 'exit')
  assert.throws(() => processHandle(child.pid ?? 0))
})
