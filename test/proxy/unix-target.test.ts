import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readdirSync, renameSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { HOST_VIEW, type ProcessView, processHandle, unknownView } from '../../src/attest/index.ts'
import { dialTarget } from '../../src/proxy/inbound/target.ts'
import { checkListener, findTarget } from '../../src/proxy/inbound/unix-target.ts'
import { createListenDirectory } from '../../src/workloads/listen-directory.ts'
import { scopeOf, waitFor } from '../harness/index.ts'
import { madeOf } from './support/sockets.ts'

const socket = {} as Socket
const { signal } = new AbortController()
const refused = (reason: RegExp) => (err: Error & { code?: string }) =>
  err.code === 'DESTINATION_UNREACHABLE' && reason.test(err.message)
const inside: ProcessView = { ...unknownView('is in a container'), key: '2 1:2' }

function listener(found: { uid?: number; view?: ProcessView | undefined; isSelf?: boolean }) {
  const view = 'view' in found ? found.view : HOST_VIEW
  return { listenerOf: () => ({ uid: 7, isSelf: false, ...found, view: () => view }) }
}

test('a target is served by its own user, and never by the agent', () => {
  checkListener(socket, { uid: 7 }, listener({}))
  assert.throws(() => checkListener(socket, { uid: 7 }, listener({ uid: 0 })), refused(/another user/))
  assert.throws(() => checkListener(socket, { uid: 7 }, listener({ isSelf: true })), refused(/the agent’s own/))
  const mute = {
    listenerOf: () => {
      throw new Error('ENOTCONN')
    }
  }
  assert.throws(() => checkListener(socket, { uid: 7 }, mute), refused(/cannot be read/))
})

test('what a container registered is never a server of the host, which would take the agent for its client', () => {
  const target = { uid: 7, outside: true }
  assert.throws(() => checkListener(socket, target, listener({})), refused(/one of the host/))
  assert.throws(() => checkListener(socket, target, listener({ view: undefined })), refused(/has ended/))
  checkListener(socket, target, listener({ view: inside }))
  // Another container that shares a directory with it may serve for it.
  checkListener(socket, target, listener({ view: { ...inside, key: '2 3:4' } }))
})

test('a socket in a directory of the agent’s making is served from the view that it was made for, by one who lives', () => {
  const target = { uid: 7, view: HOST_VIEW }
  checkListener(socket, target, listener({}))
  checkListener(socket, { uid: 7, view: inside }, listener({ view: inside }))
  assert.throws(() => checkListener(socket, target, listener({ view: inside })), refused(/another container/))
  assert.throws(() => checkListener(socket, { uid: 7, view: inside }, listener({})), refused(/another container/))
  assert.throws(() => checkListener(socket, target, listener({ view: undefined })), refused(/has ended/))
  // Of a path that its owner named, only the uid is known to be right: many servers listen and then leave it to a child.
  checkListener(socket, { uid: 7 }, listener({ view: undefined }))
})

async function serving(t: TestContext): Promise<{ directory: string; path: string }> {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 's')
  const server = createServer(accepted => accepted.end('served')).listen(path)
  scope.defer(() => server.close())
  await once(server, 'listening')
  return { directory, path }
}

async function answerAt(path: string): Promise<string> {
  let text = ''
  const client = connect(path)
  client.on('data', chunk => {
    text += chunk
  })
  await once(client, 'close')
  return text
}

test('a path of an owner is found through its links, and one of the agent’s making is not', async t => {
  const { directory, path } = await serving(t)
  const owner = processHandle(process.pid)
  t.after(() => owner.close())
  const link = join(directory, 'link')
  symlinkSync(path, link)
  const target = { kind: 'unix', uid: 0, hello: false, protocol: 'tcp' } as const
  for (const one of [path, link]) {
    const found = await findTarget({ ...target, path: one, owner }, signal)
    assert.equal(await answerAt(found.path), 'served')
    found.close()
    found.close()
  }
  const made = madeOf(path)
  const own = await findTarget({ ...target, path, made }, signal)
  assert.equal(await answerAt(own.path), 'served')
  own.close()
  await assert.rejects(findTarget({ ...target, path: link, made }, signal), { code: 'ELOOP' })
  await assert.rejects(findTarget({ ...target, path }, signal), refused(/not the one that was made/))
  await assert.rejects(findTarget({ ...target, path: join(directory, 'none'), owner }, signal), { code: 'ENOENT' })
  const magic = `/proc/${process.pid}/root${path}`
  await assert.rejects(findTarget({ ...target, path: magic, owner }, signal), { code: 'ELOOP' })
  const ended = { pid: process.pid, isAlive: () => false }
  await assert.rejects(findTarget({ ...target, path, owner: ended }, signal), refused(/has ended/))
})

test('what is found after nobody waits for it any more is closed', async t => {
  const { path } = await serving(t)
  const owner = processHandle(process.pid)
  t.after(() => owner.close())
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  // The kernel looks such a path up anew each time, on another thread; one that it has cached is found at once.
  const slow = `/proc/sys/kernel/../../..${path}`
  const target = { kind: 'unix', path: slow, owner, uid: 0, hello: false, protocol: 'tcp' } as const
  for (let at = 0; at < 20; at += 1) {
    const over = new AbortController()
    const finding = findTarget(target, over.signal)
    over.abort(new Error('given up'))
    await assert.rejects(finding, /given up/)
  }
  await waitFor(() => open() === before, 'what was found to be closed')
})

test('a listening directory in whose place is another, or a link to one, is served from no more', async t => {
  const scope = scopeOf(t)
  const parent = scope.directory()
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  const registered = async (answer: string) => {
    const { directory, socketPath: path, made } = createListenDirectory(parent, uid, gid)
    const server = createServer(accepted => accepted.end(answer)).listen(path)
    scope.defer(() => server.close())
    await once(server, 'listening')
    return { directory, target: { kind: 'unix', path, made, uid, hello: false, protocol: 'tcp' } as const }
  }
  const [one, two] = [await registered('one'), await registered('two')]
  // Each is of the same user and view, as all of root of the host are.
  const dialled = async ({ target }: typeof one): Promise<string> => {
    const found = await dialTarget(
      target,
      { listenerOf: () => ({ uid, isSelf: false, view: () => HOST_VIEW }) },
      signal
    )
    return (await found.toArray()).join('')
  }
  const open = () => readdirSync('/proc/self/fd').length
  assert.deepEqual([await dialled(one), await dialled(two)], ['one', 'two'])
  const before = open()
  const aside = `${one.directory}.x`
  const gone = refused(/its listening directory is not the one that was made for it/)

  renameSync(one.directory, aside)
  for (const to of [two.directory, aside]) {
    symlinkSync(to, one.directory)
    await assert.rejects(dialled(one), gone, `a link to ${to}`)
    unlinkSync(one.directory)
  }
  mkdirSync(one.directory)
  await assert.rejects(dialled(one), gone, 'a new directory')
  rmdirSync(one.directory)
  assert.equal(await dialled(two), 'two')

  renameSync(two.directory, one.directory)
  await assert.rejects(dialled(one), gone, 'the directory of another registration')
  renameSync(one.directory, two.directory)
  renameSync(aside, one.directory)
  assert.equal(open(), before)
  assert.deepEqual([await dialled(one), await dialled(two)], ['one', 'two'])
})
