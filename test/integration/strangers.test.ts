import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import {
  askFor,
  dataPort,
  Intruder,
  type PeerChain,
  type Program,
  type Service,
  scopeOf,
  servicesOf,
  startPair,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

interface Target {
  readonly a: TestAgent
  readonly b: TestAgent
  readonly serve: Program
  readonly site: Service
  /** Registered on b, and allowed to reach the site. */
  readonly shop: Service
}

/** A server that everybody is allowed to reach, so that only the certificate can stop anyone. */
async function openTarget(t: TestContext): Promise<Target> {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('*.*.*.*', SITE)
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.cli('register', SHOP, '--pid', String(process.pid))
  await Promise.all([a.knows(SHOP), b.knows(SITE)])
  const [site] = await servicesOf(a, SITE)
  const [shop] = await servicesOf(a, SHOP)
  assert.ok(site !== undefined && shop !== undefined)
  return { a, b, serve, site, shop }
}

async function ask(target: Target, method: 'OPTIONS' | 'CONNECT', shown?: PeerChain): Promise<number | undefined> {
  return await askFor(target.site, method, { ...(await dataPort(target.a, target.site)), ...shown })
}

test('only the certificate of a registered workload, signed by its own host, opens a session', async t => {
  const target = await openTarget(t)
  const { a, b, serve, shop } = target

  const member = new Intruder(b)
  // First that the question is put rightly: with what b itself would show, it is answered.
  const honest = await member.certificate({ uris: [shop.spiffeId] })
  assert.equal(await ask(target, 'OPTIONS', honest), 200)
  assert.equal(await ask(target, 'CONNECT', honest), 200)
  await serve.says(/from a stranger/)
  const heard = serve.stdout

  const directory = scopeOf(t).directory()
  const subject = ['-subj', '/CN=stranger', '-addext', `subjectAltName=URI:${shop.spiffeId}`, '-days', '1']
  const files = ['-keyout', 'own.key', '-out', 'own.pem']
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...newKey, ...files, ...subject], { cwd: directory, stdio: 'ignore' })
  const selfSigned = {
    cert: readFileSync(join(directory, 'own.pem'), 'utf8'),
    key: readFileSync(join(directory, 'own.key'), 'utf8')
  }
  // Another trust domain of the same name, with a host of the same name.
  const impostor = new TestAgent(scopeOf(t), { name: 'b', args: ['--init', 'example.org'] })
  await impostor.start()

  const strangers: ReadonlyArray<readonly [string, PeerChain | undefined]> = [
    ['no certificate', undefined],
    ['a self-signed certificate', selfSigned],
    ['the certificate of another root', await new Intruder(impostor).certificate({ uris: [shop.spiffeId] })]
  ]
  for (const [who, credentials] of strangers) {
    for (const method of ['OPTIONS', 'CONNECT'] as const) {
      assert.equal(await ask(target, method, credentials), undefined, `${method} with ${who}`)
    }
  }

  // Members that name what is not there: they learn that they are refused, at most.
  const insiders: ReadonlyArray<readonly [string, string]> = [
    ['the name of a host that does not exist', shop.spiffeId.replace(/\/b$/, '/nowhere')],
    ['a name that is not registered', shop.spiffeId.replace('cart', 'till')],
    ['the name of an agent', 'spiffe://example.org/warren/agent/b']
  ]
  for (const [who, uri] of insiders) {
    for (const method of ['OPTIONS', 'CONNECT'] as const) {
      const shown = await member.certificate({ uris: [uri] })
      assert.notEqual(await ask(target, method, shown), 200, `${method} with ${who}`)
    }
  }
  assert.equal(serve.stdout, heard)
  await waitFor(async () => ((await a.status()).flows ?? 0) === 0, 'no flow to be left')
})

/** A node of the same libp2p, without any certificate; in disguise, it offers warren's own encrypter protocol. */
async function libp2pNode(t: TestContext, disguised: boolean): ReturnType<typeof createLibp2p> {
  const encrypter: ReturnType<typeof noise> = components => {
    const inner = noise()(components)
    if (!disguised) return inner
    return new Proxy(inner, {
      get: (object, key) => {
        if (key === 'protocol') return '/warren/noise/1'
        const value: unknown = Reflect.get(object, key)
        return typeof value === 'function' ? value.bind(object) : value
      }
    })
  }
  const node = await createLibp2p({
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux()],
    services: { identify: identify() }
  })
  t.after(() => node.stop())
  return node
}

for (const disguised of [false, true]) {
  test(`a libp2p node ${disguised ? 'in disguise' : 'of the same version'} learns nothing from an agent`, async t => {
    const agent = new TestAgent(scopeOf(t), { name: 'a', args: ['--init', 'example.org'] })
    await agent.start()
    const { meshAddresses, peerId } = await agent.status()
    const address = multiaddr(meshAddresses[0])
    const node = await libp2pNode(t, disguised)
    const identified: unknown[] = []
    node.addEventListener('peer:identify', event => identified.push(event.detail))

    const connection = await node.dial(address).catch(() => undefined)
    assert.ok(disguised || connection === undefined, 'the dial of a stranger must fail')
    await waitFor(() => node.getConnections().length === 0, 'the agent to hang up')
    const peers = await node.peerStore.all()
    const protocols = peers.filter(peer => peer.id.toString() === peerId).flatMap(peer => peer.protocols)
    assert.deepEqual([identified, protocols], [[], []])
    assert.equal((await agent.status()).connected ?? 0, 0)
  })
}

test('an agent of another root, of the same name, hears no gossip and sees no service', async t => {
  const { a, b } = await openTarget(t)
  const addresses = (await a.status()).meshAddresses.flatMap(address => ['--bootstrap', address])
  const stranger = new TestAgent(scopeOf(t), { name: 'x', args: ['--init', 'example.org', ...addresses] })
  await stranger.start()
  const refusal = /host not admitted|admission was not completed/
  await waitFor(
    () => refusal.test(stranger.program.stderr) && refusal.test(a.program.stderr),
    'both sides to have refused the other'
  )
  assert.equal((await stranger.status()).connected ?? 0, 0)
  assert.deepEqual(await servicesOf(stranger, ''), [])
  for (const agent of [a, b]) assert.equal((await agent.status()).connected, 1)
})
