import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, realpathSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseCgroup } from '../../src/attest/cgroup.ts'
import { DirectoryService } from '../../src/attest/directory-service.ts'
import { ExecutableHasher } from '../../src/attest/hasher.ts'
import { Attestor, processHandle } from '../../src/attest/index.ts'
import { linuxProcessReader } from '../../src/attest/linux-process.ts'
import { UserDatabase } from '../../src/attest/user-database.ts'
import { type Clock, systemClock } from '../../src/core/index.ts'
import { isInstalled } from '../harness/index.ts'

const directory = mkdtempSync(join(tmpdir(), 'wt-'))
after(() => rmSync(directory, { recursive: true }))

const code = (wanted: string) => (err: Error & { code?: string }) => err.code === wanted
const everything = { executable: () => true, hash: () => true }
const nothing = { executable: () => false, hash: () => false }
const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]

test('the unit is the one that the system named, and nobody below it', () => {
  const of = (path: string) => parseCgroup(`12:cpu:/elsewhere.service\n0::${path}\n`)
  assert.deepEqual(of('/system.slice/nginx.service'), {
    cgroup: '/system.slice/nginx.service',
    systemdUnit: 'nginx.service'
  })
  assert.equal(of('/system.slice/system-getty.slice/getty@tty1.service').systemdUnit, 'getty@tty1.service')
  // Below its own manager a user may name a unit after any other.
  const fake = '/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service'
  assert.equal(of(fake).systemdUnit, 'user@1000.service')
  assert.equal(of('/docker/0123/nginx.service').systemdUnit, undefined)
  assert.deepEqual(of('/../other/nginx.service'), { cgroup: undefined, systemdUnit: undefined })
  assert.deepEqual(parseCgroup('1:name=systemd:/system.slice/nginx.service\n').systemdUnit, undefined)
})

const noService = { namesOf: async () => new Map<number, string>(), userIdOf: async () => undefined }

test('names of users follow their file', async () => {
  const etc = mkdtempSync(join(directory, 'etc-'))
  const users = new UserDatabase(noService, etc)
  assert.deepEqual(await users.usersOf(33), [], 'no file, no names')
  writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/:\nwww:x:33:33::/:\nweb:x:33:33::/:\nbad:x::1\n')
  writeFileSync(join(etc, 'group'), 'deploy:x:7:www\n')
  assert.deepEqual(await users.usersOf(33), ['www', 'web'])
  assert.deepEqual(await users.usersOf(Number.NaN), [])
  assert.deepEqual(await users.groupsOf([6, 7]), ['deploy'])
  writeFileSync(join(etc, 'passwd'), 'www:x:34:34::/:\n')
  assert.deepEqual(await users.usersOf(33), [])
})

test('a user for whom the agent acts has the names and groups of the files, and no fact of a process', async () => {
  const etc = mkdtempSync(join(directory, 'etc-'))
  writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/:\nwww:x:33:40::/:\nweb:x:33:41::/:\n')
  writeFileSync(join(etc, 'group'), 'www-own:x:40:\ndeploy:x:7:alice,www\nothers:x:8:alice,wwww\nweb:x:9:web\n')
  const attestor = new Attestor(systemClock, { users: new UserDatabase(noService, etc) })
  const { view, ...facts } = await attestor.attestUser(33)
  assert.ok(view.isOfHost)
  assert.deepEqual(facts, {
    uid: 33,
    users: ['www', 'web'],
    gids: [40, 41, 7, 9],
    groups: ['www-own', 'deploy', 'web'],
    exePath: undefined,
    exeSha256: undefined,
    systemdUnit: undefined,
    cgroup: undefined,
    isDeclared: true
  })
  assert.deepEqual((await attestor.attestUser(34)).gids, [])
})

test('users and groups of a directory service have the names that it gives, and local ones are not asked for', async () => {
  const etc = mkdtempSync(join(directory, 'etc-'))
  writeFileSync(join(etc, 'passwd'), 'www:x:33:33::/:\n')
  writeFileSync(join(etc, 'group'), 'deploy:x:7:www\n')
  const asked: unknown[] = []
  const clock = fakeClock()
  const service = new DirectoryService(clock, async (kind, ids) => {
    asked.push([kind, ...ids])
    return kind === 'passwd' ? 'alice:*:70001:70001:Alice:/home/alice:/bin/sh\n' : 'ops:*:70002:alice,bob\n'
  })
  const users = new UserDatabase(service, etc)
  assert.deepEqual([await users.usersOf(33), await users.groupsOf([7])], [['www'], ['deploy']])
  assert.deepEqual(asked, [])
  assert.deepEqual(await users.usersOf(70_001), ['alice'])
  assert.deepEqual(await users.groupsOf([7, 70_002, 70_003]), ['deploy', 'ops'])
  assert.deepEqual(await users.groupsOf([70_002, 70_003, 7]), ['ops', 'deploy'], 'from memory')
  assert.deepEqual(asked, [
    ['passwd', 70_001],
    ['group', 70_002, 70_003]
  ])
  clock.nowMs = 60_000
  await users.usersOf(70_001)
  assert.equal(asked.length, 3, 'asked anew after a minute')
})

test('a name is that of a user of the file, or else of the directory service, which is asked for nothing odd', async () => {
  const etc = mkdtempSync(join(directory, 'etc-'))
  writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/:\nwww:x:33:33::/:\nweb:x:33:33::/:\n')
  const asked: unknown[] = []
  const service = new DirectoryService(fakeClock(), async (kind, keys) => {
    asked.push([kind, ...keys])
    return keys[0] === 'Alice' ? 'alice:*:70001:70001:Alice:/home/alice:/bin/sh\n' : ''
  })
  const users = new UserDatabase(service, etc)
  assert.deepEqual([await users.uidOf('root'), await users.uidOf('web')], [0, 33])
  assert.deepEqual(asked, [])
  assert.deepEqual([await users.uidOf('Alice'), await users.uidOf('nobody-here')], [70_001, undefined])
  for (const odd of ['', '-s', 'a:b', 'a b', 'a\nb', 'a\0b', 'x'.repeat(257)])
    assert.equal(await users.uidOf(odd), undefined)
  assert.deepEqual(asked, [
    ['passwd', 'Alice'],
    ['passwd', 'nobody-here']
  ])
})

test('a directory service that does not answer is left alone for a while, and nobody has a name by it', async () => {
  let asked = 0
  const clock = fakeClock()
  const service = new DirectoryService(clock, async () => {
    asked += 1
    throw new Error('time-out')
  })
  const answers = await Promise.all([1, 2, 3].map(id => service.namesOf('passwd', [id])))
  assert.deepEqual(
    answers.map(({ size }) => size),
    [0, 0, 0]
  )
  assert.equal(await service.userIdOf('alice'), undefined)
  assert.equal(asked, 1)
  clock.nowMs = 10_000
  await service.namesOf('passwd', [1])
  assert.equal(asked, 2)
})

test('questions to a directory service wait in a line of 64, and are put one at a time', async () => {
  const release = Promise.withResolvers<string>()
  let atOnce = 0
  const service = new DirectoryService(fakeClock(), async (_kind, [id]) => {
    atOnce += 1
    assert.equal(atOnce, 1)
    await release.promise
    atOnce -= 1
    return `user${id}:*:${id}:\n`
  })
  const answers = Array.from({ length: 70 }, (_, id) => service.namesOf('passwd', [id]))
  const refused = await Promise.all(answers.slice(64))
  assert.ok(refused.every(({ size }) => size === 0))
  release.resolve('')
  const named = await Promise.all(answers.slice(0, 64))
  assert.deepEqual([...(named[63] ?? [])], [[63, 'user63']])
})

test('the name service of this system is asked for ids that are in no file', {
  skip: !isInstalled('getent') && 'getent is not installed'
}, async () => {
  const users = new UserDatabase(new DirectoryService(systemClock), mkdtempSync(join(directory, 'etc-')))
  assert.deepEqual(await users.usersOf(0), ['root'])
  assert.deepEqual(await users.usersOf(4_000_000_000), [])
  assert.deepEqual(await users.groupsOf([4_000_000_000, 0]), ['root'])
})

test('a process is examined by the file that it runs', async () => {
  const child = spawn('sleep', ['600'])
  await once(child, 'spawn')
  const held = { uid, gid, process: processHandle(child.pid ?? 0) }
  const attestor = new Attestor(systemClock)
  const exe = realpathSync('/proc/self/exe')
  const sleep = realpathSync(`/proc/${child.pid}/exe`)
  assert.notEqual(sleep, exe)
  const plain = await attestor.attest(held, nothing)
  assert.deepEqual([plain.uid, plain.exePath, plain.exeSha256], [uid, undefined, undefined])
  assert.ok(plain.gids.includes(gid))
  const { exePath, exeSha256 } = await attestor.attest(held, everything)
  assert.equal(exePath, sleep)
  assert.equal(exeSha256, createHash('sha256').update(readFileSync(sleep)).digest('hex'))
  child.kill('SIGKILL')
  await once(child, 'exit')
  await assert.rejects(attestor.attest(held, nothing), code('INVALID_SOURCE'))
  held.process.close()
})

test('a uid without a meaning here, and a user namespace, are granted nothing', async () => {
  const held = { uid, gid, process: processHandle(process.pid) }
  const reader = linuxProcessReader()
  const nobody = new Attestor(systemClock, { reader: { ...reader, overflowId: () => uid } })
  await assert.rejects(nobody.attest(held, nothing), code('PERMISSION_DENIED'))
  const inside = new Attestor(systemClock, { reader: { ...reader, sharesUserIds: () => false } })
  await assert.rejects(inside.attest(held, nothing), code('PERMISSION_DENIED'))
  const hidden = new Attestor(systemClock, {
    reader: {
      ...reader,
      sharesUserIds: () => {
        throw new Error('EPERM')
      }
    }
  })
  await assert.rejects(hidden.attest(held, nothing), code('INVALID_SOURCE'))
  held.process.close()
})

test('first look-ups of containers that come at once count together, as all later ones', async t => {
  const held = { uid, gid, process: processHandle(process.pid) }
  t.after(() => held.process.close())
  const reader = { ...linuxProcessReader(), runtimeOwnerOf: () => 61_270 }
  const attestor = new Attestor(fakeClock(), { reader, users: new UserDatabase(noService) })
  const lookUp = async (): Promise<boolean> => {
    const found = await attestor.attest(held, { ...nothing, container: () => true }).catch((err: Error) => err)
    if (found instanceof Error) assert.ok(code('LIMIT_EXCEEDED')(found), String(found))
    return !(found instanceof Error)
  }
  const first = await Promise.all(Array.from({ length: 20 }, lookUp))
  let count = first.filter(isDone => isDone).length
  // One finder lets a sender have 128 at once, while its clock stands still.
  while (count <= 128 && (await lookUp())) count += 1
  assert.equal(count, 128)
})

function fakeClock(): Clock & { nowMs: number } {
  const clock = { nowMs: 0, wallMs: () => Date.now(), monotonicMs: () => clock.nowMs }
  return clock
}

test('a hash is made once for each content, and never kept for a file that has just changed', async () => {
  const path = join(directory, 'exe')
  writeFileSync(path, randomBytes(3_000_000))
  const clock = { ...fakeClock(), wallMs: () => Date.now() + 60_000 }
  // Enough for one reading of the file and a bit.
  const limits = { maxBytes: 4_000_000, burstBytes: 4_000_000, bytesPerSecond: 1, maxWaiting: 2 }
  const settled = new ExecutableHasher(clock, limits)
  const file = await open(path, 'r')
  const digest = createHash('sha256').update(readFileSync(path)).digest('hex')
  assert.equal(await settled.hash(file, 1), digest)
  assert.equal(await settled.hash(file, 1), digest, 'from memory: there was no quota for another reading')
  assert.equal(await settled.hash(file, 2), digest, 'for another user too')

  const fresh = new ExecutableHasher(fakeClock(), limits)
  await fresh.hash(file, 1)
  await assert.rejects(fresh.hash(file, 1), code('LIMIT_EXCEEDED'), 'read again, and too much for this user')
  assert.equal(await fresh.hash(file, 2), digest, 'but not for another one')

  // The same times and size as before, but not the time of the change itself.
  const { atime, mtime } = await file.stat()
  writeFileSync(path, randomBytes(3_000_000))
  utimesSync(path, atime, mtime)
  assert.notEqual(await settled.hash(file, 3), digest)
  await file.close()
})

test('what is too large, and too many at once, is not hashed', async () => {
  const path = join(directory, 'large')
  writeFileSync(path, randomBytes(1_000_000))
  const file = await open(path, 'r')
  const small = { maxBytes: 999_999, burstBytes: 1e9, bytesPerSecond: 1, maxWaiting: 2 }
  await assert.rejects(new ExecutableHasher(fakeClock(), small).hash(file, 1), code('LIMIT_EXCEEDED'))
  const busy = new ExecutableHasher(fakeClock(), { ...small, maxBytes: 1e9 })
  const results = await Promise.allSettled([1, 2, 3, 4].map(user => busy.hash(file, user)))
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'rejected']
  )
  await file.close()
})
