import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { settled } from '../../harness/index.ts'
import { waitFor } from '../../harness/wait-for.ts'
import { type CarrierCase, hostsJoinedBy } from '../support/carriers.ts'
import { type Proxy, proxyTo } from '../support/proxy.ts'
import { Accepted, converse, dial, endOf, hashAll, readAll, readBytes, writeMany } from '../support/sockets.ts'
import { type Host, type HostOptions, World } from '../support/world.ts'

const NAME = 'dev.test.server.default'
const MEGABYTE = 1024 * 1024
const WINDOW = { resumeWindowMs: 30_000 }
const AT_ONCE = { ...WINDOW, upgradeThresholds: { bytes: 0, chunks: 1 } }

interface Pair {
  readonly near: Host
  readonly far: Host
  /** Cuts what is between the two agents now. */
  readonly sever: () => void
  readonly open: () => ReturnType<typeof opened>
}

async function opened(path: string, accepted: Accepted) {
  const client = await dial(path)
  client.write('x')
  const server = await accepted.next()
  await readBytes(server, 1)
  return { client, server }
}

async function pair(world: World, options: HostOptions = WINDOW, way: CarrierCase = 'direct'): Promise<Pair> {
  const [near, far] = await hostsJoinedBy(world, way, options)
  let proxy: Proxy | undefined
  if (way === 'direct') {
    proxy = await proxyTo(world, far.dataAddresses[0] ?? '')
    far.dataAddresses = [proxy.address]
  }
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const sever = (): void => {
    proxy?.sever()
    for (const carrier of near.carriers.splice(0)) carrier.destroy()
  }
  return { near, far, sever, open: () => opened(path, accepted) }
}

const resumed = ({ counts }: Host): number => counts.get('warren_flow_interruptions_total{result="resumed"}') ?? 0

describe('a flow whose path is lost', () => {
  for (const way of ['direct', 'mesh', 'relay'] as const) {
    for (const [how, options] of [
      ['on its stream', { ...WINDOW, upgradeThresholds: { bytes: 2 ** 50, chunks: 2 ** 50 } }],
      ['on a connection of its own', AT_ONCE]
    ] as const) {
      if (way !== 'direct' && options === AT_ONCE) continue
      it(`continues at the exact byte, in both directions at once: ${way}, ${how}`, async () => {
        await using world = await World.create()
        const { near, far, sever, open } = await pair(world, options, way)
        const { client, server } = await open()
        const size = 48 * MEGABYTE
        let cuts = 0
        let seen = 0
        for (const socket of [client, server]) {
          socket.on('data', (chunk: Buffer) => {
            seen += chunk.length
            if (seen < (cuts + 1) * 12 * MEGABYTE || cuts >= 6) return
            cuts += 1
            sever()
          })
        }
        const [up, down, gotUp, gotDown] = await settled(
          Promise.all([writeMany(client, size, 1), writeMany(server, size, 2), hashAll(server), hashAll(client)]),
          'both directions',
          120_000
        )
        assert.deepEqual(gotUp, { hash: up, bytes: size })
        assert.deepEqual(gotDown, { hash: down, bytes: size })
        await settled(Promise.all([near.flowEnd(/^ended$/), far.flowEnd(/^ended$/)]), 'the end of the flow')
        assert.ok(cuts >= 4 && resumed(near) >= 1 && resumed(far) >= 1, `${cuts} cuts, ${resumed(near)} resumed`)
      })
    }
  }

  it('continues where it is small, again and again, and its half close is kept', async () => {
    await using world = await World.create()
    const { near, far, sever, open } = await pair(world)
    const { client, server } = await open()
    for (let round = 1; round <= 5; round += 1) {
      let count = 0
      await converse(client, server, () => ++count > 3)
      sever()
      // Written while nothing carries it.
      client.write('question')
      assert.equal((await readBytes(server, 8)).toString(), 'question')
      await waitFor(() => resumed(near) === round && resumed(far) === round)
    }
    client.end('last')
    assert.equal((await readAll(server)).toString(), 'last')
    sever()
    server.write('answer')
    assert.equal((await readBytes(client, 6)).toString(), 'answer')
    sever()
    server.end('.')
    assert.equal((await readAll(client)).toString(), '.')
    await settled(Promise.all([near.flowEnd(/^ended$/), far.flowEnd(/^ended$/)]), 'the end of the flow')
  })
})

export { endOf, randomBytes }
