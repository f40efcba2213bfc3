import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type Duplex, duplexPair } from 'node:stream'
import test from 'node:test'
import { inspect } from 'node:util'
import { ErrorCode, type Logger, WarrenError } from '../../src/core/index.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type JoinAuthority,
  join,
  serveJoin
} from '../../src/identity/index.ts'
import { create, encodeFrame, identityPb, readFrame, toBinary } from '../../src/wire/index.ts'
import { code, forever, founder, joinWith, setUp } from './authority.ts'

const serving = (authority: JoinAuthority) => (stream: Duplex) => void serveJoin(stream, authority, forever)

test('an authority that stalls is left after ten seconds, for the next address', async t => {
  const { token, authority, leaf } = await setUp()
  const two = token({ authorityAddresses: ['192.0.2.1:1', '192.0.2.1:2'] })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const stalled = Promise.withResolvers<void>()
  const joining = joinWith(
    two,
    (stream, address) => (address.endsWith(':1') ? stalled.resolve() : serving(authority)(stream)),
    leaf
  )
  await stalled.promise
  // Lets the joiner begin to wait for the hello.
  await new Promise(setImmediate)
  t.mock.timers.tick(10_000)
  assert.equal((await joining).node.machine, 'b')
})

test('an authority that stalls everywhere, or half-way through its answer, is a failure that names each address', async t => {
  const { token, leaf } = await setUp()
  const chain = [leaf, ...founder.chain]
  const hello = encodeFrame(
    toBinary(identityPb.JoinHelloSchema, create(identityPb.JoinHelloSchema, { certificateChain: chain }))
  )
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const asked = Promise.withResolvers<void>()
  const half = (stream: Duplex): void => {
    stream.write(hello)
    stream.once('data', () => stream.write(Buffer.from('00000fff00', 'hex'), () => asked.resolve()))
  }
  const joining = joinWith(token(), half, leaf)
  const failed = assert.rejects(joining, code('JOIN_FAILED', /192\.0\.2\.1:7461: .*10000 ms/))
  await asked.promise
  await new Promise(setImmediate)
  t.mock.timers.tick(10_000)
  await failed
})

test('a joiner that says nothing is cut after ten seconds', async t => {
  const { authority } = await setUp()
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const [ours, theirs] = duplexPair()
  const served = serveJoin(theirs, authority, forever)
  await readFrame(ours, 65_536, forever)
  t.mock.timers.tick(10_000)
  await served
  assert.equal(theirs.destroyed, true)
})

test('an authority that stops cuts its joiners at once', async () => {
  const { authority } = await setUp()
  const stop = new AbortController()
  const [ours, theirs] = duplexPair()
  const served = serveJoin(theirs, authority, stop.signal)
  await readFrame(ours, 65_536, forever)
  stop.abort(new Error('stopping'))
  await served
  assert.equal(theirs.destroyed, true)
})

test('a request of the largest size is answered, and one above it is not read', async () => {
  const { authority, requests } = await setUp()
  for (const [bytes, answered] of [
    [65_000, true],
    [65_537, false]
  ] as const) {
    const [ours, theirs] = duplexPair()
    const served = serveJoin(theirs, authority, forever)
    await readFrame(ours, 65_536, forever)
    const request = create(identityPb.JoinRequestSchema, { secret: new Uint8Array(bytes) })
    ours.write(encodeFrame(toBinary(identityPb.JoinRequestSchema, request)))
    if (answered) assert.ok((await readFrame(ours, 65_536, forever)).length > 0)
    await served
    assert.equal(requests.length, 1)
  }
})

test('a joiner whose clock is wrong is told so, and keeps its token', async () => {
  const { token, authority, leaf, tokens } = await setUp()
  const one = token()
  const joining = join({
    token: one,
    peerKey: generatePeerKeyPair(),
    nodeKey: generateSigningKeyPair(),
    connect: async () => {
      const [stream, theirs] = duplexPair()
      serving(authority)(theirs)
      return { stream, peerCertificate: leaf }
    },
    nowMs: () => Date.UTC(1970, 0),
    signal: forever
  })
  await assert.rejects(joining, code('JOIN_FAILED', /is valid from 20/))
  assert.equal(tokens.usesOf(one.id).length, 0)
})

test('neither log nor error of either side shows a secret', async () => {
  const lines: unknown[] = []
  const note = (...all: unknown[]): void => void lines.push(all)
  const log: Logger = { error: note, warn: note, info: note, debug: note, child: () => log }
  const { token, authority, leaf } = await setUp()
  const good = token()
  const bad = { ...token(), secret: randomBytes(32) }
  const failing: JoinAuthority = {
    ...authority,
    admit: async () => {
      throw new WarrenError(ErrorCode.Internal, 'the disk is full')
    }
  }
  await joinWith(good, serving({ ...authority, log }), leaf)
  for (const [one, serve] of [
    [good, serving({ ...authority, log })],
    [bad, serving({ ...authority, log })],
    [bad, serving({ ...failing, log })],
    [bad, serving({ ...authority, agentChain: () => [], log })],
    [bad, (stream: Duplex) => void stream.end(encodeFrame(randomBytes(99)))]
  ] as const) {
    await joinWith(one, serve, leaf).then(
      () => assert.fail('admitted'),
      (err: unknown) => lines.push(err)
    )
  }
  const shown = inspect(lines, { depth: 20, maxArrayLength: null, maxStringLength: null }) + JSON.stringify(lines)
  assert.match(shown, /already used/)
  for (const { secret } of [good, bad]) {
    const bytes = Buffer.from(secret)
    for (const text of [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')]) {
      assert.equal(shown.includes(text.slice(0, 20)), false)
    }
    assert.equal(shown.includes([...bytes.subarray(0, 8)].join(',')), false)
    assert.equal(shown.includes([...bytes.subarray(0, 8)].join(', ')), false)
  }
})
