import assert from 'node:assert/strict'
import { createPublicKey, randomBytes } from 'node:crypto'
import { type Duplex, duplexPair } from 'node:stream'
import test from 'node:test'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type JoinAnswer,
  type JoinAuthority,
  type JoinUse,
  join,
  openTrustBundle,
  peerKeyOf,
  type Revocation,
  rawPublicKey,
  serveJoin,
  signTrustBundle,
  spkiSha256
} from '../../src/identity/index.ts'
import { create, encodeFrame, identityPb, toBinary } from '../../src/wire/index.ts'
import { admitByToken, code, domain, forever, joinWith, newKeys, setUp } from './authority.ts'
import { Domain, NOW_MS, TRUST_DOMAIN } from './domain.ts'

test('a token admits its machine', async () => {
  const { token, authority, leaf } = await setUp()
  const joined = await joinWith(token({ scopes: ['dev'] }), s => void serveJoin(s, authority, forever), leaf)
  assert.equal(joined.node.machine, 'b')
  assert.deepEqual(joined.node.scopes, ['dev'])
  assert.equal(joined.trust.trustDomain, TRUST_DOMAIN)
  assert.deepEqual(joined.meshAddresses, ['/ip4/192.0.2.1/tcp/7460'])
})

test('a token admits once, also when it is used twice at the same time', async () => {
  const { token, authority, leaf } = await setUp()
  const one = token()
  const serve = (stream: Duplex) => void serveJoin(stream, authority, forever)
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => joinWith(one, serve, leaf)))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  await assert.rejects(joinWith(one, serve, leaf), code('TOKEN_REFUSED', /already used/))
})

test('a host whose join was interrupted is admitted again with the same keys, and nobody with others', async () => {
  const { tokens, token, authority, leaf } = await setUp()
  const one = token()
  const serve = (stream: Duplex) => void serveJoin(stream, authority, forever)
  const keys = newKeys()
  const first = await joinWith(one, serve, leaf, forever, keys)
  const again = await joinWith(one, serve, leaf, forever, keys)
  assert.equal(again.node.peer, first.node.peer)
  for (const other of [
    { ...keys, nodeKey: newKeys().nodeKey },
    { ...keys, peerKey: newKeys().peerKey }
  ]) {
    await assert.rejects(joinWith(one, serve, leaf, forever, other), code('TOKEN_REFUSED', /already used/))
  }
  tokens.change(one.id, { expiresAtMs: NOW_MS })
  await assert.rejects(joinWith(one, serve, leaf, forever, keys), code('TOKEN_REFUSED', /expired/))
  tokens.change(one.id, { expiresAtMs: NOW_MS + 1 })
  tokens.uses[0] = { ...(tokens.uses[0] as JoinUse), usedAtMs: NOW_MS - 1 }
  // Another host joins under the name.
  await joinWith(token(), serve, leaf)
  await assert.rejects(joinWith(one, serve, leaf, forever, keys), code('TOKEN_REFUSED', /another host holds the name/))
})

test('an unknown, expired or altered token is refused, each with its reason', async () => {
  const { token, authority, leaf } = await setUp()
  const serve = (stream: Duplex) => void serveJoin(stream, authority, forever)
  const unknown = { ...token(), id: '00'.repeat(16) }
  await assert.rejects(joinWith(unknown, serve, leaf), code('TOKEN_REFUSED', /did not make/))
  const wrongSecret = { ...token(), secret: randomBytes(32) }
  await assert.rejects(joinWith(wrongSecret, serve, leaf), code('TOKEN_REFUSED', /altered/))
  const expired = token({ expiresAtMs: NOW_MS })
  await assert.rejects(joinWith(expired, serve, leaf), code('TOKEN_REFUSED', /expired/))
  const otherMachine = { ...token(), machine: 'c' }
  await assert.rejects(joinWith(otherMachine, serve, leaf), code('TOKEN_REFUSED', /for machine b/))
  const otherScope = { ...token({ scopes: ['dev'] }), scopes: ['prod'] }
  await assert.rejects(joinWith(otherScope, serve, leaf), code('TOKEN_REFUSED', /other scopes/))
})

// The scopes were once compared by their number and in one direction: a token for dev, said twice, also gave prod.
test('a scope that the token names twice does not make room for another', async () => {
  const { token, authority, leaf } = await setUp()
  const serve = (stream: Duplex) => void serveJoin(stream, authority, forever)
  const twice = token({ scopes: ['dev', 'dev'] })
  for (const scopes of [['dev', 'prod'], ['dev', 'dev', 'prod'], []]) {
    await assert.rejects(joinWith({ ...twice, scopes }, serve, leaf), code('TOKEN_REFUSED', /other scopes/))
  }
  const { node } = await joinWith({ ...twice, scopes: ['dev'] }, serve, leaf)
  assert.deepEqual(node.scopes, ['dev'])
  // A token without scopes gives all of them, and one with scopes never does.
  const all = token()
  await assert.rejects(joinWith({ ...all, scopes: ['dev'] }, serve, leaf), code('TOKEN_REFUSED', /other scopes/))
})

test('a revoked token, one older than the eviction of its machine, and keys that were evicted are refused', async () => {
  const { tokens, token, authority, leaf } = await setUp()
  const serve = (stream: Duplex) => void serveJoin(stream, authority, forever)
  const revoked = token()
  tokens.change(revoked.id, { revokedAtMs: NOW_MS })
  await assert.rejects(joinWith(revoked, serve, leaf), code('TOKEN_REFUSED', /revoked at 2026/))

  const eviction = (what: Partial<Revocation>): JoinAuthority => {
    const all = { machine: undefined, beforeMs: 0, peers: [], keys: [], pattern: undefined, reason: '' }
    const revocations = [{ ...all, id: 'x1', createdAtMs: NOW_MS, ...what }]
    const admit: JoinAuthority['admit'] = async request => {
      const deps = {
        trustDomain: TRUST_DOMAIN,
        ledger: tokens,
        taken: () => undefined,
        peerOf: () => undefined,
        revocations: () => revocations,
        nowMs: () => NOW_MS
      }
      const certificate = await admitByToken(request, { ...deps, authority: domain.authority })
      const nodeChain = [certificate, domain.authority.certificate, domain.root]
      return { kind: 'accepted', nodeChain, trustBundle: domain.bundle, meshAddresses: [] }
    }
    return { ...authority, admit }
  }
  const serving = (one: JoinAuthority) => (stream: Duplex) => void serveJoin(stream, one, forever)
  const evictB = { machine: 'b', beforeMs: NOW_MS }
  const before = token()
  tokens.change(before.id, { createdAtMs: NOW_MS - 1 })
  await assert.rejects(joinWith(before, serving(eviction(evictB)), leaf), code('TOKEN_REFUSED', /older than the evic/))

  // A token made since admits a host of that name, whose certificate no eviction so far refuses.
  const { node } = await joinWith(token(), serving(eviction(evictB)), leaf)
  assert.equal(node.nodeCertificate.notBeforeMs, NOW_MS)

  const keys = { peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
  for (const what of [
    { peers: [peerKeyOf(rawPublicKey(keys.peerKey))] },
    { keys: [Buffer.from(spkiSha256(createPublicKey(keys.nodeKey))).toString('hex')] }
  ]) {
    const connecting = async () => {
      const [ours, theirs] = duplexPair()
      void serveJoin(theirs, eviction(what), forever)
      return { stream: ours, peerCertificate: leaf }
    }
    const joining = { token: token(), ...keys, connect: connecting, nowMs: () => NOW_MS, signal: forever }
    await assert.rejects(join(joining), code('REVOKED', /was evicted/))
  }
})

test('a mistake in the request does not cost the token', async () => {
  const { token, authority, leaf } = await setUp()
  const one = token()
  const serve = (stream: Duplex) => void serveJoin(stream, authority, forever)
  await assert.rejects(joinWith({ ...one, machine: 'c' }, serve, leaf), code('TOKEN_REFUSED'))
  assert.equal((await joinWith(one, serve, leaf)).node.machine, 'b')
})

test('a token that pins a former root admits, if that root led to the one of now, and tells nobody else the secret', async () => {
  const next = await Domain.create()
  const setup = await setUp(next, await next.host('founder'))
  const { leaf, token, requests } = setup
  const content = { trustDomain: TRUST_DOMAIN, adminPublicKey: domain.trust.adminPublicKey, nowMs: NOW_MS }
  const both = [domain.rootIssuer, next.rootIssuer]
  const succession = [
    domain.bundle,
    signTrustBundle({ ...content, version: 2n, roots: [domain.root, next.root] }, both),
    signTrustBundle({ ...content, version: 3n, roots: [next.root] }, both)
  ]
  const serving = (shown: readonly Uint8Array[]) => (stream: Duplex) => {
    const admit: JoinAuthority['admit'] = async (request, channel) => ({
      ...((await setup.authority.admit(request, channel)) as Extract<JoinAnswer, { kind: 'accepted' }>),
      trustBundle: succession[2] as Uint8Array
    })
    void serveJoin(stream, { ...setup.authority, succession: () => shown, admit }, forever)
  }
  const forged = signTrustBundle({ ...content, version: 2n, roots: [domain.root, next.root] }, [next.rootIssuer])
  for (const shown of [
    [],
    [next.bundle],
    [domain.bundle],
    [domain.bundle, forged],
    [succession[0] as Uint8Array, next.bundle]
  ]) {
    await assert.rejects(joinWith(token(), serving(shown), leaf), code('JOIN_FAILED'))
  }
  assert.deepEqual(requests, [])
  const joined = await joinWith(token(), serving(succession), leaf)
  assert.equal(joined.trust.version, 3n)
  assert.deepEqual(openTrustBundle(joined.trustBundle, joined.rootSha256).roots.length, 1)
})

test('an impostor never receives the secret', async () => {
  const { token, authority, leaf } = await setUp()
  const other = await Domain.create()
  const foreign = await setUp(other, await other.host('founder'))
  const member = await setUp(domain, await domain.host('member'))
  const serving = (one: JoinAuthority) => (stream: Duplex) => void serveJoin(stream, one, forever)
  // Another trust domain of the same name; a member that is not the authority; the true chain, replayed over a TLS
  // connection of somebody else.
  await assert.rejects(joinWith(token(), serving(foreign.authority), foreign.leaf), code('JOIN_FAILED', /trust domain/))
  await assert.rejects(joinWith(token(), serving(member.authority), member.leaf), code('JOIN_FAILED', /not founder/))
  await assert.rejects(joinWith(token(), serving(authority), member.leaf), code('JOIN_FAILED', /than TLS proved/))
  for (const { requests } of [foreign, member]) assert.deepEqual(requests, [])
  assert.equal((await joinWith(token(), serving(authority), leaf)).node.machine, 'b')
})

test('another host at the first address does not keep a host from joining', async () => {
  const { token, authority, leaf } = await setUp()
  const two = token({ authorityAddresses: ['192.0.2.9:7461', '192.0.2.1:7461'] })
  const serve = (stream: Duplex, address: string): void => {
    if (address.startsWith('192.0.2.9')) stream.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    else void serveJoin(stream, authority, forever)
  }
  assert.equal((await joinWith(two, serve, leaf)).node.machine, 'b')
})

test('what the authority answers is final', async () => {
  const { token, authority, leaf, requests } = await setUp()
  const two = { ...token({ authorityAddresses: ['192.0.2.1:1', '192.0.2.1:2'] }), secret: randomBytes(32) }
  await assert.rejects(
    joinWith(two, s => void serveJoin(s, authority, forever), leaf),
    code('TOKEN_REFUSED')
  )
  assert.equal(requests.length, 1)
})

test('a certificate for somebody else is not taken for an admission', async () => {
  const { token, authority, leaf } = await setUp()
  const other = await domain.host('b')
  const confused: JoinAuthority = {
    ...authority,
    admit: async () => ({ kind: 'accepted', nodeChain: other.chain, trustBundle: domain.bundle, meshAddresses: [] })
  }
  const joining = joinWith(token(), s => void serveJoin(s, confused, forever), leaf)
  await assert.rejects(joining, code('CERTIFICATE_REFUSED', /not for this host/))
})

test('an authority that stalls is left when the caller gives up', async () => {
  const { token, leaf } = await setUp()
  const giveUp = new AbortController()
  const joining = joinWith(token(), () => giveUp.abort(new Error('enough')), leaf, giveUp.signal)
  await assert.rejects(joining, /enough/)
})

test('a message that is too large, or none, ends the exchange at the authority', async () => {
  const { authority, leaf, token } = await setUp()
  for (const bytes of [
    Buffer.from('7fffffff', 'hex'),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    encodeFrame(Buffer.alloc(9, 255))
  ]) {
    const [ours, theirs] = duplexPair()
    ours.resume()
    const served = serveJoin(theirs, authority, forever)
    ours.write(bytes)
    await served
    assert.equal(theirs.destroyed, true)
  }
  const huge = create(identityPb.JoinHelloSchema, { certificateChain: [new Uint8Array(70_000)] })
  const frame = encodeFrame(toBinary(identityPb.JoinHelloSchema, huge))
  await assert.rejects(
    joinWith(token(), stream => void stream.write(frame), leaf),
    code('JOIN_FAILED', /limit/)
  )
})

test('fifteen addresses at which nobody answers do not keep a host from joining', { timeout: 30_000 }, async () => {
  const { token, authority, leaf, requests } = await setUp()
  const dead = Array.from({ length: 15 }, (_, at) => `172.17.${at}.1:7461`)
  const one = token({ authorityAddresses: [...dead, '192.0.2.1:7461'] })
  const serve = (stream: Duplex, address: string): void => {
    if (address.startsWith('192.0.2.1')) void serveJoin(stream, authority, forever)
  }
  assert.equal((await joinWith(one, serve, leaf)).node.machine, 'b')
  assert.equal(requests.length, 1)
})

test('an authority that is met at several addresses at once receives the secret over one of them', async () => {
  const { token, authority, leaf, requests } = await setUp()
  const streams: Duplex[] = []
  const all = ['192.0.2.1:1', '192.0.2.1:2', '192.0.2.1:3']
  // None of them answers before all are there.
  const serve = (stream: Duplex): void => {
    streams.push(stream)
    if (streams.length === all.length) for (const one of streams) void serveJoin(one, authority, forever)
  }
  assert.equal((await joinWith(token({ authorityAddresses: all }), serve, leaf)).node.machine, 'b')
  assert.equal(requests.length, 1)
})

test('an authority that is lost before it answers is asked at its next address', async () => {
  const { token, authority, leaf } = await setUp()
  const two = token({ authorityAddresses: ['192.0.2.1:1', '192.0.2.1:2'] })
  const serve = (stream: Duplex, address: string): void => {
    const lost: JoinAuthority = { ...authority, admit: async () => await new Promise(() => stream.destroy()) }
    void serveJoin(stream, address.endsWith(':1') ? lost : authority, forever)
  }
  assert.equal((await joinWith(two, serve, leaf)).node.machine, 'b')
})
