import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { duplexPair } from 'node:stream'
import test from 'node:test'
import { silentLogger } from '../../src/core/index.ts'
import {
  admitRenewal,
  askForRenewal,
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueAgent,
  issueAuthority,
  type NodeIdentity,
  parseCertificate,
  type RenewDeps,
  type Revocation,
  renewalRequest,
  requireRenewed,
  serveRenewal,
  verifyRenewable
} from '../../src/identity/index.ts'
import { code, forever } from './authority.ts'
import { DAY_MS, Domain, type Host, NOW_MS, TRUST_DOMAIN } from './domain.ts'

const domain = await Domain.create()
const host = await domain.host('m1', ['dev', 'qa'])
const other = await domain.host('m2', ['dev'])
const END_MS = domain.admitted(host).notAfterMs

function deps(change: Partial<RenewDeps> = {}): RenewDeps {
  const { trust, authority } = domain
  const lifetimes = { lifetimeMs: 30 * DAY_MS, graceMs: 7 * DAY_MS }
  return { trust, authority, ...lifetimes, successor: () => undefined, nowMs: NOW_MS + 15 * DAY_MS, ...change }
}

interface OpenRequest {
  readonly of?: Host
  readonly says?: Partial<Pick<NodeIdentity, 'machine' | 'scopes' | 'ephemeral'>>
  readonly keys?: Partial<Pick<Host, 'peerKey' | 'nodeKey'>>
}

async function ask({ of = host, says = {}, keys = {} }: OpenRequest = {}) {
  const nextKey = generateSigningKeyPair()
  const current = { ...domain.admitted(of), ...says }
  const { peerKey, nodeKey } = { ...of, ...keys }
  return { nextKey, request: await renewalRequest(current, TRUST_DOMAIN, { peerKey, nodeKey, nextKey }) }
}

const chainOf = (certificate: Uint8Array) => [certificate, domain.authority.certificate, domain.root]

function revocation(change: Partial<Revocation>): Revocation {
  const nothing = { machine: undefined, beforeMs: 0, peers: [], keys: [], pattern: undefined }
  return { id: 'r1', ...nothing, reason: 'stolen', createdAtMs: NOW_MS, ...change }
}

test('a renewed certificate says what the last one said, for another key, and lasts longer', async () => {
  const { request, nextKey } = await ask()
  const current = domain.admitted(host)
  const { certificate, hadExpired, before } = await admitRenewal(request, deps(), current.peer)
  const nowMs = NOW_MS + 15 * DAY_MS
  const renewed = requireRenewed(chainOf(certificate), current, nextKey, domain.trust, nowMs)
  assert.equal(hadExpired, false)
  assert.equal(before.machine, 'm1')
  assert.deepEqual([renewed.machine, renewed.peer, renewed.scopes], ['m1', current.peer, ['dev', 'qa']])
  assert.ok(renewed.notAfterMs > current.notAfterMs)
  assert.equal(renewed.nodeCertificate.publicKey.equals(createPublicKey(host.nodeKey)), false)
})

test('it never outlives the authority that signs it', async () => {
  const { request } = await ask()
  const { certificate } = await admitRenewal(request, deps({ lifetimeMs: 1_000 * DAY_MS }), undefined)
  assert.equal(parseCertificate(certificate).notAfterMs, parseCertificate(domain.authority.certificate).notAfterMs)
})

for (const [what, wrong, reason] of [
  ['another machine', { says: { machine: 'm2' } }, /for machine m1, not m2/],
  ['another PeerId', { keys: { peerKey: generatePeerKeyPair() } }, /another PeerId/],
  ['another member, by its keys,', { keys: { peerKey: other.peerKey } }, /another PeerId/],
  ['more scopes', { says: { scopes: ['dev', 'qa', 'prod'] } }, /other scopes/],
  ['all scopes', { says: { scopes: [] } }, /other scopes/],
  ['a host that becomes ephemeral', { says: { ephemeral: true } }, /ephemeral from its admission/],
  ['a scope twice in place of another', { says: { scopes: ['dev', 'dev'] } }, /other scopes/]
] satisfies [string, OpenRequest, RegExp][]) {
  test(`a renewal for ${what} is refused`, async () => {
    const { request } = await ask(wrong)
    await assert.rejects(admitRenewal(request, deps(), undefined), code('RENEWAL_REFUSED', reason))
  })
}

test('a certificate is no proof: its key must sign, and who asks over the mesh must be who it names', async () => {
  const { request } = await ask({ keys: { nodeKey: generateSigningKeyPair() } })
  const notProven = code('CERTIFICATE_REFUSED', /does not prove the key of the present certificate/)
  await assert.rejects(admitRenewal(request, deps(), undefined), notProven)
  const good = await ask()
  const from = domain.admitted(other).peer
  const foreign = code('RENEWAL_REFUSED', /belongs to another host/)
  await assert.rejects(admitRenewal(good.request, deps(), from), foreign)
})

test('the request must prove the key that the binding names', async () => {
  const [one, two] = [await ask(), await ask()]
  one.request.csr = two.request.csr
  await assert.rejects(admitRenewal(one.request, deps(), undefined), code('CERTIFICATE_REFUSED', /another key/))
  two.request.csr = new Uint8Array(5_000)
  await assert.rejects(admitRenewal(two.request, deps(), undefined), code('MESSAGE_TOO_LARGE'))
})

test('a certificate of another trust domain, a forged and a damaged one are refused', async () => {
  const elsewhere = await Domain.create()
  const stranger = await elsewhere.host('m1')
  const { request } = await ask()
  for (const chain of [stranger.chain, [new Uint8Array(9), ...host.chain.slice(1)], host.chain.slice(1), []]) {
    request.nodeChain = chain.map(der => Uint8Array.from(der))
    await assert.rejects(admitRenewal(request, deps(), undefined), code('CERTIFICATE_REFUSED'))
  }
})

test('an expired certificate is renewed within the grace and not a millisecond later', async () => {
  const { request } = await ask()
  const nowMs = END_MS + 7 * DAY_MS - 1
  const { hadExpired } = await admitRenewal(request, deps({ nowMs }), undefined)
  assert.equal(hadExpired, true)
  const late = deps({ nowMs: nowMs + 1 })
  await assert.rejects(admitRenewal(request, late, undefined), code('RENEWAL_REFUSED', /grace period has passed/))
  const none = deps({ nowMs: END_MS, graceMs: 0 })
  await assert.rejects(admitRenewal(request, none, undefined), code('RENEWAL_REFUSED', /grace period has passed/))
})

test('the grace is not for the root', async () => {
  const rootEndMs = parseCertificate(domain.root).notAfterMs
  const verdict = verifyRenewable(host.chain, domain.trust, rootEndMs, Number.POSITIVE_INFINITY)
  assert.equal(verdict.ok ? 'good' : verdict.reason, 'expired')
})

test('an evicted host is not renewed, by its name, its key or its CA key, in date or expired', async () => {
  const { request } = await ask()
  const { peer, nodeCertificate } = domain.admitted(host)
  const { spkiSha256 } = await import('../../src/identity/index.ts')
  const key = Buffer.from(spkiSha256(nodeCertificate.publicKey)).toString('hex')
  for (const named of [{ machine: 'm1', beforeMs: NOW_MS + 1 }, { peers: [peer] }, { keys: [key] }]) {
    const trust = { ...domain.trust, revocations: [revocation(named)] }
    for (const nowMs of [NOW_MS + DAY_MS, END_MS + 1]) {
      await assert.rejects(
        admitRenewal(request, deps({ trust, nowMs }), peer),
        code('REVOKED', /m1 was evicted.*stolen/)
      )
    }
  }
})

test('an eviction of the name before this host was admitted does not keep it from renewing, nor is it undone by it', async () => {
  const beforeMs = domain.admitted(host).nodeCertificate.notBeforeMs
  const trust = { ...domain.trust, revocations: [revocation({ machine: 'm1', beforeMs })] }
  const { request } = await ask()
  const { certificate } = await admitRenewal(request, deps({ trust }), undefined)
  assert.ok(parseCertificate(certificate).notBeforeMs >= beforeMs)
})

test('a host whose name was given to another one does not come back under it', async () => {
  const { request } = await ask()
  const successor = () => 'another host has joined as m1 since'
  await assert.rejects(admitRenewal(request, deps({ successor }), undefined), code('RENEWAL_REFUSED', /joined as m1/))
})

test('an authority signed again with its key renews what it signed before', async () => {
  const nowMs = NOW_MS + 20 * DAY_MS
  const publicKey = createPublicKey(domain.authorityKey)
  const again = await issueAuthority({ trustDomain: TRUST_DOMAIN, root: domain.rootIssuer, publicKey, nowMs })
  const { request, nextKey } = await ask()
  const authority = { certificate: again, key: domain.authorityKey }
  const { certificate } = await admitRenewal(request, deps({ authority, nowMs }), undefined)
  const chain = [certificate, again, domain.root]
  requireRenewed(chain, domain.admitted(host), nextKey, domain.trust, nowMs)
})

test('an answer that is not for this host, or that does not expire later, is not taken', async () => {
  const current = domain.admitted(host)
  const { request, nextKey } = await ask()
  const { certificate } = await admitRenewal(request, deps(), undefined)
  const nowMs = NOW_MS + 15 * DAY_MS
  const take =
    (chain: readonly Uint8Array[], key = nextKey) =>
    () =>
      requireRenewed(chain, current, key, domain.trust, nowMs)
  assert.throws(take(chainOf(certificate), generateSigningKeyPair()), code('CERTIFICATE_REFUSED', /not for this host/))
  assert.throws(take(other.chain), code('CERTIFICATE_REFUSED', /not for this host/))
  assert.throws(take([]), code('CERTIFICATE_REFUSED'))
  const short = await admitRenewal(request, deps({ lifetimeMs: 1_000 }), undefined)
  assert.throws(take(chainOf(short.certificate)), code('CERTIFICATE_REFUSED', /does not expire later/))
})

test('on the data port, an expired host asks nobody but the agent of a member, and hears why it is refused', async () => {
  const founder = await domain.host('founder')
  const key = generateSigningKeyPair()
  const agent = { node: founder.issuer, trustDomain: TRUST_DOMAIN, machine: 'founder', publicKey: createPublicKey(key) }
  const leaf = await issueAgent({ ...agent, nowMs: NOW_MS })
  const nowMs = NOW_MS + 1_000
  const { request, nextKey } = await ask()
  const heard: unknown[] = []
  const serve = (refuse: boolean) => {
    const [ours, theirs] = duplexPair()
    const renew = async (given: typeof request) => {
      heard.push(given)
      const { certificate } = await admitRenewal(
        given,
        deps(refuse ? { graceMs: 0, nowMs: END_MS } : { nowMs }),
        undefined
      )
      return chainOf(certificate)
    }
    const authority = { agentChain: () => [leaf, ...founder.chain], succession: () => [], renew, log: silentLogger }
    void serveRenewal(theirs, authority, forever)
    return ours
  }
  const asks = (stream: ReturnType<typeof serve>, peerCertificate: Uint8Array) =>
    askForRenewal({ stream, peerCertificate }, request, () => domain.trust, nowMs, forever)

  const chain = await asks(serve(false), leaf)
  requireRenewed(chain, { ...domain.admitted(host), notAfterMs: 0 }, nextKey, domain.trust, nowMs)
  await assert.rejects(asks(serve(true), leaf), code('RENEWAL_REFUSED', /grace/))
  const asked = heard.length
  await assert.rejects(asks(serve(false), founder.issuer.certificate), code('CERTIFICATE_REFUSED', /than TLS proved/))
  assert.equal(heard.length, asked)
})
