import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import test from 'node:test'
import {
  createLocalJWKSet,
  decodeProtectedHeader,
  importJWK,
  type JSONWebKeySet,
  type JWK,
  jwtVerify,
  SignJWT
} from 'jose'
import { keySet, validateJwt } from '../../src/ca/jwt.ts'
import { announcedKey } from '../../src/ca/membership/index.ts'
import { witKeySet } from '../../src/ca/wit.ts'
import { create, spiffePb } from '../../src/wire/index.ts'
import { TRUST_DOMAIN } from '../identity/domain.ts'
import { Agent, caller, ID, JWT_LIFETIME_MS } from './spiffe-agent.ts'

const OTHER_ID = `spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`
const code = (wanted: string) => (err: Error & { code?: string }) => err.code === wanted

function watch(agent: Agent, uid: number, spiffeId: string, t: test.TestContext) {
  const ending = new AbortController()
  t.after(() => ending.abort())
  const request = create(spiffePb.WITSVIDRequestSchema, { spiffeId })
  return agent.handlers.fetchWITSVID(request, caller(uid, 7), ending.signal)[Symbol.asyncIterator]()
}

test('a WIT-SVID has the claims of its specification, and its key', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  agent.register(OTHER_ID, 1000, 1)
  const { value } = await watch(agent, 1000, '', t).next()
  assert.deepEqual(
    value.svids.map((svid: spiffePb.WITSVID) => svid.spiffeId),
    [ID, OTHER_ID]
  )
  const [{ witSvid, witSvidKey, hint }] = value.svids
  assert.equal(hint, 'dev.web.nginx.default')

  const ending = new AbortController()
  t.after(() => ending.abort())
  const bundles = agent.handlers
    .fetchWITBundles(create(spiffePb.WITBundlesRequestSchema), caller(1000, 7), ending.signal)
    [Symbol.asyncIterator]()
  const keys = JSON.parse((await bundles.next()).value.bundles[`spiffe://${TRUST_DOMAIN}`]) as JSONWebKeySet
  assert.deepEqual(
    keys.keys.map(({ use }) => use),
    ['wit-svid']
  )
  const currentDate = new Date(agent.wallMs)
  const { payload, protectedHeader } = await jwtVerify(
    witSvid,
    createLocalJWKSet({ keys: keys.keys.map(({ use: _, ...key }) => key) }),
    {
      currentDate
    }
  )
  assert.deepEqual({ ...protectedHeader, kid: '' }, { alg: 'ES256', kid: '', typ: 'wit+jwt' })
  assert.equal(payload.sub, ID)
  assert.equal(payload.aud, undefined)
  assert.equal(payload.iss, undefined)
  assert.equal(payload.exp, Math.floor((agent.wallMs + JWT_LIFETIME_MS) / 1_000))
  const { jwk } = payload['cnf'] as { jwk: JWK }
  assert.deepEqual(Object.keys(jwk).sort(), ['alg', 'crv', 'kty', 'x', 'y'])
  // The proof of possession that a verifier asks for.
  const proof = await new SignJWT({}).setProtectedHeader({ alg: 'ES256' }).sign(await importJWK(JSON.parse(witSvidKey)))
  await jwtVerify(proof, createPublicKey({ key: jwk as never, format: 'jwk' }))
})

test('a WIT-SVID is renewed before half of its life, and the same for all watchers until then', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  const [one, other] = [watch(agent, 1000, ID, t), watch(agent, 1000, '', t)]
  const first = (await one.next()).value.svids[0].witSvid
  assert.equal((await other.next()).value.svids[0].witSvid, first)
  agent.wallMs += JWT_LIFETIME_MS / 2
  agent.change()
  assert.notEqual((await one.next()).value.svids[0].witSvid, first)
})

test('nobody gets a WIT-SVID of another user, nor one after the end of the registration', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  await assert.rejects(watch(agent, 1001, '', t).next(), code('PERMISSION_DENIED'))
  await assert.rejects(watch(agent, 1000, OTHER_ID, t).next(), code('PERMISSION_DENIED'))
  const mine = watch(agent, 1000, ID, t)
  await mine.next()
  agent.registrations = []
  agent.change()
  await assert.rejects(mine.next(), code('PERMISSION_DENIED'))
})

test('no verifier takes a WIT-SVID for a JWT-SVID, nor a key of one kind for the other', async t => {
  const agent = new Agent()
  agent.register(ID, 1000, 1)
  const { witSvid } = (await watch(agent, 1000, '', t).next()).value.svids[0]
  const hosts = [{ machine: 'a', scopes: [], jwtKeys: [announcedKey(agent.jwtKey)] }]
  await assert.rejects(validateJwt(witSvid, 'db', TRUST_DOMAIN, hosts, agent.wallMs), code('INVALID_ARGUMENT'))
  const names = [...keySet(hosts).keys, ...witKeySet(hosts).keys].map(({ kid }) => kid)
  assert.equal(new Set(names).size, 2)
  assert.equal(decodeProtectedHeader(witSvid).kid, witKeySet(hosts).keys[0]?.kid)
})
