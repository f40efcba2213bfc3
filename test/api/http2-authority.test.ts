import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { TakenFrames } from '../../src/api/http2-authority/frames.ts'
import { Authorities } from '../../src/api/http2-authority/header-block.ts'
import { decodeHuffman } from '../../src/api/http2-authority/huffman.ts'
import { serveLocal, workloadRoutes } from '../../src/api/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import { fakeCredentials, tempDir, until, workloadHandlers } from './support.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const PATH = '/run/warren/agent.sock'
// By the hpack of Python.
const PATH_IN_HUFFMAN = Buffer.from('62cb6a63c0ecb0b530398b525741c9d7', 'hex')
const TAKEN = '_run_warren_agent.sock'
const HEADERS = 1
const CONTINUATION = 9
const DATA = 0
const SETTINGS = 4
const STATUS_200 = 0x88

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A string of HPACK, as it is or in the code of Huffman. */
function text(value: string | Buffer): Buffer {
  return typeof value === 'string'
    ? Buffer.concat([Buffer.of(value.length), Buffer.from(value)])
    : Buffer.concat([Buffer.of(0x80 | value.length), value])
}

const withTakenAuthority = (block: Buffer): Buffer => new Authorities().taken(block)
const named = (name: string, value: string): Buffer => Buffer.concat([Buffer.of(0), text(name), text(value)])
const authority = (value: string | Buffer): Buffer => Buffer.concat([Buffer.of(0x41), text(value)])
/** The first field that was added to the table. */
const FROM_TABLE = Buffer.of(0x80 | 62)

/** A call with these bytes as its authority, in two frames. */
function call(stream: number, of: Buffer): Buffer {
  const block = Buffer.concat([
    // POST, http
    Buffer.of(0x83, 0x86),
    Buffer.concat([Buffer.of(0x04), text('/warren.api.v1.WorkloadService/GetStatus')]),
    of,
    named('content-type', 'application/json')
  ])
  return Buffer.concat([frame(HEADERS, 0x04, stream, block), frame(DATA, 0x01, stream, Buffer.from('{}'))])
}

/** The frames of these bytes. */
function split(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < bytes.length; at += frames.at(-1)?.length ?? 1)
    frames.push(bytes.subarray(at, at + 9 + bytes.readUIntBE(at, 3)))
  return frames
}

/** A block of headers in frames that end at these places of it. */
function fragmented(stream: number, block: Buffer, ends: readonly number[]): Buffer[] {
  const bounds = [0, ...ends, block.length]
  return bounds.slice(1).map((end, index) => {
    const type = index === 0 ? HEADERS : CONTINUATION
    return frame(type, index === ends.length ? 0x04 : 0, stream, block.subarray(bounds[index], end))
  })
}

function padded(stream: number, block: Buffer, bytes: number): Buffer {
  return frame(HEADERS, 0x0c, stream, Buffer.concat([Buffer.of(bytes), block, Buffer.alloc(bytes)]))
}

/** Collects the first byte of each frame with headers that comes. */
function statusesOn(socket: Socket): number[] {
  const statuses: number[] = []
  let rest = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      if (rest[3] === HEADERS) statuses.push(rest[9] ?? 0)
      rest = rest.subarray(9 + rest.readUIntBE(0, 3))
    }
  })
  return statuses
}

async function serve(t: TestContext): Promise<string> {
  const server = await serveLocal({
    path: join(await tempDir(t), 'agent.sock'),
    mode: 0o600,
    credentials: fakeCredentials().read,
    routes: workloadRoutes(workloadHandlers({ getStatus: async () => ({ version: '1' }) })),
    service: 'workload',
    log: silentLogger
  })
  t.after(() => server.close())
  return server.path
}

for (const [form, value] of [
  ['as it is', PATH],
  ['in the code of Huffman', PATH_IN_HUFFMAN]
] as const) {
  test(`a call is answered whose authority is the path of the socket, as gRPC in Java sends it: ${form}`, async t => {
    const socket = connect({ path: await serve(t) })
    t.after(() => socket.destroy())
    const statuses = statusesOn(socket)
    // Like Netty: the calls follow the settings of the server, and the second one finds the authority in the table.
    socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.alloc(0))]))
    await once(socket, 'data')
    socket.write(call(1, authority(value)))
    await until(() => statuses.length === 1)
    socket.write(call(3, FROM_TABLE))
    await until(() => statuses.length === 2)
    assert.deepEqual(statuses, [STATUS_200, STATUS_200])
  })
}

test('a call that comes with the first bytes of its connection is answered, whatever its authority', async t => {
  const path = await serve(t)
  for (const value of [PATH, 'localhost', 'run%2Fagent.sock']) {
    const socket = connect({ path })
    t.after(() => socket.destroy())
    const statuses = statusesOn(socket)
    socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.alloc(0)), call(1, authority(value))]))
    await until(() => statuses.length === 1)
    assert.deepEqual(statuses, [STATUS_200], value)
  }
})

test('a call is answered without an authority, with one whose name is a literal, and in fragments', async t => {
  const path = await serve(t)
  const [headers = Buffer.alloc(0), data = Buffer.alloc(0)] = split(call(1, authority(PATH)))
  const block = headers.subarray(9)
  for (const [what, sent] of [
    ['no authority', call(1, Buffer.alloc(0))],
    ['a literal name', call(1, named(':authority', PATH))],
    // In the middle of the authority, with an empty fragment behind it.
    ['fragments', Buffer.concat([...fragmented(1, block, [48, 50, 50, 70]), data])],
    ['padding', Buffer.concat([padded(1, block, 40), data])]
  ] as const) {
    const socket = connect({ path })
    t.after(() => socket.destroy())
    const statuses = statusesOn(socket)
    socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.alloc(0)), sent]))
    await until(() => statuses.length === 1)
    assert.deepEqual(statuses, [STATUS_200], what)
  }
})

test('only the authority changes, and keeps its length: the tables of both ends stay the same', () => {
  const others = [
    Buffer.of(0x83, 0x86),
    Buffer.concat([Buffer.of(0x44), text('/a/b c')]),
    named(':authority-like', '/x'),
    // A change of the table's size, and a value that may not be put in a table.
    Buffer.of(0x3f, 0xe1, 0x1f),
    Buffer.concat([Buffer.of(0x10), text('x'), text('/y')])
  ]
  const block = (of: Buffer): Buffer => Buffer.concat([...others.slice(0, 2), of, ...others.slice(2)])
  assert.deepEqual(withTakenAuthority(block(authority(PATH))), block(authority(TAKEN)))
  assert.deepEqual(withTakenAuthority(block(authority(PATH_IN_HUFFMAN))), block(authority(TAKEN)))
  for (const taken of ['localhost', 'run%2Fwarren.sock', '[fd00::1]:80', '']) {
    const same = block(authority(taken))
    assert.equal(withTakenAuthority(same), same)
  }
  const long = '/'.repeat(5_000)
  const encoded = Buffer.concat([Buffer.of(0x41, 127, ((5_000 - 127) % 128) + 128, Math.floor((5_000 - 127) / 128))])
  assert.deepEqual(
    withTakenAuthority(Buffer.concat([encoded, Buffer.from(long)])),
    Buffer.concat([encoded, Buffer.from('_'.repeat(5_000))])
  )
})

test('an authority is added to a call alone, behind changes of the table, and never beside one that the table may have', () => {
  const added = Buffer.concat([Buffer.of(1), text('localhost')])
  const size = Buffer.of(0x3f, 0xe1, 0x1f)
  const call = Buffer.concat([Buffer.of(0x83, 0x86), named('a', 'b')])
  assert.deepEqual(withTakenAuthority(Buffer.concat([size, call])), Buffer.concat([size, added, call]))
  const put = Buffer.concat([Buffer.of(0x02), text('PUT')])
  assert.deepEqual(withTakenAuthority(put), Buffer.concat([added, put]))
  const trailers = named('grpc-status', '0')
  assert.equal(withTakenAuthority(trailers), trailers)
  const connection = new Authorities()
  assert.deepEqual(connection.taken(call), Buffer.concat([added, call]))
  connection.taken(Buffer.concat([call, authority('x')]))
  const fromTable = Buffer.concat([call, FROM_TABLE])
  assert.equal(connection.taken(fromTable), fromTable)
})

test('a block that cannot be read stays as it is', () => {
  const whole = Buffer.concat([authority(PATH), named('a', 'b')])
  for (let length = 1; length < whole.length; length += 1) {
    const cut = whole.subarray(0, length)
    const result = withTakenAuthority(cut)
    assert.ok(result === cut || result.length === cut.length)
  }
  for (const broken of ['41ff', '41ffffffffffffffff', '4181ff', '7f', '00', '3fffffffffff7f']) {
    const block = Buffer.from(broken, 'hex')
    assert.equal(withTakenAuthority(block), block, broken)
  }
})

test('frames pass whole and in order, in whatever pieces they come', () => {
  const padded = Buffer.concat([Buffer.of(3), Buffer.alloc(5), authority(PATH), Buffer.alloc(3)])
  const sent = [
    PREFACE,
    frame(SETTINGS, 0, 0, Buffer.alloc(36, 7)),
    frame(HEADERS, 0x2c, 1, padded),
    frame(DATA, 0, 1, Buffer.alloc(9_000, 1)),
    call(3, authority(PATH_IN_HUFFMAN)),
    frame(HEADERS, 0x0c, 5, Buffer.of(250, 1)),
    frame(DATA, 1, 1, Buffer.alloc(0))
  ]
  const expected = [...sent]
  expected[2] = frame(
    HEADERS,
    0x2c,
    1,
    Buffer.concat([Buffer.of(3), Buffer.alloc(5), authority(TAKEN), Buffer.alloc(3)])
  )
  expected[4] = call(3, authority(TAKEN))
  for (const size of [1, 7, 24, 1_000, 100_000]) {
    const frames = new TakenFrames()
    const bytes = Buffer.concat(sent)
    const passed: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) passed.push(...frames.next(bytes.subarray(at, at + size)))
    assert.deepEqual(Buffer.concat(passed), Buffer.concat(expected), `in pieces of ${size}`)
  }
})

test('whatever frames come, each block of headers has the authority that it has as a whole, and all else is unchanged', () => {
  const value = fc.oneof(fc.constantFrom(PATH, 'localhost', '/'), fc.constant(PATH_IN_HUFFMAN))
  const blocks = fc
    .tuple(value, fc.array(fc.tuple(fc.constantFrom('a', 'x-b'), fc.string({ unit: 'grapheme-ascii', maxLength: 20 }))))
    .map(([of, fields]) =>
      Buffer.concat([Buffer.of(0x83), authority(of), ...fields.map(([name, field]) => named(name, field))])
    )
  const calls = fc
    .tuple(blocks, fc.array(fc.nat(120), { maxLength: 5 }), fc.nat(40))
    .map(([block, places, padding]) => {
      const ends = places.map(place => Math.min(place, block.length)).sort((a, b) => a - b)
      return { block, frames: ends.length === 0 ? [padded(1, block, padding)] : fragmented(1, block, ends) }
    })
  const other = fc
    .uint8Array({ maxLength: 60 })
    .map(bytes => ({ block: undefined, frames: [frame(DATA, 0, 1, bytes)] }))
  const property = fc.property(fc.array(fc.oneof(calls, other)), fc.integer({ min: 1, max: 90 }), (sent, size) => {
    const frames = new TakenFrames()
    const bytes = Buffer.concat([PREFACE, ...sent.flatMap(one => one.frames)])
    const passed: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) passed.push(...frames.next(bytes.subarray(at, at + size)))
    const received = split(Buffer.concat(passed).subarray(PREFACE.length))
    const blocksOf = (all: readonly Buffer[]): string[] => {
      const found: Buffer[] = []
      for (const one of all) {
        const padding = one[3] === HEADERS && ((one[4] ?? 0) & 8) !== 0 ? (one[9] ?? 0) : undefined
        const part = padding === undefined ? one.subarray(9) : one.subarray(10, one.length - padding)
        if (one[3] === CONTINUATION) found.push(Buffer.concat([found.pop() ?? Buffer.alloc(0), part]))
        else found.push(part)
      }
      return found.map(one => one.toString('hex'))
    }
    const authorities = new Authorities()
    const expected = sent.map(({ block, frames: own }) => {
      const whole = block === undefined ? own[0]?.subarray(9) : authorities.taken(block)
      return whole?.toString('hex') ?? ''
    })
    assert.deepEqual(blocksOf(received), expected)
  })
  fc.assert(property, { numRuns: 300 })
  // And bytes that are no frames at all.
  const anything = fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 90 }), (noise, size) => {
    const frames = new TakenFrames()
    const bytes = Buffer.concat([PREFACE, noise])
    const passed: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) passed.push(...frames.next(bytes.subarray(at, at + size)))
    assert.ok(Buffer.concat(passed).subarray(0, PREFACE.length).equals(PREFACE))
  })
  fc.assert(anything, { numRuns: 300 })
})

test('more fragments than a call may have, and a frame between them, pass as they came', () => {
  const block = Buffer.concat([authority(PATH), named('a', 'b')])
  const many = fragmented(
    1,
    block,
    Array.from({ length: 20 }, (_, index) => index)
  )
  const between = [...fragmented(1, block, [10]).slice(0, 1), frame(DATA, 0, 1, Buffer.of(1))]
  for (const sent of [many, between]) {
    const frames = new TakenFrames()
    const bytes = Buffer.concat([PREFACE, ...sent])
    assert.ok(Buffer.concat(frames.next(bytes)).equals(bytes))
  }
})

test('the code of Huffman is that of RFC 7541, appendix C', () => {
  assert.equal(decodeHuffman(Buffer.from('f1e3c2e5f23a6ba0ab90f4ff', 'hex'))?.toString(), 'www.example.com')
  assert.equal(
    decodeHuffman(Buffer.from('9d29ad171863c78f0b97c8e9ae82ae43d3', 'hex'))?.toString(),
    'https://www.example.com'
  )
  assert.equal(decodeHuffman(Buffer.from('ffffffff', 'hex')), undefined)
  assert.equal(decodeHuffman(Buffer.from('f1e3c2e5f23a6ba0ab90f400', 'hex')), undefined)
})
