import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { IS_LONG } from '../harness/needs.ts'
import { waitFor } from '../harness/wait-for.ts'
import { type CarrierCase, hostsJoinedBy } from './support/carriers.ts'
import { KEPT_AT_ONCE, type Pair, untilConnectionIsPooled } from './support/pooled.ts'
import { proxyTo } from './support/proxy.ts'
import { Accepted, closed, dial, endOf, hashAll, readAll, readBytes, writeMany } from './support/sockets.ts'
import { type Host, type HostOptions, listenAt, World } from './support/world.ts'

/** One way to join two workloads. All of them must behave as a plain unix socket does. */
interface CarrierPath {
  readonly name: string
  /** What may be on its way to a reader that has stalled. What is between the agents may hold more than they do. */
  readonly maxStalledBytes: number
  readonly setUp: (world: World, accepted: Accepted) => Promise<() => Promise<Pair>>
}

const MEGABYTE = 1024 * 1024
/** Each way. More than all windows and buffers between the two ends hold. */
const LARGE_BYTES = (IS_LONG ? 24 : 6) * MEGABYTE
const FLOWS_AT_ONCE = IS_LONG ? 300 : 80

/** `on` a fast-path connection: from its first bytes on a flow moves to one, or it begins on a kept one; else it moves once it is used. */
function brokered(
  name: string,
  carrier: CarrierCase | 'local',
  manner?: 'rough',
  on: 'session' | 'fastpath' | 'pooled' = 'session'
): CarrierPath {
  return {
    name,
    maxStalledBytes: manner === undefined ? maxStalled(carrier) : Number.POSITIVE_INFINITY,
    async setUp(world, accepted) {
      const options = {
        ...(on === 'fastpath' ? { upgradeThresholds: { bytes: 0, chunks: 1 } } : {}),
        ...(on === 'pooled' ? KEPT_AT_ONCE : {})
      }
      const [near, far] = await hosts(world, carrier, options)
      if (manner !== undefined) {
        const rough = await proxyTo(world, far.dataAddresses[0] ?? '', manner)
        far.dataAddresses = [rough.address]
      }
      const source = near.register('dev.test.client.default')
      await far.serve('dev.test.server.default', accepted.push)
      const { path } = await near.connect(source, 'dev.test.server.default')
      const begin = async (): Promise<Pair> => {
        const client = await dial(path)
        return { client, server: await accepted.next() }
      }
      if (on !== 'pooled') return begin
      return inTurns(async isFirst => {
        if (isFirst) await untilConnectionIsPooled(near, begin)
        return await begin()
      })
    }
  }
}

/** A relay that joins connections adds the kernel buffers of two more sockets, and what it holds itself. */
function maxStalled(carrier: CarrierCase | 'local'): number {
  return carrier === 'joined'
    ? 16 * MEGABYTE
    : carrier === 'direct' || carrier === 'local'
      ? 4 * MEGABYTE
      : 8 * MEGABYTE
}

async function hosts(
  world: World,
  carrier: CarrierCase | 'local',
  options: HostOptions
): Promise<readonly [Host, Host]> {
  if (carrier !== 'local') return await hostsJoinedBy(world, carrier, options)
  const host = await world.host('alpha', options)
  return [host, host]
}

/** Opens one after another; `isFirst` if none is open. */
function inTurns(open: (isFirst: boolean) => Promise<Pair>): () => Promise<Pair> {
  let turn: Promise<unknown> = Promise.resolve()
  let opened = 0
  return () => {
    const mine = turn.then(async () => {
      const pair = await open(opened === 0)
      opened += 1
      pair.client.once('close', () => {
        opened -= 1
      })
      return pair
    })
    turn = mine
    return mine
  }
}

const WAYS: readonly CarrierPath[] = [
  {
    name: 'a plain unix socket',
    maxStalledBytes: 4 * MEGABYTE,
    async setUp(world, accepted) {
      const path = join(world.directory, 'plain')
      await listenAt(world, path, accepted.push)
      return async () => {
        const client = await dial(path)
        return { client, server: await accepted.next() }
      }
    }
  },
  brokered('two agents over TCP', 'direct'),
  brokered('two agents over a fast-path connection', 'direct', undefined, 'fastpath'),
  brokered('two agents over a pooled fast-path connection', 'direct', undefined, 'pooled'),
  brokered('a pooled fast-path connection over a link that splits, delays and stalls', 'direct', 'rough', 'pooled'),
  brokered('a fast-path connection over a link that splits, delays and stalls', 'direct', 'rough', 'fastpath'),
  brokered('two agents over a link that splits, delays and stalls', 'direct', 'rough'),
  brokered('two agents over a connection to the mesh port', 'mesh-port'),
  brokered('a fast-path connection to the mesh port', 'mesh-port', undefined, 'fastpath'),
  brokered('a pooled fast-path connection to the mesh port', 'mesh-port', undefined, 'pooled'),
  brokered('two agents over a connection that the other one dials', 'reverse'),
  brokered('a fast-path connection over connections that the other agent dials', 'reverse', undefined, 'fastpath'),
  brokered('a pooled fast-path connection over connections that the other agent dials', 'reverse', undefined, 'pooled'),
  brokered('two agents over a stream of the mesh', 'mesh'),
  brokered('two agents over a relay', 'relay'),
  brokered('two agents over connections that a relay joins', 'joined'),
  brokered('a fast-path connection over connections that a relay joins', 'joined', undefined, 'fastpath'),
  brokered('a pooled fast-path connection over connections that a relay joins', 'joined', undefined, 'pooled'),
  brokered('an agent behind a NAT, over a stream of the mesh', 'NAT'),
  brokered('one agent for both workloads', 'local')
]

for (const way of WAYS) {
  describe(way.name, () => {
    let world: World
    let open: () => Promise<Pair>
    before(async () => {
      world = await World.create()
      open = await way.setUp(world, new Accepted())
    })
    after(() => world[Symbol.asyncDispose]())

    it('carries the end of the client while the server still answers', async () => {
      const { client, server } = await open()
      client.end('question')
      assert.equal((await readAll(server)).toString(), 'question')
      const reply = randomBytes(3 * MEGABYTE)
      server.end(reply)
      assert.ok((await readAll(client)).equals(reply))
    })

    it('carries the end of the server while the client still sends', async () => {
      const { client, server } = await open()
      server.end('banner')
      assert.equal((await readAll(client)).toString(), 'banner')
      const upload = randomBytes(3 * MEGABYTE)
      client.end(upload)
      assert.ok((await readAll(server)).equals(upload))
    })

    it('ends cleanly when both sides end at once', async () => {
      const { client, server } = await open()
      client.end('from the client')
      server.end('from the server')
      const [up, down] = await Promise.all([readAll(server), readAll(client)])
      assert.equal(up.toString(), 'from the client')
      assert.equal(down.toString(), 'from the server')
    })

    it('carries single bytes one after another', async () => {
      const { client, server } = await open()
      server.pipe(server)
      for (let value = 0; value < 64; value += 1) {
        client.write(Buffer.of(value))
        assert.deepEqual([...(await readBytes(client, 1))], [value])
      }
      client.end()
      assert.equal((await readAll(client)).length, 0)
    })

    it(`carries ${LARGE_BYTES / MEGABYTE} MB both ways at once, unchanged`, async () => {
      const { client, server } = await open()
      const [sentUp, sentDown, gotUp, gotDown] = await Promise.all([
        writeMany(client, LARGE_BYTES, 1),
        writeMany(server, LARGE_BYTES + 17, 2),
        hashAll(server),
        hashAll(client)
      ])
      assert.deepEqual(gotUp, { hash: sentUp, bytes: LARGE_BYTES })
      assert.deepEqual(gotDown, { hash: sentDown, bytes: LARGE_BYTES + 17 })
    })

    it('delivers everything when the sender closes at once after writing', async () => {
      const { client, server } = await open()
      const upload = randomBytes(5 * MEGABYTE)
      server.once('end', () => server.end())
      client.end(upload)
      client.resume()
      assert.ok((await readAll(server)).equals(upload))
      await closed(client)
    })

    it('shows a client that vanishes in the middle to a server that writes', async () => {
      const { client, server } = await open()
      client.write('some')
      await readBytes(server, 4)
      client.destroy()
      const timer = setInterval(() => server.write(randomBytes(65_536)), 1)
      await closed(server)
      clearInterval(timer)
    })

    it('shows a server that resets to the client', async () => {
      const { client, server } = await open()
      // Unread data makes the kernel answer with ECONNRESET.
      client.write(randomBytes(2 * MEGABYTE))
      server.on('readable', () => {})
      await waitFor(() => server.readableLength >= server.readableHighWaterMark, 'Node to read no further')
      // It takes the same way, after what is to stay unread.
      const later = await open()
      server.destroy()
      const ended = endOf(client)
      later.client.destroy()
      assert.equal((await ended).end, 'cut')
    })

    it('keeps other connections going while one is not read', async () => {
      const stalled = await open()
      stalled.client.on('error', () => {})
      const chunk = randomBytes(256 * 1024)
      let accepted = 0
      const pour = (): void => {
        while (stalled.client.write(chunk)) accepted += chunk.length
        accepted += chunk.length
      }
      stalled.client.on('drain', pour)
      pour()
      stalled.server.pause()

      const { client, server } = await open()
      const [sent, got] = await Promise.all([writeMany(client, 8 * MEGABYTE, 3), hashAll(server)])
      assert.deepEqual(got, { hash: sent, bytes: 8 * MEGABYTE })
      assert.ok(
        accepted - stalled.client.writableLength < way.maxStalledBytes,
        `${accepted} bytes were taken for a stalled reader`
      )
      stalled.client.destroy()
      stalled.server.destroy()
      client.destroy()
      server.destroy()
    })

    it(`carries ${FLOWS_AT_ONCE} connections at once`, async () => {
      const pairs = await Promise.all(Array.from({ length: FLOWS_AT_ONCE }, () => open()))
      await Promise.all(
        pairs.map(async ({ client, server }) => {
          server.pipe(server)
          const sent = randomBytes(20_000)
          client.end(sent)
          assert.ok((await readAll(client)).equals(sent))
        })
      )
    })
  })
}
