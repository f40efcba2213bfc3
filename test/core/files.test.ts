import assert from 'node:assert/strict'
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { identityOf } from '../../src/core/files/index.ts'
import {
  acceptsConnections,
  claimDirectory,
  ErrorCode,
  occupySocketPath,
  removeIfSame,
  writeOutput
} from '../../src/core/index.ts'
import { asRoot, scopeOf } from '../harness/index.ts'

const OURS = { what: 'a backup', isSameKind: (head: Buffer) => head.toString('latin1').startsWith('ours') }

/** One of each kind that a path can name, and how to see that it is as it was. */
function kinds(directory: string): ReadonlyArray<readonly [path: string, look: () => string]> {
  const at = (name: string): string => join(directory, name)
  writeFileSync(at('file'), 'precious')
  writeFileSync(at('target'), 'ours')
  symlinkSync(at('target'), at('link'))
  symlinkSync(at('nowhere'), at('dangling'))
  mkdirSync(at('directory'))
  execFileSync('mkfifo', [at('fifo')])
  const names = ['file', 'link', 'dangling', 'directory', 'fifo']
  return names.map(name => [
    at(name),
    () => {
      const { mode, ino, nlink } = lstatSync(at(name))
      const content = name === 'file' ? readFileSync(at(name), 'utf8') : ''
      const to = name === 'link' || name === 'dangling' ? `${readlinkSync(at(name))} ${readFileSync(at('target'))}` : ''
      return `${mode} ${ino} ${nlink} ${content} ${to} ${existsSync(at('nowhere'))}`
    }
  ])
}

test('an output replaces a file of its kind or an empty one, and leaves everything else as it is', t => {
  const directory = scopeOf(t).directory()
  for (const [path, look] of kinds(directory)) {
    const before = look()
    const code = path.endsWith('file') ? ErrorCode.AlreadyExists : ErrorCode.InvalidArgument
    assert.throws(() => writeOutput(path, 'ours, new', OURS), { code }, path)
    assert.equal(look(), before, path)
  }
  const before = readdirSync(directory).sort()
  for (const former of ['ours, old', '']) {
    writeFileSync(join(directory, 'out'), former)
    writeOutput(join(directory, 'out'), 'ours, new', OURS)
    assert.equal(readFileSync(join(directory, 'out'), 'utf8'), 'ours, new')
  }
  writeOutput(join(directory, 'other'), 'ours', { ...OURS, mode: 0o644 })
  assert.equal(statSync(join(directory, 'out')).mode & 0o777, 0o600)
  assert.equal(statSync(join(directory, 'other')).mode & 0o777, 0o644)
  assert.deepEqual(readdirSync(directory).sort(), [...before, 'other', 'out'].sort(), 'nothing half-written')
})

test('a device is neither replaced nor written to as an output', asRoot, t => {
  const path = join(scopeOf(t).directory(), 'null')
  execFileSync('mknod', [path, 'c', '1', '3'])
  assert.throws(() => writeOutput(path, 'ours', { ...OURS, pipeHint: 'Give -.' }), {
    code: ErrorCode.InvalidArgument,
    reason: /is a device/,
    hint: 'Give -.'
  })
  assert.ok(lstatSync(path).isCharacterDevice())
})

test('an output leaves a file beside it that is named as another program might name its own', t => {
  const path = join(scopeOf(t).directory(), 'out')
  writeFileSync(`${path}.new`, 'precious')
  writeOutput(path, 'ours', OURS)
  assert.equal(readFileSync(`${path}.new`, 'utf8'), 'precious')
})

async function listening(t: TestContext, path: string): Promise<Server> {
  const server = createServer()
  await once(server.listen(path), 'listening')
  t.after(() => server.close())
  return server
}

/** Leaves a socket that nobody serves. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer()
  await once(server.listen(`${path}~`), 'listening')
  linkSync(`${path}~`, path)
  server.close()
  await once(server, 'close')
  assert.ok(lstatSync(path).isSocket())
}

test('only a socket that nobody serves makes room for another', async t => {
  const directory = scopeOf(t).directory()
  const bind = async (): Promise<string> => assert.fail('nothing may be bound')
  for (const [path, look] of kinds(directory)) {
    const before = look()
    await assert.rejects(occupySocketPath(path, acceptsConnections, bind), {
      code: ErrorCode.InvalidArgument,
      reason: /exists and is .*, not a socket/
    })
    assert.equal(look(), before, path)
  }
  const live = join(directory, 'live')
  await listening(t, live)
  await assert.rejects(occupySocketPath(live, acceptsConnections, bind), { code: ErrorCode.PortInUse })
  assert.ok(lstatSync(live).isSocket())
  symlinkSync(live, join(directory, 'to-live'))
  await assert.rejects(occupySocketPath(join(directory, 'to-live'), acceptsConnections, bind), {
    code: ErrorCode.InvalidArgument
  })
  await assert.rejects(occupySocketPath(join(directory, 'no', 's'), acceptsConnections, bind), {
    code: ErrorCode.InvalidArgument,
    reason: /the directory .*no does not exist/
  })
  await assert.rejects(occupySocketPath(join(directory, 'x'.repeat(110)), acceptsConnections, bind), {
    code: ErrorCode.InvalidArgument,
    reason: /bytes, the system allows/
  })
  const stale = join(directory, 'stale')
  await leaveStale(stale)
  assert.equal(await occupySocketPath(stale, acceptsConnections, async () => existsSync(stale)), false)
})

test('what came into the place of a socket is not removed at its end', async t => {
  const path = join(scopeOf(t).directory(), 's')
  await listening(t, path)
  const identity = identityOf(path)
  removeIfSame(path, identity)
  assert.equal(existsSync(path), false)
  writeFileSync(path, 'precious')
  removeIfSame(path, identity)
  assert.equal(readFileSync(path, 'utf8'), 'precious')
})

// Waits for the word, so that all are as close as can be.
const RACER = `
import { createServer } from 'node:net'
import { acceptsConnections, occupySocketPath } from ${JSON.stringify(new URL('../../src/core/index.ts', import.meta.url).href)}
const path = process.argv[1]
const server = createServer()
process.on('message', async () => {
  const bind = () => new Promise((resolve, reject) => server.once('error', reject).listen(path, () => resolve(true)))
  process.send(await occupySocketPath(path, acceptsConnections, bind).catch(() => false))
})
process.send('ready')
`

test('of many processes that find one stale socket at once, one takes it and keeps it', async t => {
  const directory = scopeOf(t).directory()
  const program = join(directory, 'racer.mjs')
  writeFileSync(program, RACER.replace('process.argv[1]', 'process.argv[2]'))
  const path = join(directory, 's')
  const racers = Array.from({ length: 6 }, () => fork(program, [path]))
  t.after(() => {
    for (const racer of racers) racer.kill('SIGKILL')
  })
  await Promise.all(racers.map(racer => once(racer, 'message')))
  await leaveStale(path)
  const answers = racers.map(async racer => (await once(racer, 'message'))[0])
  for (const racer of racers) racer.send('go')
  assert.deepEqual((await Promise.all(answers)).filter(Boolean), [true])
  assert.ok(await acceptsConnections(path), 'the one that took it is reached')
})

test('a directory is claimed when it is new, empty or ours, and else nothing of it is changed', t => {
  const directory = scopeOf(t).directory()
  const claim = (path: string): string =>
    claimDirectory(path, {
      what: 'the directory',
      mode: 0o700,
      isOurs: names => names.includes('mark'),
      option: '--dir'
    })
  assert.equal(claim(join(directory, 'a', 'b')), 'made')
  assert.equal(claim(join(directory, 'a', 'b')), 'empty')
  writeFileSync(join(directory, 'a', 'b', 'mark'), '')
  assert.equal(claim(join(directory, 'a', 'b')), 'ours')
  chmodSync(directory, 0o755)
  assert.throws(() => claim(directory), { code: ErrorCode.StateUnusable, reason: /not empty/ })
  assert.equal(statSync(directory).mode & 0o777, 0o755)
  chmodSync(join(directory, 'a', 'b'), 0o1777)
  assert.throws(() => claim(join(directory, 'a', 'b')), { code: ErrorCode.StateUnusable, reason: /written by others/ })
  assert.equal(statSync(join(directory, 'a', 'b')).mode & 0o7777, 0o1777)
  writeFileSync(join(directory, 'file'), '')
  symlinkSync(directory, join(directory, 'link'))
  for (const name of ['file', 'link']) {
    assert.throws(() => claim(join(directory, name)), { code: ErrorCode.StateUnusable, reason: /not a directory/ })
  }
  assert.throws(() => claim(join(directory, 'file', 'below')), { code: ErrorCode.StateUnusable, reason: /ENOTDIR/ })
})
