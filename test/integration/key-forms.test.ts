import assert from 'node:assert/strict'
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { dialAgent } from '../../src/ca/membership/dial.ts'
import { requestFor } from '../../src/identity/certificate/request.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  keyToPem,
  parseJoinToken,
  signBinding,
  toPem
} from '../../src/identity/index.ts'
import { create, decode, encodeFrame, identityPb, readFrame, toBinary } from '../../src/wire/index.ts'
import { askFor, dataPort, Intruder, scopeOf, servicesOf, startPair, TestAgent } from '../harness/index.ts'
import { canonicalSpki, certificateWith, NAMED, OTHER_FORMS, requestWith, spkiIn } from '../identity/key-forms.ts'

const MAX_BYTES = 65_536
const SITE = 'dev.web.site.default'

/** What the authority answers over TLS to a join with this token and this key, whose public half is written as `spki`. */
async function joinWith(text: string, key: KeyObject, spki: Buffer): Promise<identityPb.JoinResponse['result']> {
  const token = parseJoinToken(text, Date.now())
  const { trustDomain, machine, scopes, secret } = token
  const signal = AbortSignal.timeout(30_000)
  const { stream } = await dialAgent(token.authorityAddresses[0]!, JOIN_ALPN, signal)
  stream.on('error', () => {})
  try {
    await readFrame(stream, MAX_BYTES, signal)
    const nodeKeySha256 = createHash('sha256').update(spki).digest()
    const request = create(identityPb.JoinRequestSchema, {
      tokenId: Buffer.from(token.id, 'hex'),
      secret,
      csr: requestWith(await requestFor(machine, key), spki, key),
      binding: signBinding({ trustDomain, machine, scopes, nodeKeySha256 }, generatePeerKeyPair())
    })
    stream.write(encodeFrame(toBinary(identityPb.JoinRequestSchema, request)))
    const answer = await readFrame(stream, MAX_BYTES, signal)
    return decode(identityPb.JoinResponseSchema, answer, MAX_BYTES).result
  } finally {
    stream.destroy()
  }
}

function refusal(result: identityPb.JoinResponse['result']): string {
  return result.case === 'refused' ? `${result.value.code}: ${result.value.reason}` : String(result.case)
}

test('a host whose key comes in another form is not admitted over TLS, and its token is not spent', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const token = await a.token('b')
  const key = generateSigningKeyPair()
  for (const form of OTHER_FORMS) {
    const answer = refusal(await joinWith(token, key, spkiIn(form, key)))
    assert.match(answer, /^CERTIFICATE_REFUSED: /, form)
    assert.match(answer, NAMED[form], form)
  }
  assert.equal((await joinWith(token, key, canonicalSpki(key))).case, 'accepted')
})

test('the key of an evicted host comes back in no form, under no name', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const key = createPrivateKey(readFileSync(join(b.stateDir, 'node.key')))
  await a.cli('evict', 'b')
  for (const machine of ['b', 'c']) {
    const token = await a.token(machine)
    assert.match(refusal(await joinWith(token, key, canonicalSpki(key))), /^REVOKED: /)
    // Fewer than would be taken for guesses.
    for (const form of ['compressed', 'hybrid', 'explicit'] as const) {
      assert.match(refusal(await joinWith(token, key, spkiIn(form, key))), /^CERTIFICATE_REFUSED: /, form)
    }
  }
})

test('a workload whose certificate has its key in another form gets no session', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('*.*.*.*', SITE)
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.cli('register', 'dev.shop.cart.default', '--pid', String(process.pid))
  await a.knows('dev.shop.cart.default')
  const [site] = await servicesOf(a, SITE)
  const [shop] = await servicesOf(a, 'dev.shop.cart.default')
  const key = generateSigningKeyPair()
  const node = createPrivateKey(readFileSync(join(b.stateDir, 'node.key')))
  const intruder = new Intruder(b)
  const made = await intruder.sign({ uris: [shop!.spiffeId] }, createPublicKey(key))
  const statusWith = async (spki: Buffer): Promise<number | undefined> => {
    const chain = [certificateWith(made, spki, node), ...intruder.chainDer.slice(0, 2)]
    const shown = { cert: chain.map(toPem).join(''), key: keyToPem(key) }
    return await askFor(site!, 'OPTIONS', { ...(await dataPort(a, site!)), ...shown })
  }
  assert.equal(await statusWith(canonicalSpki(key)), 200)
  for (const form of ['compressed', 'hybrid', 'explicit'] as const) {
    assert.notEqual(await statusWith(spkiIn(form, key)), 200, form)
  }
})
