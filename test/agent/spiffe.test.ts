import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import test from 'node:test'
import { decodeProtectedHeader, SignJWT } from 'jose'
import { unknownView } from '../../src/attest/index.ts'
import { type JwtHost, keySet, signJwt, validateJwt } from '../../src/ca/jwt.ts'
import { announcedKey } from '../../src/ca/membership/index.ts'
import { generateSigningKeyPair } from '../../src/identity/index.ts'
import { create, envoyDiscoveryPb, spiffePb } from '../../src/wire/index.ts'
import { NOW_MS, TRUST_DOMAIN } from '../identity/domain.ts'
import { Agent, caller, domain, ID, JWT_LIFETIME_MS } from './spiffe-agent.ts'

const code =
  (wanted: string, reason = /./) =>
  (err: Error & { code?: string; reason?: string }) =>
    err.code === wanted && reason.test(err.reason ?? '')

test('a process gets its own identities, or those of its user, and never those of another user', async t => {
  const agent = new Agent()
  const other = `spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`
  agent.register(ID, 1_000, 10)
  agent.register(other, 1_000, 20, false)
  agent.register(`spiffe://${TRUST_DOMAIN}/dev/web/foreign/default/a`, 2_000, 30)
  const idsOf = async (uid: number, pid: number) =>
    ((await agent.watch(caller(uid, pid), t).next()).value?.svids ?? []).map(
      (svid: { spiffeId?: string }) => svid.spiffeId
    )
  assert.deepEqual(await idsOf(1_000, 20), [other])
  assert.deepEqual(await idsOf(1_000, 99), [ID])
  await assert.rejects(idsOf(3_000, 10), code('PERMISSION_DENIED'))
  await assert.rejects(idsOf(0, 10), code('PERMISSION_DENIED'))
  // The same uid, and the same pid, of a container.
  const inside = { ...unknownView('is in a container'), key: '2 1:2' }
  const elsewhere = agent.watch(caller(1_000, 10, inside), t).next()
  await assert.rejects(elsewhere, code('PERMISSION_DENIED'))
})

test('a process that registered nothing gets what is for its user, each ID once, in an order that stays, with a hint', async t => {
  const agent = new Agent()
  const id = (name: string) => `spiffe://${TRUST_DOMAIN}/dev/web/${name}/default/a`
  agent.register(id('zebra'), 1_000, 10)
  agent.register(id('client'), 1_000, 20, false)
  for (const pid of [30, 31, 32]) agent.register(id('nginx'), 1_000, pid)
  const svidsOf = async (pid: number) =>
    ((await agent.watch(caller(1_000, pid), t).next()).value?.svids ?? []).map(
      ({ spiffeId, hint }: { spiffeId?: string; hint?: string }) => [spiffeId, hint]
    )
  const all = [
    [id('nginx'), 'dev.web.nginx.default'],
    [id('zebra'), 'dev.web.zebra.default']
  ]
  assert.deepEqual(await svidsOf(99), all)
  // The program that registered it has it, and only that.
  assert.deepEqual(await svidsOf(20), [[id('client'), 'dev.web.client.default']])
  // The order is that of the IDs: it is the same when they are registered again in another one.
  agent.registrations.reverse()
  assert.deepEqual(await svidsOf(99), all)
  const request = create(spiffePb.JWTSVIDRequestSchema, { audience: ['db'] })
  const { svids = [] } = await agent.handlers.fetchJWTSVID(request, caller(1_000, 99), AbortSignal.timeout(10_000))
  assert.deepEqual(
    svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
    all
  )
  // Nothing for the user, and nothing of its own.
  agent.registrations = agent.registrations.filter(({ forUser }) => !forUser)
  await assert.rejects(svidsOf(99), code('PERMISSION_DENIED'))
})

test('a registration that is for its program alone reaches no watcher of its user', async t => {
  const agent = new Agent()
  agent.register(ID, 1_000, 10)
  const watcher = agent.watch(caller(1_000, 99), t)
  assert.equal((await watcher.next()).value?.svids?.length, 1)
  const next = watcher.next()
  let isTold = false
  next.then(
    () => (isTold = true),
    () => {}
  )
  const client = `spiffe://${TRUST_DOMAIN}/dev/shop/cart/default/a`
  agent.register(client, 1_000, 20, false)
  agent.change()
  // It looks again, and finds what it has sent already.
  const own = agent.watch(caller(1_000, 20), t)
  assert.equal((await own.next()).value?.svids?.[0]?.spiffeId, client)
  assert.equal(isTold, false)
  agent.register(`spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`, 1_000, 30)
  agent.change()
  assert.equal((await next).value?.svids?.length, 2)
})

test('a stream that began with the identities of one process ends with them, and never gets those of its user', async t => {
  const agent = new Agent()
  const own = `spiffe://${TRUST_DOMAIN}/dev/shop/cart/default/a`
  agent.register(ID, 1_000, 10)
  agent.register(own, 1_000, 20, false)
  const who = caller(1_000, 20)
  const ending = new AbortController()
  t.after(() => ending.abort())
  const { signal } = ending
  const { handlers, socket } = agent
  const request = create(envoyDiscoveryPb.DiscoveryRequestSchema, {})
  const open = async function* () {
    yield request
    await new Promise(() => {})
  }
  const streams = [
    agent.watch(who, t),
    handlers.fetchX509Bundles(create(spiffePb.X509BundlesRequestSchema), who, signal)[Symbol.asyncIterator](),
    handlers.fetchJWTBundles(create(spiffePb.JWTBundlesRequestSchema), who, signal)[Symbol.asyncIterator](),
    handlers.fetchWITSVID(create(spiffePb.WITSVIDRequestSchema), who, signal)[Symbol.asyncIterator](),
    handlers.fetchWITBundles(create(spiffePb.WITBundlesRequestSchema), who, signal)[Symbol.asyncIterator](),
    socket.secrets.streamSecrets(open(), who, signal)[Symbol.asyncIterator]()
  ]
  for (const stream of streams) assert.equal((await stream.next()).done, false)
  agent.registrations = agent.registrations.filter(({ forUser }) => forUser)
  agent.change()
  const ended = code('PERMISSION_DENIED', /the registration of this process has ended/)
  await Promise.all(streams.map(stream => assert.rejects(stream.next(), ended)))
  // Clients ask again by themselves, on the same connection.
  await assert.rejects(agent.watch(who, t).next(), ended)
  // Who connects again gets what is for its user, as every process without identities of its own.
  assert.equal((await agent.watch(caller(1_000, 20), t).next()).value?.svids?.[0]?.spiffeId, ID)
})

test('an X.509-SVID comes with its key, its chain and the roots', async t => {
  const agent = new Agent()
  agent.register(ID, 1_000, 10)
  const { value } = await agent.watch(caller(1_000, 10), t).next()
  const [svid] = value?.svids ?? []
  const leaf = new X509Certificate(svid?.x509Svid ?? new Uint8Array())
  assert.equal(leaf.subjectAltName, `URI:${ID}`)
  const { createPrivateKey } = await import('node:crypto')
  const key = createPrivateKey({ key: Buffer.from(svid?.x509SvidKey ?? []), format: 'der', type: 'pkcs8' })
  assert.ok(leaf.checkPrivateKey(key))
  assert.deepEqual(Buffer.from(svid?.bundle ?? []), Buffer.from(domain.root))
})

test('a watcher hears of a new registration, of a renewal at half-life, and of its last end', async t => {
  const agent = new Agent()
  agent.register(ID, 1_000, 10)
  const watcher = agent.watch(caller(1_000, 99), t)
  const serial = (message: { svids?: { x509Svid?: Uint8Array }[] } | undefined) =>
    new X509Certificate(message?.svids?.[0]?.x509Svid ?? new Uint8Array()).serialNumber
  const first = (await watcher.next()).value
  agent.register(`spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`, 1_000, 20)
  let next = watcher.next()
  agent.change()
  assert.equal((await next).value?.svids?.length, 2)

  agent.wallMs += 1_800_000
  next = watcher.next()
  agent.change()
  const renewed = (await next).value
  assert.notEqual(serial(renewed), serial(first))

  agent.registrations = []
  next = watcher.next()
  agent.change()
  await assert.rejects(next, code('PERMISSION_DENIED'))
})

test('a watcher gets its whole state anew when the CA of the host was renewed', async t => {
  const agent = new Agent()
  agent.register(ID, 1_000, 10)
  agent.register(`spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`, 1_000, 20)
  const watcher = agent.watch(caller(1_000, 99), t)
  const leaves = (message: { svids?: { x509Svid?: Uint8Array }[] } | undefined) =>
    (message?.svids ?? []).map(({ x509Svid }) => new X509Certificate(x509Svid ?? new Uint8Array()).serialNumber)
  const before = leaves((await watcher.next()).value)
  const next = watcher.next()
  agent.svids.markStale()
  agent.change()
  const after = leaves((await next).value)
  assert.equal(after.length, 2)
  for (const serial of after) assert.equal(before.includes(serial), false)
})

test('a JWT-SVID names its workload and audience, lives for minutes, and is validated', async () => {
  const agent = new Agent()
  agent.register(ID, 1_000, 10)
  const request = create(spiffePb.JWTSVIDRequestSchema, { audience: ['db', 'cache'] })
  const { svids = [] } = await agent.handlers.fetchJWTSVID(request, caller(1_000, 10), AbortSignal.timeout(10_000))
  const svid = svids[0]?.svid ?? ''
  assert.equal(decodeProtectedHeader(svid).alg, 'ES256')
  const ask = (audience: string) =>
    agent.handlers.validateJWTSVID(
      create(spiffePb.ValidateJWTSVIDRequestSchema, { audience, svid }),
      caller(5, 5),
      AbortSignal.timeout(10_000)
    )
  const { spiffeId, claims } = await ask('cache')
  assert.equal(spiffeId, ID)
  assert.deepEqual((claims as { aud: unknown }).aud, ['db', 'cache'])
  await assert.rejects(ask('mail'), code('INVALID_ARGUMENT', /aud/))
  await assert.rejects(ask(''), code('INVALID_ARGUMENT'))
  agent.wallMs += JWT_LIFETIME_MS
  await assert.rejects(ask('db'), code('INVALID_ARGUMENT', /exp/))
})

test('a JWT-SVID is given for own identities and real audiences only', async () => {
  const agent = new Agent()
  agent.register(ID, 1_000, 10)
  const fetch = (uid: number, spiffeId: string, audience: string[]) =>
    agent.handlers.fetchJWTSVID(
      create(spiffePb.JWTSVIDRequestSchema, { audience, spiffeId }),
      caller(uid, 10),
      AbortSignal.timeout(10_000)
    )
  await assert.rejects(fetch(2_000, '', ['db']), code('PERMISSION_DENIED'))
  await assert.rejects(fetch(1_000, `${ID}x`, ['db']), code('PERMISSION_DENIED'))
  for (const audience of [[], [''], Array(17).fill('x'), ['x'.repeat(257)]]) {
    await assert.rejects(fetch(1_000, '', audience), code('INVALID_ARGUMENT'))
  }
})

test('the key of one host makes no JWT-SVID of another host, scope or algorithm', async () => {
  const key = generateSigningKeyPair()
  const hosts: JwtHost[] = [{ machine: 'a', scopes: ['dev'], jwtKeys: ['AAAA', announcedKey(key)] }]
  const validate = (token: string) => validateJwt(token, 'db', TRUST_DOMAIN, hosts, NOW_MS)
  assert.equal((await validate(await signJwt(key, ID, ['db'], NOW_MS, JWT_LIFETIME_MS))).spiffeId, ID)
  const other = await signJwt(key, `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/b`, ['db'], NOW_MS, JWT_LIFETIME_MS)
  await assert.rejects(validate(other), code('INVALID_ARGUMENT', /another machine/))
  const prod = await signJwt(key, `spiffe://${TRUST_DOMAIN}/prod/web/nginx/default/a`, ['db'], NOW_MS, JWT_LIFETIME_MS)
  await assert.rejects(validate(prod), code('INVALID_ARGUMENT', /scope prod/))
  await assert.rejects(
    validate(await signJwt(key, 'spiffe://other.org/dev/a/b/c/a', ['db'], NOW_MS, JWT_LIFETIME_MS)),
    code('INVALID_ARGUMENT')
  )
  const stranger = await signJwt(generateSigningKeyPair(), ID, ['db'], NOW_MS, JWT_LIFETIME_MS)
  await assert.rejects(validate(stranger), code('INVALID_ARGUMENT', /no live host/))

  const { kid = '' } = decodeProtectedHeader(await signJwt(key, ID, ['db'], NOW_MS, JWT_LIFETIME_MS))
  const confused = await new SignJWT({ sub: ID, aud: 'db', exp: NOW_MS / 1_000 + 60 })
    .setProtectedHeader({ alg: 'HS256', kid })
    .sign(Buffer.from(announcedKey(key), 'base64'))
  await assert.rejects(validate(confused), code('INVALID_ARGUMENT'))
  const unsigned = `${Buffer.from(`{"alg":"none","kid":"${kid}"}`).toString('base64url')}.${confused.split('.')[1]}.`
  await assert.rejects(validate(unsigned), code('INVALID_ARGUMENT'))
  const undated = await new SignJWT({ sub: ID, aud: 'db' }).setProtectedHeader({ alg: 'ES256', kid }).sign(key)
  await assert.rejects(validate(undated), code('INVALID_ARGUMENT', /exp/))
  await assert.rejects(validate('x'.repeat(20_000)), code('INVALID_ARGUMENT', /too long/))
})

test('a host that announces the key of another one spoils none of its JWT-SVIDs, and makes none', async () => {
  const key = generateSigningKeyPair()
  const thief: JwtHost = { machine: 'b', scopes: [], jwtKeys: [announcedKey(key)] }
  const owner: JwtHost = { machine: 'a', scopes: ['dev'], jwtKeys: [announcedKey(key)] }
  const token = await signJwt(key, ID, ['db'], NOW_MS, JWT_LIFETIME_MS)
  for (const hosts of [
    [thief, owner],
    [owner, thief]
  ]) {
    assert.equal((await validateJwt(token, 'db', TRUST_DOMAIN, hosts, NOW_MS)).spiffeId, ID)
  }
  await assert.rejects(
    validateJwt(token, 'db', TRUST_DOMAIN, [thief], NOW_MS),
    code('INVALID_ARGUMENT', /another machine/)
  )
})

test('what a host announces as a key and is none, is left out of the bundle', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey
  const good = announcedKey(generateSigningKeyPair())
  const odd = [rsa.export({ format: 'der', type: 'spki' }).toString('base64'), '', 'AAAA']
  const { keys } = keySet([{ machine: 'a', scopes: [], jwtKeys: [...odd, good] }])
  assert.equal(keys.length, 1)
  assert.deepEqual([keys[0]?.kty, keys[0]?.crv, keys[0]?.['use']], ['EC', 'P-256', 'jwt-svid'])
})
