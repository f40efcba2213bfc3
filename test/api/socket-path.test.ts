import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ensureRuntimeDir, type LocalServer, serveWorkloadApi } from '../../src/api/index.ts'
import { ErrorCode, silentLogger, tryLock } from '../../src/core/index.ts'
import { fakeCredentials, post, tempDir, workloadHandlers } from './support.ts'

async function serve(runtimeDir: string): Promise<LocalServer> {
  return await serveWorkloadApi({
    runtimeDir,
    handlers: workloadHandlers({ getStatus: async () => ({ version: 'x' }) }),
    credentials: fakeCredentials().read,
    log: silentLogger
  })
}

/** Leaves a socket at `path` behind, as an agent that was killed does. */
async function leaveStale(path: string): Promise<void> {
  const child = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(process.argv[1], () => console.log(1))`,
    path
  ])
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok(existsSync(path))
}

test('the socket that a killed agent left is taken over', async t => {
  const dir = await tempDir(t)
  await leaveStale(join(dir, 'agent.sock'))
  const server = await serve(dir)
  t.after(() => server.close())
  assert.equal((await post(server.path, 'WorkloadService/GetStatus')).status, 200)
})

test('the socket of a killed agent is taken over while another program holds the lock of the directory', async t => {
  const dir = await tempDir(t)
  await leaveStale(join(dir, 'agent.sock'))
  // As every user of the host can, and every container that has the directory.
  const directory = openSync(dir, 'r')
  t.after(() => closeSync(directory))
  assert.equal(await tryLock(directory), true)
  const server = await serve(dir)
  t.after(() => server.close())
  assert.equal((await post(server.path, 'WorkloadService/GetStatus')).status, 200)
})

test('a second agent is refused, and the first goes on serving', async t => {
  const dir = await tempDir(t)
  const first = await serve(dir)
  t.after(() => first.close())
  await assert.rejects(serve(dir), { code: ErrorCode.AlreadyExists, reason: /another agent is already running/ })
  assert.equal((await post(first.path, 'WorkloadService/GetStatus')).status, 200)
})

test('of several agents that start at once over a stale socket, one serves', async t => {
  const dir = await tempDir(t)
  await leaveStale(join(dir, 'agent.sock'))
  const outcomes = await Promise.allSettled([serve(dir), serve(dir), serve(dir)])
  const servers = outcomes.filter(outcome => outcome.status === 'fulfilled').map(({ value }) => value)
  t.after(() => Promise.all(servers.map(server => server.close())))
  assert.equal(servers.length, 1)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') assert.equal(outcome.reason.code, ErrorCode.AlreadyExists)
  }
  assert.equal((await post(join(dir, 'agent.sock'), 'WorkloadService/GetStatus')).status, 200)
})

test('the mode of the socket does not depend on the umask, and the umask is left as it was', async t => {
  const before = process.umask(0o077)
  t.after(() => process.umask(before))
  const server = await serve(await tempDir(t))
  t.after(() => server.close())
  assert.equal(statSync(server.path).mode & 0o777, 0o666)
  assert.equal(process.umask(), 0o077)
})

test('nothing that is not a socket is replaced, nor followed', async t => {
  const file = await tempDir(t)
  writeFileSync(join(file, 'agent.sock'), 'precious')
  await assert.rejects(serve(file), { code: ErrorCode.StateUnusable })
  const link = await tempDir(t)
  const elsewhere = join(link, 'elsewhere')
  await leaveStale(elsewhere)
  symlinkSync(elsewhere, join(link, 'agent.sock'))
  await assert.rejects(serve(link), { code: ErrorCode.StateUnusable })
  assert.ok(existsSync(elsewhere))
})

test('a directory that others can write, or that is a link, is refused', async t => {
  const dir = await tempDir(t)
  const open = join(dir, 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  await assert.rejects(serve(open), { code: ErrorCode.StateUnusable, reason: /written by others/ })
  symlinkSync(dir, join(dir, 'link'))
  await assert.rejects(serve(join(dir, 'link')), { code: ErrorCode.StateUnusable, reason: /not a directory/ })
  await assert.rejects(serve(join(dir, 'none')), { code: ErrorCode.StateUnusable, reason: /ENOENT/ })
})

test('a path too long for a unix socket is named with the limit', async t => {
  const dir = join(await tempDir(t), 'x'.repeat(100))
  await ensureRuntimeDir(dir)
  await assert.rejects(serve(dir), { code: ErrorCode.InvalidOption, reason: /bytes, the system allows/ })
})
