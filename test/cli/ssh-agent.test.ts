import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { sshKeys, sshSign } from '../../src/cli/keys/ssh-agent.ts'
import { FrameReader, MAX_FRAME_BYTES, SshReader, sshString } from '../../src/cli/keys/ssh-frames.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { CONTEXT, inContext, verifySignature } from '../../src/identity/index.ts'
import { needsCommand, scopeOf, waitFor } from '../harness/index.ts'

const BYTES = Buffer.from('what an admin states')

/** An ssh-agent that answers every request with these bytes, each in pieces. */
async function fakeAgent(t: TestContext, ...pieces: Uint8Array[]): Promise<string> {
  const path = join(scopeOf(t).directory(), 'agent.sock')
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => {
      for (const piece of pieces) socket.write(piece)
      if (pieces.length === 0) socket.end()
    })
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.after(() => server.close())
  return path
}

const frame = (...parts: Uint8Array[]): Buffer => sshString(Buffer.concat(parts))
const count = (number: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}

test('a real ssh-agent lists its Ed25519 keys and signs with one, as any host verifies', async t => {
  if (!needsCommand(t, 'ssh-agent') || !needsCommand(t, 'ssh-add')) return
  const directory = scopeOf(t).directory()
  const socket = join(directory, 'agent.sock')
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  t.after(() => agent.kill())
  await waitFor(async () => existsSync(socket), 'ssh-agent to listen')
  assert.deepEqual(await sshKeys(socket), [])
  const env = { ...process.env, SSH_AUTH_SOCK: socket }
  for (const [kind, name] of [
    ['ed25519', 'bob'],
    ['ecdsa', 'other']
  ] as const) {
    const path = join(directory, name)
    execFileSync('ssh-keygen', ['-q', '-t', kind, '-N', '', '-C', name, '-f', path])
    execFileSync('ssh-add', ['-q', path], { env, stdio: 'ignore' })
  }
  const [bob, ...others] = await sshKeys(socket)
  assert.deepEqual([bob?.comment, others], ['bob', []], 'a key of another kind is left out')
  const shown = execFileSync('ssh-add', ['-l'], { env }).toString()
  assert.ok(shown.includes(bob!.fingerprint), shown)
  const signature = await sshSign(socket, bob!.key, inContext(CONTEXT.policySet, BYTES))
  assert.ok(verifySignature(bob!.key, CONTEXT.policySet, BYTES, signature))
  assert.ok(!verifySignature(bob!.key, CONTEXT.question, BYTES, signature))
  await assert.rejects(sshSign(socket, new Uint8Array(32), BYTES), { code: ErrorCode.PermissionDenied })

  // What the same key signs as a file, for the very purpose, is no statement.
  const file = join(directory, 'statement')
  writeFileSync(file, inContext(CONTEXT.policySet, BYTES))
  const signed = ['-q', '-Y', 'sign', '-n', CONTEXT.policySet, '-f', join(directory, 'bob.pub'), file]
  execFileSync('ssh-keygen', signed, { env, stdio: 'ignore' })
  const armoured = readFileSync(`${file}.sig`, 'utf8')
    .split('\n')
    .filter(line => !line.startsWith('-----'))
    .join('')
  const other = Buffer.from(armoured, 'base64').subarray(-64)
  assert.ok(!verifySignature(bob!.key, CONTEXT.policySet, BYTES, other))
})

test('an ssh-agent that answers something else is refused, and nothing waits for it', async t => {
  const refusals: ReadonlyArray<readonly [string, Uint8Array[]]> = [
    [ErrorCode.NotFound, []],
    [ErrorCode.MessageMalformed, [frame(Buffer.of(5))]],
    [ErrorCode.MessageMalformed, [frame(Buffer.of(12), count(1))]],
    [ErrorCode.MessageMalformed, [frame(Buffer.of(12), count(0xffffffff))]],
    [ErrorCode.MessageMalformed, [frame(Buffer.of(12), count(0), Buffer.of(0))]],
    [ErrorCode.MessageMalformed, [Buffer.concat([frame(Buffer.of(12), count(0)), Buffer.of(0)])]],
    [ErrorCode.MessageTooLarge, [count(MAX_FRAME_BYTES + 1)]]
  ]
  for (const [code, pieces] of refusals) await assert.rejects(sshKeys(await fakeAgent(t, ...pieces)), { code })
  const absent = join(scopeOf(t).directory(), 'absent.sock')
  await assert.rejects(sshKeys(absent), { code: ErrorCode.NotFound })
  const notSocket = join(scopeOf(t).directory(), 'file')
  writeFileSync(notSocket, '')
  await assert.rejects(sshKeys(notSocket), { code: ErrorCode.NotFound })
  const short = frame(
    Buffer.of(14),
    sshString(Buffer.concat([sshString('ssh-ed25519'), sshString(new Uint8Array(63))]))
  )
  await assert.rejects(sshSign(await fakeAgent(t, short), new Uint8Array(32), BYTES), {
    code: ErrorCode.MessageMalformed
  })
})

test('an answer that comes byte by byte is read as a whole one', async t => {
  const whole = frame(Buffer.of(12), count(1), sshString(sshString('ssh-rsa')), sshString('comment'))
  const pieces = [...whole].map(byte => Buffer.of(byte))
  assert.deepEqual(await sshKeys(await fakeAgent(t, ...pieces)), [])
})

test('no bytes make the readers take more than there is, or throw anything but a refusal', () => {
  let state = 1
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state % below
  }
  for (let round = 0; round < 5_000; round += 1) {
    const bytes = Buffer.from(Array.from({ length: random(40) }, () => (random(2) === 0 ? 0 : random(256))))
    try {
      const frames = new FrameReader()
      const cut = random(bytes.length + 1)
      const read = frames.push(bytes.subarray(0, cut)) ?? frames.push(bytes.subarray(cut))
      assert.ok((read?.length ?? 0) <= bytes.length)
      const reader = new SshReader(bytes)
      for (let fields = 0; fields < 8; fields += 1) assert.ok(reader.string().length <= bytes.length)
      reader.end()
    } catch (err) {
      assert.ok(err instanceof WarrenError, String(err))
    }
  }
})
