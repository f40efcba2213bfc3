import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import { parseAddress } from '../../src/identity/index.ts'
import type { Cut } from '../../src/proxy/flow/cut.ts'
import { Flow } from '../../src/proxy/flow/flow.ts'
import { joiningLeg } from '../../src/proxy/legs/record-leg.ts'
import { reuseReads, socketLeg } from '../../src/proxy/legs/socket-leg.ts'
import { streamLeg } from '../../src/proxy/legs/stream-leg.ts'
import { type Relay, relay } from '../../src/proxy/relay/relay.ts'
import { scopeOf, settled, waitFor } from '../harness/index.ts'
import { records, session, sockets, streams } from './support/leg-pairs.ts'
import { endOf, hashAll, readAll, readBytes, writeMany } from './support/sockets.ts'

const MEGABYTE = 1024 * 1024

function flowOf(direction: 'outbound' | 'inbound'): Flow {
  const source = parseAddress('dev.test.client.default.m')
  const times = { openedAtMs: 0, startedAtMs: 0 }
  return new Flow({
    id: 'f',
    direction,
    source,
    sourceId: undefined,
    sourceMachine: 'm',
    protocol: 'tcp',
    carrier: 'direct',
    ...times
  })
}

/** A client and a server, the relays of two agents between them, and a record connection that waits beside their stream. */
async function joined(t: TestContext) {
  const scope = scopeOf(t)
  const made = await session(scope)
  const [opener, other] = await streams(made)
  const [client, nearSocket] = await sockets(scope, 'unix')
  const [farSocket, server] = await sockets(scope, 'unix')
  const connections = await records(scope, made, opener.id ?? 0)
  const flows = { near: flowOf('outbound'), far: flowOf('inbound') }
  const legs = { near: socketLeg(nearSocket), far: socketLeg(farSocket) }
  const near = relay(flows.near, legs.near, streamLeg(opener))
  const far = relay(flows.far, streamLeg(other), legs.far)
  scope.defer(() => {
    for (const flow of [flows.near, flows.far]) flow.cut({ kind: 'shutdown', text: 'the test is over' })
  })
  connections.other.subscribe({
    started: offset => {
      if (!far.isClosed) far.swap('source', joiningLeg(connections.other, { offset }), far.sentTo('source'))
      reuseReads(legs.far, farSocket, { copies: true })
    },
    closed: () => {}
  })
  return {
    client,
    server,
    near,
    far,
    flows,
    connections,
    stream: opener,
    farStream: other,
    swap: () => {
      near.swap('destination', joiningLeg(connections.opener), near.sentTo('destination'))
      reuseReads(legs.near, nearSocket, { copies: true })
    },
    /** What each of them has come to. */
    over: async (): Promise<readonly (Cut | undefined)[]> =>
      await settled(Promise.all([near.over, far.over]), 'the flow to end', 30_000)
  }
}

describe('a flow that moves to a record connection', () => {
  it('goes on with all bytes of both directions, whatever is under way', async t => {
    const { client, server, near, far, swap, over, flows } = await joined(t)
    const both = Promise.all([
      writeMany(client, 12 * MEGABYTE, 1),
      hashAll(server),
      writeMany(server, 9 * MEGABYTE, 2),
      hashAll(client)
    ])
    await waitFor(() => near.sentTo('source') > MEGABYTE && far.sentTo('destination') > MEGABYTE, 'some bytes')
    swap()
    const [up, gotUp, down, gotDown] = await both
    assert.deepEqual(gotUp, { hash: up, bytes: 12 * MEGABYTE })
    assert.deepEqual(gotDown, { hash: down, bytes: 9 * MEGABYTE })
    assert.deepEqual(await over(), [undefined, undefined])
    for (const flow of Object.values(flows)) {
      assert.deepEqual([flow.bytesOut, flow.bytesIn], [12 * MEGABYTE, 9 * MEGABYTE])
    }
  })

  it('may end in either direction before, while and after it moves', async t => {
    const steps = ['before', 'at once', 'after'] as const
    for (const clientEnds of steps) {
      for (const serverEnds of steps) {
        await t.test(`the client ${clientEnds}, the server ${serverEnds}`, async t => {
          const { client, server, near, far, swap, over } = await joined(t)
          const [up, down] = [randomBytes(300_000), randomBytes(200_000)]
          const got = Promise.all([readAll(server), readAll(client)])
          if (clientEnds === 'before') client.end(up)
          if (serverEnds === 'before') server.end(down)
          await waitFor(
            () =>
              (clientEnds !== 'before' || far.sentTo('destination') === up.length) &&
              (serverEnds !== 'before' || near.sentTo('source') === down.length),
            'what came before'
          )
          if (clientEnds === 'at once') client.end(up)
          if (serverEnds === 'at once') server.end(down)
          if (!near.isClosed) swap()
          if (clientEnds === 'after') client.end(up)
          if (serverEnds === 'after') server.end(down)
          const [atServer, atClient] = await settled(got, 'the bytes', 20_000)
          assert.ok(atServer.equals(up) && atClient.equals(down))
          if (clientEnds !== 'before' || serverEnds !== 'before') assert.deepEqual(await over(), [undefined, undefined])
        })
      }
    }
  })

  it('holds little for a reader that has stalled, and brings all when it reads', async t => {
    const { client, server, near, swap, over, flows } = await joined(t)
    const sending = writeMany(client, 8 * MEGABYTE, 1)
    await waitFor(() => near.sentTo('destination') > 0, 'the first bytes')
    swap()
    // What waits is that of the stream and that of the record connection, each bounded.
    for (let round = 0; round < 200; round += 1) {
      assert.ok(flows.near.waitingBytes() < 2 * MEGABYTE)
      assert.ok(flows.far.waitingBytes() < 2 * MEGABYTE)
      await new Promise(resolve => setImmediate(resolve))
    }
    const got = hashAll(server)
    assert.deepEqual(await got, { hash: await sending, bytes: 8 * MEGABYTE })
    server.end()
    client.resume()
    assert.deepEqual(await over(), [undefined, undefined])
  })

  it('is cut with the reason at both ends, before the other end has answered and after', async t => {
    for (const isAnswered of [false, true]) {
      await t.test(isAnswered ? 'after' : 'before', async t => {
        const { client, server, swap, flows, over, far } = await joined(t)
        client.write('x')
        await readBytes(server, 1)
        swap()
        if (isAnswered) {
          client.write('y')
          await readBytes(server, 1)
        }
        const ends = Promise.all([endOf(client), endOf(server)])
        flows.near.cut({ kind: 'policy', text: 'no longer allowed' })
        assert.deepEqual(
          (await over()).map(cut => cut?.kind),
          ['policy', 'policy']
        )
        assert.ok(far.isClosed)
        assert.deepEqual(
          (await ends).map(({ end }) => end),
          ['cut', 'cut']
        )
      })
    }
  })

  it('is lost with its record connection, also while its stream lives on', async t => {
    const { client, server, swap, connections, over } = await joined(t)
    client.write('x')
    await readBytes(server, 1)
    swap()
    client.write('y')
    await readBytes(server, 1)
    connections.lose()
    assert.deepEqual(
      (await over()).map(cut => cut?.kind),
      ['link', 'link']
    )
  })

  it('moves from where it is only', async t => {
    const { near, connections } = await joined(t)
    assert.throws(() => near.swap('destination', joiningLeg(connections.opener), 1), RangeError)
  })
})

describe('an agent that says that its direction moved where it did not', () => {
  /** The near relay, whose stream has brought ten bytes, and the other end of its record connection. */
  async function alone(t: TestContext) {
    const { client, near, swap, connections, farStream } = await joined(t)
    connections.other.subscribe({ closed: () => {} })
    farStream.write('ten bytes.')
    assert.equal((await readBytes(client, 10)).toString(), 'ten bytes.')
    swap()
    return { client, near, connections, farStream }
  }
  const failed = async (near: Relay): Promise<Cut | undefined> => await settled(near.over, 'the flow to end', 10_000)

  it('cuts the flow when it would send bytes twice', async t => {
    const { near, connections, client } = await alone(t)
    connections.other.start(5)
    connections.other.send(Buffer.from('bytes.'))
    assert.match((await failed(near))?.text ?? '', /twice/)
    assert.equal((await endOf(client)).bytes, 0)
  })

  it('cuts the flow when it leaves some out', async t => {
    const { near, connections, client, farStream } = await alone(t)
    connections.other.start(20)
    connections.other.send(Buffer.from('after the gap'))
    farStream.end()
    assert.equal((await failed(near))?.kind, 'link')
    assert.equal((await endOf(client)).bytes, 0)
  })

  it('cuts the flow when it had ended before', async t => {
    const { client, near, swap, connections, farStream } = await joined(t)
    connections.other.subscribe({ closed: () => {} })
    farStream.end('all')
    assert.equal((await readAll(client)).toString(), 'all')
    swap()
    connections.other.start(3)
    connections.other.send(Buffer.from('more'))
    assert.match((await failed(near))?.text ?? '', /after its end/)
  })
})
