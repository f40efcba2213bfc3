import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { suite, type TestContext, test } from 'node:test'
import { identify } from '@libp2p/identify'
import type { ConnectionEncrypter } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2pOptions } from 'libp2p'
import {
  type Host,
  makeHost,
  newKey,
  publishSoon,
  startHost,
  startPair,
  stubChain,
  stubVerify,
  until
} from './support.ts'

type Encrypter = NonNullable<Libp2pOptions['connectionEncrypters']>[number]

/** A libp2p node that is no warren agent. */
async function stranger(t: TestContext, encrypter: Encrypter) {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux()],
    services: { identify: identify() }
  })
  t.after(() => node.stop())
  return node
}

/** Our protocol id around plain noise, and then `talk` in place of the admission. */
function impostor(talk: (lp: ReturnType<typeof lpStream>) => Promise<void>): Encrypter {
  return components => {
    const inner = noise()(components)
    const encrypter: ConnectionEncrypter = {
      protocol: '/warren/noise/1',
      secureInbound: (connection, options) => inner.secureInbound(connection, options),
      secureOutbound: async (connection, options) => {
        const secured = await inner.secureOutbound(connection, options)
        const lp = lpStream(secured.connection)
        await talk(lp)
        return { ...secured, connection: lp.unwrap() }
      }
    }
    return encrypter
  }
}

function address(host: Host) {
  const [first] = host.mesh.addresses()
  return multiaddr(first!)
}

const refusing = (chain: readonly Uint8Array[]) => {
  const verdict = stubVerify(chain)
  return verdict.ok && verdict.machine === 'mallory'
    ? ({ ok: false, reason: 'UNTRUSTED_ROOT', detail: 'not one of ours' } as const)
    : verdict
}

// Most of the time is spent waiting, so they run side by side.
suite('admission', { concurrency: 8 }, () => {
  test('a libp2p node with plain noise does not get past the first negotiation', async t => {
    const host = await startHost(t, 'alpha')
    const node = await stranger(t, noise())
    await assert.rejects(node.dial(address(host)))
    assert.deepEqual(host.mesh.connected(), [])
    assert.deepEqual(node.getConnections(), [])
    const known = await node.peerStore.all()
    assert.deepEqual(
      known.filter(peer => peer.id.toString() === host.mesh.peer && peer.protocols.length > 0),
      []
    )
  })

  test('a host whose certificate is refused gets no protocol list, no gossip and no certificate of ours', async t => {
    const host = await makeHost(t, 'alpha', { verifyChain: refusing })
    let shown = 0
    let heard = 0
    host.mesh.onGossip('registry', () => {
      heard += 1
      return 'accept'
    })
    await host.mesh.start()
    const mallory = await makeHost(t, 'mallory', {
      bootstrap: host.mesh.addresses(),
      verifyChain: chain => {
        shown += 1
        return stubVerify(chain)
      }
    })
    let met = 0
    mallory.mesh.onConnect(() => {
      met += 1
    })
    mallory.mesh.onGossip('registry', () => {
      heard += 1
      return 'accept'
    })
    await mallory.mesh.start()
    const refusal = () => host.lines.find(line => line.level === 'warn' && line.message === 'host not admitted')
    await until(() => refusal() !== undefined)
    // It has come back by then: once is not by chance.
    await until(() => host.lines.filter(line => line.message === 'host not admitted').length > 2)
    assert.equal(refusal()?.fields.peer, mallory.mesh.peer)
    assert.match(refusal()?.fields.reason ?? '', /UNTRUSTED_ROOT: not one of ours/)
    assert.equal(await host.mesh.publish('registry', Buffer.from('for members only')), 0)
    assert.equal(await mallory.mesh.publish('registry', Buffer.from('from outside')), 0)
    assert.deepEqual([shown, heard, met], [0, 0, 0])
    assert.deepEqual([host.mesh.connected(), mallory.mesh.connected()], [[], []])
  })

  test('a refused host comes back again and again without filling the log', async t => {
    const host = await startHost(t, 'alpha', { verifyChain: refusing })
    const mallory = await startHost(t, 'mallory', { bootstrap: host.mesh.addresses() })
    await until(() => host.lines.filter(line => line.message === 'host not admitted').length >= 3)
    assert.equal(host.lines.filter(line => line.level === 'warn').length, 1)
    assert.equal(mallory.lines.filter(line => line.message === 'host connected').length, 0)
  })

  test('we refuse a host that we dialled, and it learns no protocol of ours', async t => {
    const mallory = await startHost(t, 'mallory')
    const host = await startHost(t, 'alpha', { verifyChain: refusing, bootstrap: mallory.mesh.addresses() })
    await until(() => host.lines.some(line => line.message === 'host not admitted'))
    assert.equal(mallory.lines.filter(line => line.message === 'host connected').length, 0)
    assert.deepEqual(host.mesh.connected(), [])
  })

  test('a member that was revoked is told so, and who only shows its chain learns nothing', async t => {
    const evicted = await makeHost(t, 'evicted')
    const verifyChain = (chain: readonly Uint8Array[]) => {
      const verdict = stubVerify(chain)
      if (!verdict.ok || verdict.machine !== 'evicted') return verdict
      return { ok: false, reason: 'revoked', detail: 'evicted was evicted', peer: evicted.mesh.peer } as const
    }
    const host = await startHost(t, 'alpha', { verifyChain })
    const refused: string[] = []
    const options = {
      bootstrap: host.mesh.addresses(),
      onRefused: (machine: string, reason: string) => refused.push(`${machine}: ${reason}`)
    }
    await startHost(t, 'evicted', { ...options, key: evicted.key })
    await until(() => refused.length > 0)
    assert.equal(refused[0], 'alpha: evicted was evicted')
    assert.deepEqual(host.mesh.connected(), [])

    const told = refused.length
    let shown = 0
    const thief = await startHost(t, 'thief', {
      ...options,
      nodeChain: () => stubChain('evicted', evicted.mesh.peer),
      onRefused: () => {
        shown += 1
      },
      verifyChain: chain => {
        shown += 1
        return stubVerify(chain)
      }
    })
    const ofThief = () => host.lines.filter(line => line.fields.peer === thief.mesh.peer)
    await until(() => ofThief().filter(line => line.message === 'host not admitted').length > 1)
    assert.equal(shown, 0)
    assert.ok(refused.length >= told)
  })

  test('a certificate chain is of no use to a host that does not hold its key', async t => {
    const host = await startHost(t, 'alpha')
    const victim = await makeHost(t, 'beta')
    const thief = await startHost(t, 'thief', {
      bootstrap: host.mesh.addresses(),
      nodeChain: () => stubChain('beta', victim.mesh.peer)
    })
    await until(() => host.lines.some(line => line.level === 'warn' && line.message === 'host not admitted'))
    const [line] = host.lines.filter(entry => entry.message === 'host not admitted')
    assert.equal(line?.fields.peer, thief.mesh.peer)
    assert.match(line?.fields.reason ?? '', /belongs to another host, beta/)
    assert.deepEqual(host.mesh.connected(), [])
  })

  test('an admission message above 32 KB is refused before it is read', async t => {
    let verified = 0
    const host = await startHost(t, 'alpha', {
      verifyChain: chain => {
        verified += 1
        return stubVerify(chain)
      }
    })
    const node = await stranger(
      t,
      impostor(async lp => {
        await lp.write(Buffer.alloc(33 * 1024))
        await lp.read()
      })
    )
    await assert.rejects(node.dial(address(host)))
    assert.equal(verified, 0)
    await until(() => host.lines.some(line => line.message === 'admission was not completed'))
  })

  test('a host that shows bytes which are no admission is turned away', async t => {
    const host = await startHost(t, 'alpha')
    const node = await stranger(
      t,
      impostor(async lp => {
        await lp.write(Buffer.from('ffffffff', 'hex'))
        await lp.read()
      })
    )
    await assert.rejects(node.dial(address(host)))
    assert.deepEqual(host.mesh.connected(), [])
  })

  test('a stranger that says nothing after noise is cut off by the deadline', async t => {
    const host = await startHost(t, 'alpha')
    const node = await stranger(
      t,
      impostor(async lp => {
        await lp.read()
      })
    )
    await assert.rejects(node.dial(address(host), { signal: AbortSignal.timeout(9_000) }))
    await until(() => host.lines.some(line => line.message === 'admission was not completed'))
    assert.deepEqual(host.mesh.connected(), [])
  })

  test('the clear text of a connection names neither machine nor trust domain', async t => {
    const host = await startHost(t, 'alpha-machine')
    const port = address(host)
      .getComponents()
      .find(part => part.name === 'tcp')?.value
    const socket = connect(Number(port), '127.0.0.1')
    t.after(() => socket.destroy())
    await once(socket, 'connect')
    // "ls" asks multistream-select for all it has.
    const frame = (text: string): Buffer => Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\n`)])
    socket.write(Buffer.concat([frame('/multistream/1.0.0'), frame('ls')]))
    let seen = ''
    socket.on('data', chunk => {
      seen += chunk.toString('latin1')
    })
    await until(() => seen.includes('/warren/noise/1'))
    assert.doesNotMatch(seen, /alpha|mesh\.test|registry|sync|12D3/)
  })

  test('a renewed certificate is shown at the next admission', async t => {
    const names = ['before', 'after']
    let use = 0
    const key = newKey()
    const a = await startHost(t, 'alpha')
    const b = await makeHost(t, 'beta', {
      key,
      bootstrap: a.mesh.addresses(),
      nodeChain: () => stubChain(names[use]!, b.mesh.peer)
    })
    await b.mesh.start()
    await until(() => a.mesh.machineOf(b.mesh.peer) === 'before')
    use = 1
    await a.mesh.disconnect(b.mesh.peer)
    await until(() => a.mesh.machineOf(b.mesh.peer) === 'after')
  })

  test('members hear each other', async t => {
    const [a, b] = await startPair(t)
    assert.equal(a.mesh.machineOf(b.mesh.peer), 'beta')
    assert.equal(b.mesh.machineOf(a.mesh.peer), 'alpha')
    assert.equal(await publishSoon(a, 'registry', 'hello'), 1)
  })
})
