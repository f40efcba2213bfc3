import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { encodePreamble, FIRST_BYTE, PREAMBLE_BYTES } from '../../src/proxy/fastpath/format.ts'
import { settled } from '../harness/index.ts'
import { type Meddle, meddle, pass } from './support/meddler.ts'
import { Accepted, converse, dial, endOf, hashAll, readAll, readBytes, say, writeMany } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const MEGABYTE = 1024 * 1024
const AT_ONCE = { upgradeThresholds: { bytes: 0, chunks: 1 } } as const

async function hosts(options: HostOptions = {}, between?: Meddle) {
  const world = await World.create()
  const near = await world.host('alpha', options)
  const far = await world.host('beta', options)
  const direct = far.dataAddresses[0] ?? ''
  if (between !== undefined) far.dataAddresses = [await meddle(world, direct, between)]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const open = async (): Promise<{ client: Socket; server: Socket }> => {
    const client = await dial(path)
    client.write('x')
    const server = await accepted.next()
    await readBytes(server, 1)
    return { client, server }
  }
  return { world, near, far, direct, open }
}

function carriers(...hosts: readonly Host[]): string[] {
  return hosts.flatMap(host => host.proxy.flows().map(({ carrier }) => carrier))
}

async function exchange({ client, server }: { client: Socket; server: Socket }): Promise<void> {
  const [up, gotUp] = await Promise.all([writeMany(client, 6 * MEGABYTE, 1), hashAll(server)])
  assert.deepEqual(gotUp, { hash: up, bytes: 6 * MEGABYTE })
  const [down, gotDown] = await Promise.all([writeMany(server, 6 * MEGABYTE, 2), hashAll(client)])
  assert.deepEqual(gotDown, { hash: down, bytes: 6 * MEGABYTE })
}

describe('a fast-path connection', () => {
  it('is what a flow of many bytes or of many messages moves to, and not one that is small', async () => {
    const { world, near, far, open } = await hosts()
    await using _ = world
    const small = await open()
    const bulk = await open()
    bulk.client.write(randomBytes(MEGABYTE))
    await readBytes(bulk.server, MEGABYTE)
    const isMoved = (count: number) => () =>
      carriers(near, far).filter(carrier => carrier === 'fastpath').length === count
    await converse(bulk.client, bulk.server, isMoved(2))
    const chatty = await open()
    await converse(chatty.client, chatty.server, isMoved(4))
    assert.deepEqual(carriers(near), ['direct', 'fastpath', 'fastpath'])
    for (const { client, server } of [small, bulk, chatty]) {
      client.end('the end')
      assert.equal((await readAll(server)).toString(), 'the end')
      server.end('of all')
      assert.equal((await readAll(client)).toString(), 'of all')
    }
    await far.flowEnd(/^ended$/)
    assert.equal(near.lines.filter(({ fields }) => fields.reason === 'ended').length, 3)
  })

  it('does not come where connections beside sessions are refused or swallowed: flows stay where they are', async () => {
    const ways: readonly Meddle[] = [(_piece, _way, { near }) => near.destroy(), () => {}]
    await Promise.all(
      ways.map(async between => {
        const { world, near, far, open } = await hosts(AT_ONCE, between)
        await using _ = world
        await exchange(await open())
        const again = await open()
        assert.deepEqual(carriers(near, far), ['direct', 'direct'])
        await exchange(again)
      })
    )
  })

  it('that could not be made delays the next one by a moment: the same flow moves later, and so do others', async () => {
    let refused = 0
    const { world, near, far, open } = await hosts(AT_ONCE, (piece, way, connection) => {
      if (piece[0] === FIRST_BYTE && way === 'up' && refused++ < 2) connection.near.destroy()
      else pass(piece, way, connection)
    })
    await using _ = world
    const first = await open()
    await converse(first.client, first.server, () => carriers(near, far).every(carrier => carrier === 'fastpath'))
    assert.ok(refused >= 3)
    const second = await open()
    await converse(second.client, second.server, () => carriers(near).every(carrier => carrier === 'fastpath'))
    await exchange(first)
    await exchange(second)
  })

  it('has a limit, beyond which flows stay on their session', async () => {
    const { world, near, open } = await hosts({ ...AT_ONCE, limits: { fastPathConnections: 1 } })
    await using _ = world
    const first = await open()
    await converse(first.client, first.server, () => carriers(near).includes('fastpath'))
    const second = await open()
    let rounds = 0
    await converse(second.client, second.server, () => ++rounds > 80)
    assert.deepEqual(carriers(near), ['fastpath', 'direct'])
    assert.ok(near.hits.includes('proxy_fastpath_connections'))
    await exchange(first)
    await exchange(second)
    const third = await open()
    await converse(third.client, third.server, () => carriers(near).includes('fastpath'))
  })

  it('holds little of many small messages for a reader that has stalled, and goes on when it reads', async () => {
    const { world, near, far, open } = await hosts(AT_ONCE)
    await using _ = world
    const { client, server } = await open()
    await converse(client, server, () => carriers(near, far).every(carrier => carrier === 'fastpath'))
    const before = process.memoryUsage().rss
    let sent = 0
    let isFull = false
    // One at a time, so that each is a record of its own.
    while (!isFull && sent < 200_000) {
      for (let round = 0; round < 50 && !isFull; round += 1, sent += 1) isFull = !client.write(Buffer.of(sent & 0xff))
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.ok(process.memoryUsage().rss - before < 128 * MEGABYTE)
    client.end()
    const got = await readAll(server)
    assert.equal(got.length, sent)
    assert.ok(got.every((byte, index) => byte === (index & 0xff)))
  })

  for (const [what, harm] of [
    ['is lost', (_piece, _way, { near, far }) => void [near, far].map(socket => socket.destroy())],
    ['ends early', (_piece, _way, { near, far }) => void [near, far].map(socket => socket.end())],
    [
      'has a bit that is another',
      (piece, way, connection) => {
        const other = Buffer.from(piece)
        other[other.length >> 1] = other[other.length >> 1]! ^ 1
        pass(other, way, connection)
      }
    ],
    ['repeats a piece', (piece, way, connection) => pass(Buffer.concat([piece, piece]), way, connection)],
    ['leaves out a piece', () => {}],
    ['gets strange bytes', (piece, way, connection) => pass(Buffer.concat([randomBytes(100), piece]), way, connection)]
  ] as readonly (readonly [string, Meddle])[]) {
    for (const direction of ['up', 'down'] as const) {
      it(`that ${what} (${direction}) is a cut at both ends, before which all was right`, async () => {
        let untilHarm = 3 * MEGABYTE
        const { world, near, far, open } = await hosts(AT_ONCE, (piece, way, connection) => {
          if (way === direction) untilHarm -= piece.length
          if (untilHarm > 0 || way !== direction) pass(piece, way, connection)
          else {
            untilHarm = Number.POSITIVE_INFINITY
            harm(piece, way, connection)
          }
        })
        await using _ = world
        const { client, server } = await open()
        await converse(client, server, () => carriers(near, far).every(carrier => carrier === 'fastpath'))
        const [from, to] = direction === 'up' ? [client, server] : [server, client]
        const sent = randomBytes(8 * MEGABYTE)
        from.write(sent)
        const got: Buffer[] = []
        to.on('data', (chunk: Buffer) => got.push(chunk))
        const ends = await settled(Promise.all([endOf(client), endOf(server)]), 'both ends to be cut', 15_000)
        assert.deepEqual(
          ends.map(({ end }) => end),
          ['cut', 'cut']
        )
        const bytes = Buffer.concat(got)
        assert.ok(bytes.length < sent.length)
        assert.ok(bytes.equals(sent.subarray(0, bytes.length)), 'what arrived is what was sent')
        await Promise.all([near.flowEnd(/lost|reset|link/), far.flowEnd(/lost|reset|link/)])
      })
    }
  }

  it('that is repeated from a capture opens nothing and gets no answer, while the flow lives and after', async () => {
    const captured: Buffer[] = []
    const { world, near, far, direct, open } = await hosts(AT_ONCE, (piece, way, connection) => {
      if (way === 'up') captured.push(Buffer.from(piece))
      pass(piece, way, connection)
    })
    await using _ = world
    const { client, server } = await open()
    await converse(client, server, () => carriers(near, far).every(carrier => carrier === 'fastpath'))
    await say(direct, Buffer.concat(captured))
    client.write('still here')
    assert.equal((await readBytes(server, 10)).toString(), 'still here')
    await exchange({ client, server })
    await far.flowEnd(/^ended$/)
    await say(direct, Buffer.concat(captured))
  })
})

/** The same preamble for a pooled fast-path connection. */
function pooledOf(preamble: Buffer): Buffer {
  const pooled = Buffer.from(preamble)
  pooled.writeUInt32BE(2, 18)
  return pooled
}

describe('the data port', () => {
  it('says nothing to who begins as a fast-path connection does and knows no session, or no key', async () => {
    const preambles: Buffer[] = []
    const { world, near, far, direct, open } = await hosts(AT_ONCE, (piece, way, connection) => {
      if (way === 'up' && piece[0] === FIRST_BYTE) preambles.push(Buffer.from(piece.subarray(0, PREAMBLE_BYTES)))
      pass(piece, way, connection)
    })
    await using _ = world
    const { client, server } = await open()
    await converse(client, server, () => carriers(near, far).every(carrier => carrier === 'fastpath'))
    const known = preambles[0] ?? assert.fail()
    const unknown = encodePreamble({ version: 1, sessionTag: randomBytes(16), streamId: 1, salt: randomBytes(16) })
    const hello = Buffer.concat([Buffer.from([1, 0, 0, 0]), randomBytes(16)])
    await Promise.all([
      say(direct, unknown),
      say(direct, Buffer.concat([unknown, hello])),
      // The session has not said that it keeps fast-path connections.
      say(direct, Buffer.concat([pooledOf(known), hello])),
      say(direct, Buffer.concat([known, hello])),
      say(direct, Buffer.concat([known, randomBytes(MEGABYTE)])),
      say(direct, randomBytes(1_000).fill(FIRST_BYTE, 0, 1)),
      // Who says too little is closed when the time for a handshake is over.
      say(direct, Buffer.of(FIRST_BYTE)),
      say(direct, known.subarray(0, 30)),
      say(direct, known),
      say(direct, Buffer.alloc(0))
    ])
    client.write('still here')
    assert.equal((await readBytes(server, 10)).toString(), 'still here')
  })
})
