import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { exportJWK, jwtVerify, SignJWT } from 'jose'
import { localKeys, MAX_KEY_SET_BYTES, parseKeysUrl, remoteKeys } from '../../src/ca/joins/key-sets.ts'
import { NOW_MS } from '../identity/domain.ts'
import { TestClock } from './support.ts'

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256' }
const token = await new SignJWT({}).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).sign(privateKey)

/** The keys of an issuer that answers like this; the URL is https, and its bytes come from a server of this test. */
async function issuer(t: TestContext, answer: RequestListener) {
  let asked = 0
  const server = createServer((request, response) => {
    asked += 1
    answer(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const clock = new TestClock(NOW_MS)
  const byHttp = (_url: string, options: RequestInit): Promise<Response> => fetch(`http://127.0.0.1:${port}/`, options)
  const keys = remoteKeys(parseKeysUrl('https://ci.example.com/jwks'), clock, byHttp)
  return { verify: () => jwtVerify(token, keys), asked: () => asked, clock }
}

test('the keys of an issuer are fetched once and kept', async t => {
  const one = await issuer(t, (_request, response) => response.end(JSON.stringify({ keys: [jwk] })))
  await one.verify()
  await one.verify()
  assert.equal(one.asked(), 1)
})

test('an issuer that answers too much, leads elsewhere or fails is given up, and not asked again at once', async t => {
  for (const answer of [
    (_request, response) => response.end(`{"keys":[${' '.repeat(MAX_KEY_SET_BYTES)}]}`),
    (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    (_request, response) => response.writeHead(500).end(),
    (_request, response) => response.destroy()
  ] satisfies RequestListener[]) {
    const one = await issuer(t, answer)
    await assert.rejects(one.verify())
    await assert.rejects(one.verify(), /asked a moment ago/)
    assert.equal(one.asked(), 1)
    one.clock.pass(6_000)
    await assert.rejects(one.verify())
    assert.equal(one.asked(), 2)
  }
})

test('keys come by https, or from a text with public keys only', async () => {
  for (const url of ['http://ci.example.com/jwks', 'https://u:p@ci.example.com/', 'file:///etc/passwd', 'x']) {
    assert.throws(() => parseKeysUrl(url), { code: 'INVALID_ARGUMENT' }, url)
  }
  const secret = { kty: 'oct', k: 'AAAA' }
  const own = await exportJWK(privateKey)
  for (const set of ['', '{}', '[]', '{"keys":[]}', { keys: [secret] }, { keys: [own] }, { keys: [1] }]) {
    const text = typeof set === 'string' ? set : JSON.stringify(set)
    assert.throws(() => localKeys(text), { code: 'INVALID_ARGUMENT' }, text.slice(0, 40))
  }
  await jwtVerify(token, localKeys(JSON.stringify({ keys: [jwk] })))
})
