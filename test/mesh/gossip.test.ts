import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { serviceTag } from '../../src/mesh/dialing/discovery.ts'
import { connection, makeHost, publishSoon, startHost, startPair, until } from './support.ts'

// Most of the time is spent waiting, so they run side by side.
suite('gossip', { concurrency: 8 }, () => {
  test('a message goes to the neighbours and is delivered once, with the neighbour it came from', async t => {
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta', { bootstrap: a.mesh.addresses() })
    const heard: string[] = []
    b.mesh.onGossip('policy', (bytes, from) => {
      heard.push(`${Buffer.from(bytes)} from ${from}`)
      return 'accept'
    })
    await b.mesh.start()
    await connection(a, b)
    assert.equal(await publishSoon(a, 'policy', 'news'), 1)
    await until(() => heard.length === 1)
    assert.match(heard[0]!, new RegExp(`^news\\d+ from ${a.mesh.peer}$`))
  })

  test('publishing to nobody is 0, and the same bytes can be published once somebody is there', async t => {
    const a = await startHost(t, 'alpha')
    const bytes = Buffer.from('the only version')
    assert.equal(await a.mesh.publish('registry', bytes), 0)
    const b = await startHost(t, 'beta', { bootstrap: a.mesh.addresses() })
    await connection(a, b)
    await until(async () => (await a.mesh.publish('registry', bytes)) === 1)
    // Now it has been seen.
    assert.equal(await a.mesh.publish('registry', bytes), 0)
  })

  test('the same bytes under another topic are another message', async t => {
    const [a] = await startPair(t)
    await publishSoon(a, 'registry', 'warm')
    await publishSoon(a, 'policy', 'warm')
    const bytes = Buffer.from('twin')
    assert.equal(await a.mesh.publish('registry', bytes), 1)
    assert.equal(await a.mesh.publish('policy', bytes), 1)
  })

  test('a message above 64 KB is refused, one of 64 KB arrives', async t => {
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta', { bootstrap: a.mesh.addresses() })
    const sizes: number[] = []
    b.mesh.onGossip('registry', bytes => {
      sizes.push(bytes.length)
      return 'accept'
    })
    await b.mesh.start()
    await connection(a, b)
    await publishSoon(a, 'registry', 'warm')
    await assert.rejects(a.mesh.publish('registry', Buffer.alloc(64 * 1024 + 1)), { code: 'MESSAGE_TOO_LARGE' })
    assert.equal(await a.mesh.publish('registry', Buffer.alloc(64 * 1024, 5)), 1)
    await until(() => sizes.includes(64 * 1024))
  })

  test('what a host accepts it passes on, what it ignores it keeps to itself', async t => {
    const middle = await makeHost(t, 'middle')
    middle.mesh.onGossip('registry', bytes => (bytes[0] === 'y'.charCodeAt(0) ? 'accept' : 'ignore'))
    await middle.mesh.start()
    const a = await startHost(t, 'alpha', { bootstrap: middle.mesh.addresses() })
    const b = await makeHost(t, 'beta', { bootstrap: middle.mesh.addresses() })
    const heard: string[] = []
    b.mesh.onGossip('registry', bytes => {
      heard.push(Buffer.from(bytes).toString())
      return 'accept'
    })
    await b.mesh.start()
    await Promise.all([connection(a, middle), connection(b, middle)])
    await until(async () => {
      await a.mesh.publish('registry', Buffer.from(`n${Math.random()}`))
      await a.mesh.publish('registry', Buffer.from(`y${Math.random()}`))
      return heard.length > 0
    })
    assert.deepEqual(
      heard.filter(text => !text.startsWith('y')),
      []
    )
  })

  test('a handler that throws costs the message and nothing else', async t => {
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta', { bootstrap: a.mesh.addresses() })
    let calls = 0
    b.mesh.onGossip('registry', () => {
      calls += 1
      throw new Error('oops')
    })
    await b.mesh.start()
    await connection(a, b)
    await until(async () => {
      await publishSoon(a, 'registry', 'x')
      return calls > 2
    })
    assert.ok(b.lines.some(line => line.message === 'gossip handler failed'))
  })

  test('a flood of one neighbour is ignored above its rate', async t => {
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta', {
      bootstrap: a.mesh.addresses(),
      clock: { wallMs: () => 0, monotonicMs: () => 0 }
    })
    let calls = 0
    b.mesh.onGossip('registry', () => {
      calls += 1
      return 'accept'
    })
    await b.mesh.start()
    await connection(a, b)
    await publishSoon(a, 'registry', 'warm')
    let sent = 0
    while (sent < 4_600) sent += await a.mesh.publish('registry', Buffer.from(`flood ${sent} ${Math.random()}`))
    await until(() => calls === 4_000)
  })

  test('the names that leave a host in the clear do not tell the trust domain', () => {
    assert.match(serviceTag('corp.example'), /^_w[0-9a-f]{14}\._udp\.local$/)
    assert.notEqual(serviceTag('corp.example'), serviceTag('corp2.example'))
    // A DNS label for a service has at most 15 characters after its underscore (RFC 6335).
    assert.ok(serviceTag('corp.example').split('.')[0]!.length <= 16)
  })
})
