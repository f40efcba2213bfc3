import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ErrorCode, WarrenError } from '../../../src/core/index.ts'
import { settled } from '../../harness/index.ts'
import { waitFor } from '../../harness/wait-for.ts'
import { type CarrierCase, DEAD, hostsJoinedBy } from '../support/carriers.ts'
import { narrow } from '../support/narrow.ts'
import { proxyTo } from '../support/proxy.ts'
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
  let severed: (() => void) | undefined
  if (way === 'direct') {
    const proxy = await narrow(world, far.dataAddresses[0] ?? '')
    far.dataAddresses = [proxy.address]
    severed = proxy.sever
  }
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const sever = (): void => {
    severed?.()
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
      await waitFor(() => resumed(near) === round && resumed(far) === round, 'both ends to continue')
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

/** Waits until a flow stands still. */
async function standing({ proxy }: Host): Promise<number> {
  let [seen, looks] = [0, 0]
  await waitFor(() => {
    const [{ bytesIn, bytesOut } = { bytesIn: 0, bytesOut: 0 }] = proxy.flows()
    looks = bytesIn + bytesOut === seen ? looks + 1 : 0
    seen = bytesIn + bytesOut
    return looks >= 20
  }, 'the flow to stand still')
  return seen
}

describe('a way that holds more bytes than its two ends keep', () => {
  for (const [how, options] of [
    ['a stream', { ...WINDOW, upgradeThresholds: { bytes: 2 ** 50, chunks: 2 ** 50 } }],
    ['a connection of its own', AT_ONCE]
  ] as const) {
    it(`makes the sender wait, and loses nothing when it is lost: ${how}`, async () => {
      await using world = await World.create()
      const [near, far] = await hostsJoinedBy(world, 'direct', options)
      // It takes whatever it gets, at once.
      const proxy = await proxyTo(world, far.dataAddresses[0] ?? '')
      far.dataAddresses = [proxy.address]
      const source = near.register('dev.test.client.default')
      const accepted = new Accepted()
      await far.serve(NAME, accepted.push)
      const { client, server } = await opened((await near.connect(source, NAME)).path, accepted)
      const size = 64 * MEGABYTE
      const sent = writeMany(server, size, 1)
      const held = await standing(far)
      assert.ok(held < size / 2, `${held} bytes are under way`)
      proxy.sever()
      const got = await settled(hashAll(client), 'all bytes', 120_000)
      assert.deepEqual(got, { hash: await sent, bytes: size })
      assert.ok(resumed(near) >= 1 && resumed(far) >= 1)
    })
  }
})

/** A flow that waits: nothing leads to the far agent any more. */
async function waiting(world: World, options: HostOptions = WINDOW) {
  const all = await pair(world, options)
  const { near, far, sever, open } = all
  const { client, server } = await open()
  const [good] = far.dataAddresses
  far.dataAddresses = DEAD
  const comeBack = (): void => {
    far.dataAddresses = [good ?? '']
    near.proxy.pathAppeared('beta')
  }
  sever()
  await waitFor(() => isWaiting(near) && isWaiting(far), 'both ends to wait')
  return { ...all, client, server, comeBack }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

function idAt(world: World, machine: string): string {
  return [...world.registrations.values()].find(one => one.machine === machine)?.id ?? ''
}

const isWaiting = ({ proxy }: Host): boolean => proxy.flows().some(({ carrier }) => carrier === 'waiting')

describe('a flow that waits for another path', () => {
  it('is reset at both ends when the time is over, and the reason says so', async () => {
    await using world = await World.create()
    const { near, far, client, server } = await waiting(world, { resumeWindowMs: 1_500 })
    const ends = await settled(Promise.all([endOf(client), endOf(server)]), 'both ends')
    assert.deepEqual(ends, [
      { bytes: 0, end: 'cut' },
      { bytes: 0, end: 'cut' }
    ])
    for (const host of [near, far]) await host.flowEnd(/link to the other agent was lost, and not found again in 1.5 s/)
    assert.equal(near.counts.get('warren_flow_interruptions_total{result="given_up"}'), 1)
  })

  it('is shown as waiting, then with what carries it', async () => {
    await using world = await World.create()
    const { near, far, comeBack, client, server } = await waiting(world)
    assert.equal(near.proxy.totals().waiting, 1)
    comeBack()
    client.write('again')
    assert.equal((await settled(readBytes(server, 5), 'the bytes')).toString(), 'again')
    for (const host of [near, far]) {
      assert.equal(host.proxy.flows()[0]?.carrier, 'direct')
      assert.equal(host.proxy.totals().waiting, 0)
    }
  })

  for (const [what, change] of [
    ['the policy of the source', (world: World) => (world.allows = (_s, _d, machine) => machine !== 'alpha')],
    ['the policy of the destination', (world: World) => (world.allows = (_s, _d, machine) => machine !== 'beta')],
    ['a deregistration of the destination', (world: World, { far }: Pair) => far.deregister(idAt(world, 'beta'))],
    ['a deregistration of the source', (world: World, { near }: Pair) => near.deregister(idAt(world, 'alpha'))]
  ] as const) {
    it(`is cut at once by ${what}, and is not resumed when the path is back`, async () => {
      await using world = await World.create()
      // The other end may learn of it by the end of the time only.
      const all = await waiting(world, { resumeWindowMs: 4_000 })
      const { near, far, comeBack, client, server } = all
      const ends = Promise.all([endOf(client), endOf(server)])
      change(world, all)
      for (const { proxy } of [near, far]) proxy.reevaluate('test')
      await turn()
      assert.ok(!isWaiting(near) || !isWaiting(far), 'one end has cut it')
      comeBack()
      assert.deepEqual(
        (await settled(ends, 'both ends', 20_000)).map(({ end }) => end),
        ['cut', 'cut']
      )
      assert.equal(resumed(near) + resumed(far), 0)
      for (const host of [near, far])
        await host.flowEnd(/no longer allowed|registration ended|no longer registered|gone|not found again/)
    })
  }

  it('is cut at once by an eviction of either host, and by a certificate that is refused now', async () => {
    for (const change of [
      (world: World) => world.revoked.add('alpha'),
      (world: World) => world.revoked.add('beta'),
      (_: World, { near }: Pair) => (near.refuses = () => true),
      (_: World, { far }: Pair) => (far.refuses = () => true)
    ]) {
      await using world = await World.create()
      const all = await waiting(world, { resumeWindowMs: 4_000 })
      change(world, all)
      for (const { proxy } of [all.near, all.far]) proxy.reevaluate('test')
      await turn()
      assert.ok(!isWaiting(all.near) || !isWaiting(all.far), 'one end has cut it')
      all.comeBack()
      const { client, server } = all
      const ends = await settled(Promise.all([endOf(client), endOf(server)]), 'both ends', 60_000)
      assert.deepEqual(
        ends.map(({ end }) => end),
        ['cut', 'cut']
      )
      assert.equal(resumed(all.near) + resumed(all.far), 0)
    }
  })

  it('is not given up for what fails on the way to the other agent, whatever that is', async () => {
    await using world = await World.create()
    const { near, far, sever, open } = await pair(world, WINDOW, 'relay')
    const { client, server } = await open()
    const good = near.openRelayed
    const failures = [
      new WarrenError(ErrorCode.StreamTruncated, 'the stream ended before it was joined'),
      new WarrenError(ErrorCode.PermissionDenied, 'not a member'),
      new WarrenError(ErrorCode.Unsupported, 'of another version'),
      new Error('broken')
    ]
    near.openRelayed = (...args) => {
      const failure = failures.shift()
      return failure === undefined ? good(...args) : Promise.reject(failure)
    }
    sever()
    await waitFor(() => {
      near.proxy.pathAppeared('beta')
      return failures.length === 0
    }, 'each failure to be met')
    client.write('again')
    assert.equal((await settled(readBytes(server, 5), 'the bytes')).toString(), 'again')
    assert.ok(resumed(near) >= 1 && resumed(far) >= 1)
  })

  it('is not cut by the end of a lease alone, at either end, and is by an announcement without it', async () => {
    await using world = await World.create()
    const { near, far, comeBack, client, server } = await waiting(world)
    const all = [...world.registrations.values()]
    for (const one of all) one.announced = false
    for (const machine of ['alpha', 'beta']) world.silent.add(machine)
    for (const { proxy } of [near, far]) proxy.reevaluate('leases have ended')
    assert.ok(isWaiting(near) && isWaiting(far))
    comeBack()
    client.write('again')
    assert.equal((await settled(readBytes(server, 5), 'the bytes')).toString(), 'again')
    for (const { proxy } of [near, far]) proxy.reevaluate('the news have not arrived')
    server.write('and again')
    assert.equal((await settled(readBytes(client, 9), 'the bytes')).toString(), 'and again')
    world.silent.clear()
    for (const { proxy } of [near, far]) proxy.reevaluate('they came back without it')
    assert.equal((await settled(endOf(client), 'the end')).end, 'cut')
  })

  it('is reset at once where one of the two agents does not resume flows', async () => {
    for (const [ofNear, ofFar] of [
      [30_000, 0],
      [0, 30_000]
    ] as const) {
      await using world = await World.create()
      const near = await world.host('alpha', { resumeWindowMs: ofNear })
      const far = await world.host('beta', { resumeWindowMs: ofFar })
      const proxy = await proxyTo(world, far.dataAddresses[0] ?? '')
      far.dataAddresses = [proxy.address]
      const source = near.register('dev.test.client.default')
      const accepted = new Accepted()
      await far.serve(NAME, accepted.push)
      const { client, server } = await opened((await near.connect(source, NAME)).path, accepted)
      proxy.sever()
      const ends = await settled(Promise.all([endOf(client), endOf(server)]), 'both ends', 10_000)
      assert.deepEqual(
        ends.map(({ end }) => end),
        ['cut', 'cut']
      )
    }
  })
})
