import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import tls from 'node:tls'
import { silentLogger, systemClock } from '../../src/core/index.ts'
import { generatePeerKeyPair, type Issuer, issueNode, signBinding, spkiSha256 } from '../../src/identity/index.ts'
import { createMesh } from '../../src/mesh/index.ts'
import {
  askFor,
  dataPort,
  Intruder,
  type OpenRequest,
  type Program,
  PURPOSE,
  type Service,
  scopeOf,
  servicesOf,
  TestAgent,
  USAGE,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const HOUR_MS = 3_600_000
// Beyond the first ten lines of a network, a refusal is logged at this level.
const DEBUG = ['--log-level', 'debug']
const NOTHING = new Uint8Array()

const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
let a: TestAgent
let b: TestAgent
let c: TestAgent
let serve: Program
let site: Service
let shop: Service
let intruder: Intruder

// Everybody may reach the site, so that only the certificate can stop anyone. b was admitted for the scope dev.
before(async () => {
  a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org', ...DEBUG] }).start()
  const tokens = [await a.cli('token', 'create', 'b', '--scope', 'dev'), await a.cli('token', 'create', 'c')]
  b = await new TestAgent(scope, { name: 'b', args: ['--join', tokens[0]?.trim() ?? '', ...DEBUG] }).start()
  c = await new TestAgent(scope, { name: 'c', args: ['--join', tokens[1]?.trim() ?? '', ...DEBUG] }).start()
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await a.allow('*.*.*.*', SITE)
  await Promise.all([b.follows(a), c.follows(a)])
  serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.cli('register', SHOP, '--pid', String(process.pid))
  await Promise.all([a.knows(SHOP), c.knows(SHOP), c.knows(SITE)])
  site = (await servicesOf(a, SITE))[0] as Service
  shop = (await servicesOf(a, SHOP))[0] as Service
  intruder = new Intruder(b)
})

/** The reasons that `agent` has logged with a message so far. */
function reasons(agent: TestAgent, message: string): string[] {
  const lines = agent.program.stderr.split('\n').filter(line => line.includes(`"${message}"`))
  return lines.map(line => (JSON.parse(line) as { reason: string }).reason)
}

const REFUSED = 'unauthenticated peer refused at the data port'
const FAILED = 'handshake at the data port failed'

/** Asks `agent` for the site with a certificate of b's CA; the log must give `reason`. */
async function refused(agent: TestAgent, request: OpenRequest, reason: RegExp): Promise<void> {
  const shown = await intruder.certificate(request)
  const before = reasons(agent, REFUSED).length
  assert.equal(await askFor(site, 'OPTIONS', { ...(await dataPort(agent, site)), ...shown }), undefined)
  const said = await waitFor(() => reasons(agent, REFUSED).slice(before)[0], `${agent.name} to log ${reason}`)
  assert.match(said, reason)
}

test('what b itself would show opens a session, so what follows is asked rightly', async () => {
  const shown = await intruder.certificate({ uris: [shop.spiffeId] })
  assert.equal(await askFor(site, 'OPTIONS', { ...(await dataPort(a, site)), ...shown }), 200)
})

const own = (): string => shop.spiffeId
const nowMs = Date.now()
const forgeries: ReadonlyArray<readonly [string, () => OpenRequest, RegExp]> = [
  [
    'two URI names',
    () => ({ uris: [own(), own().replace('cart', 'till')] }),
    /^certificate refused: the certificate has 2 URI names, not one$/
  ],
  ['no URI name', () => ({ uris: [] }), /^certificate refused: the certificate has 0 URI names, not one$/],
  ['CA:TRUE', () => ({ uris: [own()], ca: true }), /^certificate refused: the certificate is a CA$/],
  [
    'the key usage of a CA',
    () => ({ uris: [own()], usage: USAGE.digitalSignature | USAGE.keyCertSign }),
    /^certificate refused: the certificate does not have the key usage of an end entity$/
  ],
  [
    'no purpose of a client',
    () => ({ uris: [own()], purposes: [PURPOSE.serverAuth] }),
    /^certificate refused: the certificate is not for TLS in both directions$/
  ],
  [
    'an end in the past',
    () => ({ uris: [own()], notBeforeMs: nowMs - 2 * HOUR_MS, notAfterMs: nowMs - HOUR_MS }),
    /^certificate refused: the certificate ended at \d{4}-/
  ],
  [
    'a beginning in the future',
    () => ({ uris: [own()], notBeforeMs: nowMs + HOUR_MS, notAfterMs: nowMs + 2 * HOUR_MS }),
    /^certificate refused: the certificate is valid from \d{4}-/
  ],
  [
    'a scope that its host was not admitted for',
    () => ({ uris: ['spiffe://example.org/prod/shop/cart/default/b'] }),
    /^certificate refused: b may not run workloads of scope prod$/
  ],
  [
    'another trust domain',
    () => ({ uris: ['spiffe://example.com/dev/shop/cart/default/b'] }),
    /^certificate refused: spiffe:\/\/example\.com\/.* is not a workload of example\.org$/
  ]
]
for (const [what, request, reason] of forgeries) {
  test(`a certificate with ${what} is refused by a running agent, which says why`, () => refused(a, request(), reason))
}

test('the CA of one host makes no agent accept a workload of another host, neither that host nor a third', async () => {
  const elsewhere = (machine: string): OpenRequest => ({ uris: [own().replace(/b$/, machine)] })
  await refused(a, elsewhere('a'), /^certificate refused: not signed by the CA of a$/)
  await refused(a, elsewhere('c'), /^certificate refused: not signed by the CA of c$/)
  await refused(c, elsewhere('a'), /^certificate refused: not signed by the CA of a$/)
  await refused(c, elsewhere('c'), /^certificate refused: not signed by the CA of c$/)
})

test('TLS 1.2 is refused by a running agent, which says why', async () => {
  const shown = await intruder.certificate({ uris: [own()] })
  const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
  assert.equal(await askFor(site, 'OPTIONS', { ...(await dataPort(a, site)), ...shown, ...old }), undefined)
  await waitFor(
    () => reasons(a, FAILED).some(reason => /unsupported protocol|version/i.test(reason)),
    'the version in the log'
  )
})

test('keys are agreed on with X25519MLKEM768 by a running agent, and a client with other groups alone is refused', async () => {
  const shown = await intruder.certificate({ uris: [own()] })
  const options = { ...(await dataPort(a, site)), ...shown }
  const socket = tls.connect(options)
  socket.on('error', () => {})
  await new Promise(resolve => socket.once('secureConnect', resolve))
  assert.equal(Reflect.get(socket.getEphemeralKeyInfo() ?? {}, 'name'), 'X25519MLKEM768')
  socket.destroy()
  const classical = { ecdhCurve: 'X25519:P-256:P-384' } as const
  assert.equal(await askFor(site, 'OPTIONS', { ...options, ...classical }), undefined)
  await waitFor(() => reasons(a, FAILED).some(reason => /no suitable key share/i.test(reason)), 'the group in the log')
})

test('a session is not resumed by a running agent, and without a certificate it says so', async () => {
  const shown = await intruder.certificate({ uris: [own()] })
  const options = await dataPort(a, site)
  const first = tls.connect({ ...options, ...shown })
  const session = await new Promise<Buffer>(resolve => first.once('session', resolve))
  const client = http2.connect('https://warren.invalid', { createConnection: () => first })
  client.on('error', () => {})
  await new Promise(resolve => client.once('remoteSettings', resolve))

  const before = reasons(a, REFUSED).length
  const second = tls.connect({ ...options, session })
  second.on('error', () => {})
  await new Promise(resolve => second.once('secureConnect', resolve))
  assert.equal(second.isSessionReused(), false)
  await new Promise(resolve => second.once('close', resolve))
  const said = await waitFor(() => reasons(a, REFUSED).slice(before)[0], 'the refusal in the log')
  assert.equal(said, 'no client certificate')
  first.destroy()
})

/** What a holds: the key of the authority. */
function authorityOf(agent: TestAgent): Issuer {
  const [, certificate] = new Intruder(agent).chainDer
  return {
    certificate: certificate ?? NOTHING,
    key: createPrivateKey(readFileSync(join(agent.stateDir, 'authority.key')))
  }
}

/** A chain for a host named b with keys of its own, and its peer key. */
async function chainOf(times: { nowMs: number; lifetimeMs: number }, authority = authorityOf(a)) {
  const peerKey = generatePeerKeyPair()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicKey = createPublicKey(privateKey)
  const about = { trustDomain: 'example.org', machine: 'b' }
  const binding = signBinding({ ...about, scopes: [], nodeKeySha256: spkiSha256(publicKey) }, peerKey)
  const node = await issueNode({ ...about, authority, publicKey, binding, ...times })
  return { peerKey, chain: [node, ...new Intruder(a).chainDer.slice(1)] }
}

/** Dials the libp2p port of a as a host with this key that shows this chain, and waits for what a logs of it. */
async function admission(peerKey: KeyObject, chain: readonly Uint8Array[], reason: RegExp): Promise<void> {
  const met: string[] = []
  const mesh = await createMesh({
    peerKey,
    trustDomain: 'example.org',
    listen: { host: '127.0.0.1', port: 0 },
    mdns: false,
    bootstrap: (await a.status()).meshAddresses,
    nodeChain: () => chain,
    // It admits everybody itself: only the other side can refuse.
    verifyChain: () => ({ ok: true, machine: 'a', peer: met[0] as never }),
    log: silentLogger,
    clock: systemClock
  })
  mesh.onConnect(peer => met.push(peer))
  try {
    await mesh.start()
    const said = await waitFor(
      () => reasons(a, 'host not admitted').find(one => reason.test(one)),
      `a to log ${reason}, not ${reasons(a, 'host not admitted').join('; ')}`
    )
    assert.match(said, reason)
    assert.deepEqual(mesh.connected(), [])
    assert.equal((await a.status()).connected, 2)
  } finally {
    await mesh.stop()
  }
}

test('the chain of a member admits nobody with another key', async () => {
  await admission(generatePeerKeyPair(), intruder.chainDer, /belongs to another host, b/)
})

test('a host cannot admit another: its CA signs no node CA that counts', async () => {
  const [certificate = NOTHING] = intruder.chainDer
  const key = createPrivateKey(readFileSync(join(b.stateDir, 'node.key')))
  const { peerKey, chain } = await chainOf({ nowMs: Date.now(), lifetimeMs: HOUR_MS }, { certificate, key })
  const [node = NOTHING, , root = NOTHING] = chain
  // b in place of the authority, and then where nothing may be.
  await admission(peerKey, [node, certificate, root], /bad-signature|the authority is not signed by/)
  await admission(generatePeerKeyPair(), [node, certificate, ...intruder.chainDer.slice(1)], /4 certificates, not 3/)
})

test('a host whose certificate has ended, or does not count yet, is not admitted, and the log says why', async () => {
  const ended = await chainOf({ nowMs: Date.now() - 2 * HOUR_MS, lifetimeMs: HOUR_MS })
  await admission(ended.peerKey, ended.chain, /expired: the node CA ended at/)
  const early = await chainOf({ nowMs: Date.now() + HOUR_MS, lifetimeMs: HOUR_MS })
  await admission(early.peerKey, early.chain, /not-yet-valid: the node CA is valid from/)
})

test('after all that the members still see each other, and nothing reached the server', async () => {
  for (const agent of [a, b, c]) assert.equal((await agent.status()).connected, 2)
  assert.equal(serve.stdout, '')
})
