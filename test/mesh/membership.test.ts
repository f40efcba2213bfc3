import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { suite, test } from 'node:test'
import { connection, type Host, makeHost, newKey, publishSoon, startHost, startPair, until } from './support.ts'

function portOf(host: Host): number {
  return Number(/tcp\/(\d+)/.exec(host.mesh.addresses()[0]!)?.[1])
}

/** Whether gossip goes from one to the other. */
async function hears(from: Host, to: { heard: string[] }, word: string): Promise<void> {
  await until(async () => {
    await publishSoon(from, 'registry', word)
    return to.heard.some(text => text.startsWith(word))
  })
}

function listen(host: Host): { heard: string[] } {
  const heard: string[] = []
  host.mesh.onGossip('registry', bytes => {
    heard.push(Buffer.from(bytes).toString())
    return 'accept'
  })
  return { heard }
}

// Most of the time is spent waiting, so they run side by side.
suite('membership', { concurrency: 8 }, () => {
  test('two hosts meet by bootstrap', async t => {
    const [a, b] = await startPair(t)
    assert.deepEqual(a.mesh.connected(), [b.mesh.peer])
    assert.deepEqual(b.mesh.connected(), [a.mesh.peer])
  })

  test('a seed that does not name its peer is found as well', async t => {
    const a = await startHost(t, 'alpha')
    const b = await startHost(t, 'beta', { bootstrap: [`/ip4/127.0.0.1/tcp/${portOf(a)}`] })
    await connection(a, b)
  })

  test('a third host learns of the second through a hint, and all are connected', async t => {
    const [a, b] = await startPair(t)
    const c = await startHost(t, 'gamma', { bootstrap: a.mesh.addresses() })
    await connection(a, c)
    c.mesh.addHints(b.mesh.addresses())
    await connection(b, c)
  })

  test('a seed that starts later is found', async t => {
    const key = newKey()
    const probe = await makeHost(t, 'probe')
    await probe.mesh.start()
    const port = portOf(probe)
    await probe.mesh.stop()
    const a = await makeHost(t, 'alpha', { key, listen: { host: '127.0.0.1', port } })
    const b = await startHost(t, 'beta', { bootstrap: [`/ip4/127.0.0.1/tcp/${port}/p2p/${a.mesh.peer}`] })
    await until(() => b.lines.some(line => line.message === 'dial failed'))
    await a.mesh.start()
    await connection(a, b)
  })

  test('a host that restarts at the same address is dialled again, and gossip goes on', async t => {
    const key = newKey()
    const first = await startHost(t, 'alpha', { key })
    const b = await startHost(t, 'beta', { bootstrap: first.mesh.addresses() })
    await connection(first, b)
    const port = portOf(first)
    const gone = new Promise<void>(resolve => b.mesh.onDisconnect(() => resolve()))
    await first.mesh.stop()
    await gone
    assert.deepEqual(b.mesh.connected(), [])
    const second = await makeHost(t, 'alpha', { key, listen: { host: '127.0.0.1', port } })
    const ears = listen(second)
    await second.mesh.start()
    await connection(second, b)
    await hears(b, ears, 'again')
  })

  test('a connection that was closed is opened again', async t => {
    const [a, b] = await startPair(t)
    let met = 0
    a.mesh.onConnect(() => {
      met += 1
    })
    await a.mesh.disconnect(b.mesh.peer)
    await until(() => met === 1)
    await connection(a, b)
  })

  test('a forgotten host is dialled no more', async t => {
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta')
    await b.mesh.start()
    a.mesh.addHints(b.mesh.addresses())
    await connection(a, b)
    // The other one would come back by itself: this is about our own dials.
    await Promise.all([a.mesh.forget(b.mesh.peer), b.mesh.forget(a.mesh.peer)])
    await until(() => a.mesh.connected().length === 0 && b.mesh.connected().length === 0)
    await assert.rejects(a.mesh.openStream(b.mesh.peer), { code: 'DESTINATION_UNREACHABLE' })
  })

  test('hosts that dial each other at once end with one connection, told once, and gossip both ways', async t => {
    for (let round = 0; round < 8; round += 1) {
      const a = await makeHost(t, 'alpha')
      const b = await makeHost(t, 'beta')
      const [atA, atB] = [listen(a), listen(b)]
      const events: string[] = []
      for (const host of [a, b]) {
        host.mesh.onConnect(() => events.push(`${host.machine}+`))
        host.mesh.onDisconnect(() => events.push(`${host.machine}-`))
      }
      await Promise.all([a.mesh.start(), b.mesh.start()])
      a.mesh.addHints(b.mesh.addresses())
      b.mesh.addHints(a.mesh.addresses())
      await connection(a, b)
      await hears(a, atB, 'from a')
      await hears(b, atA, 'from b')
      const balance = (machine: string): number =>
        events.filter(event => event === `${machine}+`).length - events.filter(event => event === `${machine}-`).length
      assert.deepEqual([balance('alpha'), balance('beta')], [1, 1])
      assert.deepEqual([a.mesh.connected(), b.mesh.connected()], [[b.mesh.peer], [a.mesh.peer]])
      await Promise.all([a.mesh.stop(), b.mesh.stop()])
    }
  })

  test('an address that swallows packets does not keep us from the one that works', async t => {
    const a = await startHost(t, 'alpha')
    // A listener that accepts and says nothing behaves as a firewall that drops: nothing comes back.
    const silent = createServer(() => {})
    silent.listen(0, '127.0.0.1')
    await new Promise(resolve => silent.once('listening', resolve))
    t.after(() => silent.close())
    const { port } = silent.address() as { port: number }
    const b = await makeHost(t, 'beta')
    b.mesh.addHints([...a.mesh.addresses(), `/ip4/127.0.0.1/tcp/${port}/p2p/${a.mesh.peer}`])
    await b.mesh.start()
    await connection(a, b)
  })

  test('a listener at [::] is dialled by both families', async t => {
    const a = await startHost(t, 'alpha', { listen: { host: '::', port: 0 }, advertise: () => ['127.0.0.1'] })
    const four = await startHost(t, 'beta', { bootstrap: a.mesh.addresses() })
    const six = await startHost(t, 'gamma', { bootstrap: [`/ip6/::1/tcp/${portOf(a)}/p2p/${a.mesh.peer}`] })
    await connection(a, four)
    await connection(a, six)
  })

  test('hints that are no addresses, or our own, are left out', async t => {
    const a = await makeHost(t, 'alpha')
    await a.mesh.start()
    a.mesh.addHints(['', 'nonsense', '/ip4/127.0.0.1/udp/1/p2p/x', 'x'.repeat(100_000), ...a.mesh.addresses()])
    const b = await startHost(t, 'beta')
    a.mesh.addHints(b.mesh.addresses())
    await connection(a, b)
  })

  test('hosts that are told of each other all connect to each other', async t => {
    const all = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(name => startHost(t, name)))
    for (const host of all) host.mesh.addHints(all.flatMap(other => other.mesh.addresses()))
    await until(() => all.every(host => host.mesh.connected().length === all.length - 1))
  })

  test('more than ten hosts behind one address all hear gossip', async t => {
    // The default scoring of gossipsub mutes most of them.
    const seed = await startHost(t, 'seed')
    const others = await Promise.all(
      Array.from({ length: 15 }, async (_, index) => {
        const host = await makeHost(t, `host${index}`, { bootstrap: seed.mesh.addresses() })
        const ears = listen(host)
        await host.mesh.start()
        return ears
      })
    )
    await until(async () => (await seed.mesh.publish('registry', Buffer.from(`to all ${Math.random()}`))) === 15)
    await until(() => others.every(ears => ears.heard.length > 0))
  })

  test('a second host on the same port is told so', async t => {
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta', { listen: { host: '127.0.0.1', port: portOf(a) } })
    await assert.rejects(b.mesh.start(), { code: 'PORT_IN_USE' })
  })

  test('what is advertised is what others are told', async t => {
    const a = await startHost(t, 'alpha', { advertise: () => ['192.0.2.7', 'mesh.example', 'fd00::7'] })
    const port = /tcp\/(\d+)/.exec(a.mesh.addresses()[0]!)?.[1]
    assert.deepEqual(a.mesh.addresses(), [
      `/ip4/192.0.2.7/tcp/${port}/p2p/${a.mesh.peer}`,
      `/dns/mesh.example/tcp/${port}/p2p/${a.mesh.peer}`,
      `/ip6/fd00::7/tcp/${port}/p2p/${a.mesh.peer}`
    ])
  })

  test('stopping twice, before a start, and with a host that hangs is quick and quiet', async t => {
    const [a, b] = await startPair(t)
    const never = await makeHost(t, 'never')
    await never.mesh.stop()
    const stream = await b.mesh.openStream(a.mesh.peer).catch(() => undefined)
    stream?.on('error', () => {})
    const began = performance.now()
    await Promise.all([a.mesh.stop(), a.mesh.stop(), b.mesh.stop()])
    assert.ok(performance.now() - began < 5_500)
  })

  /** Whether this machine delivers multicast to itself. */
  async function multicastWorks(): Promise<boolean> {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        socket.bind(0, resolve)
      })
      socket.addMembership('224.0.0.251')
      const arrived = new Promise<boolean>(resolve => {
        socket.once('message', () => resolve(true))
        setTimeout(resolve, 500, false)
      })
      await new Promise<void>((resolve, reject) => {
        socket.send('warren', socket.address().port, '224.0.0.251', err => (err === null ? resolve() : reject(err)))
      })
      return await arrived
    } catch {
      return false
    } finally {
      socket.close()
    }
  }

  test('two hosts of one trust domain meet by mDNS, and another trust domain is not met', async t => {
    if (!(await multicastWorks())) {
      t.skip('multicast does not work on this machine')
      return
    }
    const a = await startHost(t, 'alpha', { mdns: true })
    const other = await startHost(t, 'other', { mdns: true, trustDomain: 'elsewhere.test' })
    const b = await startHost(t, 'beta', { mdns: true })
    await connection(a, b)
    assert.deepEqual(other.mesh.connected(), [])
  })
})

// Alone, so that no dial is late.
test('one dial of a host is one connection to it', async t => {
  const a = await startHost(t, 'alpha')
  let connections = 0
  const middle = createServer(near => {
    connections += 1
    const far = connect({ host: '127.0.0.1', port: portOf(a) })
    near.on('error', () => {}).pipe(far)
    far.on('error', () => {}).pipe(near)
  })
  middle.listen(0, '127.0.0.1')
  await new Promise(resolve => middle.once('listening', resolve))
  t.after(() => middle.close())
  const { port } = middle.address() as { port: number }
  const b = await startHost(t, 'beta', { bootstrap: [`/ip4/127.0.0.1/tcp/${port}/p2p/${a.mesh.peer}`] })
  await connection(a, b)
  assert.equal(connections, 1)
})
