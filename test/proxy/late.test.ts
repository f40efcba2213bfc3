import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { settled, waitFor } from '../harness/index.ts'
import { type Meddle, meddle, pass } from './support/meddler.ts'
import { KEPT_AT_ONCE, type Pair, untilConnectionIsPooled } from './support/pooled.ts'
import { Accepted, converse, dial, endOf, readAll, readBytes } from './support/sockets.ts'
import { type LogLine, World } from './support/world.ts'

const NAME = 'dev.test.server.default'

/** Holds back what goes down to the agent that opened the session, ends among it, from `hold` until `releaseIdle`. */
class Gate {
  readonly #sockets = new Set<Socket>()
  #isClosed = false
  #afterNext: (() => void) | undefined

  readonly meddle: Meddle = (piece, way, carried) => {
    pass(piece, way, carried)
    this.#sockets.add(carried.far)
    if (this.#isClosed) carried.far.pause()
    if (way === 'down') this.#afterNext?.()
  }

  hold(): void {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.pause()
  }

  /** Lets one more piece through. Resolves then. */
  holdAfterNext(): Promise<void> {
    return new Promise(resolve => {
      this.#afterNext = () => {
        this.#afterNext = undefined
        this.hold()
        resolve()
      }
    })
  }

  releaseIdle(): void {
    this.#isClosed = false
    for (const socket of this.#sockets) socket.resume()
  }
}

/** Two agents, with a gate for their session and one for the connections beside it. */
async function hosts(
  on: 'fastpath' | 'pooled',
  thresholds: { bytes: number; chunks: number } = { bytes: 0, chunks: 1 }
) {
  const world = await World.create()
  const options = on === 'fastpath' ? { upgradeThresholds: thresholds } : KEPT_AT_ONCE
  const near = await world.host('alpha', options)
  const far = await world.host('beta', options)
  const [session, beside] = [new Gate(), new Gate()]
  const connections = new Set<Socket>()
  const seen: Meddle = (piece, way, connection) => {
    connections.add(connection.near)
    beside.meddle(piece, way, connection)
  }
  far.dataAddresses = [await meddle(world, far.dataAddresses[0] ?? '', seen, session.meddle)]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const begin = async (): Promise<Pair> => {
    const client = await dial(path)
    return { client, server: await accepted.next() }
  }
  const isMoved = (): boolean => [near, far].every(host => host.proxy.flows().at(-1)?.carrier === 'fastpath')
  const open = async (): Promise<Pair> => {
    if (on === 'pooled') await untilConnectionIsPooled(near, begin)
    const pair = await begin()
    await converse(pair.client, pair.server, isMoved)
    return pair
  }
  return { world, near, far, session, beside, connections, begin, open }
}

describe('a reason that comes after the end of the connection it is about', () => {
  for (const on of ['fastpath', 'pooled'] as const) {
    it(`is waited for, also when the workload ends its direction meanwhile (${on})`, async () => {
      const { world, near, far, session, connections, begin, open } = await hosts(on)
      await using _ = world
      const { client, server } = await open()
      const ended = endOf(server)
      const flowId = near.proxy.flows().at(-1)?.id
      session.hold()
      const gone = [...connections]
        .filter(connection => !connection.destroyed)
        .map(connection => once(connection, 'close'))
      world.allows = (_source, _destination, machine) => machine !== 'beta'
      far.proxy.reevaluate('policy version 2')
      await far.flowEnd(/no longer allowed/)
      world.allows = () => true
      await Promise.race(gone)
      client.end()
      // The agent has dealt with both by the time that it has taken another connection and asked for its flow.
      await begin()
      session.releaseIdle()
      const isOfIt = ({ message, fields }: LogLine): boolean => message === 'flow ended' && fields.flowId === flowId
      const { fields } = await settled(near.line(isOfIt), 'the flow to end', 10_000)
      assert.equal(fields.reason, 'cut by the other agent: no longer allowed')
      assert.equal((await ended).end, 'cut')
    })
  }
})

describe('a flow that moves', () => {
  it('brings all of an answer whose stream ends before what was sent beside it arrives', async () => {
    const { world, near, far, beside, begin } = await hosts('fastpath', { bytes: 1_000, chunks: 1_000_000 })
    await using _ = world
    const { client, server } = await begin()
    client.write('hello')
    await readBytes(server, 5)
    // The agents know the keys of the connection beside the session; what the other one says there comes late.
    const isProven = beside.holdAfterNext()
    const question = randomBytes(2_000)
    client.write(question)
    await readBytes(server, question.length)
    await isProven
    client.end('the end')
    assert.equal((await readAll(server)).toString(), 'the end')
    // So much that the systems hold it.
    const answer = randomBytes(50_000)
    const got = readAll(client)
    server.end(answer)
    await far.flowEnd(/^ended$/)
    // The end of the stream is on its way now, over another connection: it has come when another flow has been opened on it.
    const other = await begin()
    other.client.destroy()
    beside.releaseIdle()
    assert.ok((await settled(got, 'the answer', 10_000)).equals(answer))
    await near.flowEnd(/^ended$/)
  })

  it('ends in order when both directions have ended on its stream, and only its opener does not know that yet', async () => {
    const { world, near, far, session, beside, connections, begin } = await hosts('fastpath', {
      bytes: 1_000,
      chunks: 1_000_000
    })
    await using _ = world
    const { client, server } = await begin()
    client.write('hello')
    await readBytes(server, 5)
    beside.hold()
    const question = randomBytes(2_000)
    client.end(question)
    assert.ok((await readAll(server)).equals(question))
    await waitFor(() => connections.size > 0, 'the connection beside the session')
    session.hold()
    server.end('answer')
    await far.flowEnd(/^ended$/)
    // Only now the opener learns that the other end knows the keys, and moves.
    const closed = [...connections].map(connection => once(connection, 'close'))
    beside.releaseIdle()
    await settled(Promise.all(closed), 'the connection beside the session to close', 10_000)
    await begin()
    session.releaseIdle()
    assert.equal((await readAll(client)).toString(), 'answer')
    const { fields } = await near.flowEnd(/./)
    assert.equal(fields.reason, 'ended')
  })
})
