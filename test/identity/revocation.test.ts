import assert from 'node:assert/strict'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import {
  issueNode,
  type NodeIdentity,
  parsePattern,
  peerKeyOf,
  type Revocation,
  rawPublicKey,
  signBinding,
  spkiSha256,
  type TrustState,
  verifyNodeChain,
  verifyWorkload
} from '../../src/identity/index.ts'
import { Domain, type Host, leafOf, NOW_MS, TRUST_DOMAIN } from './domain.ts'

const domain = await Domain.create()
const b = await domain.host('b')
const ID = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/b`
const peerOf = (host: Host) => peerKeyOf(rawPublicKey(host.peerKey))
const hashOf = (key: KeyObject) => Buffer.from(spkiSha256(createPublicKey(key))).toString('hex')

const revoking = (what: Partial<Revocation>): TrustState => ({
  ...domain.trust,
  revocations: [
    {
      id: 'x9',
      machine: undefined,
      beforeMs: 0,
      peers: [],
      keys: [],
      pattern: undefined,
      reason: 'stolen',
      createdAtMs: NOW_MS,
      ...what
    }
  ]
})

const verified = (trust: TrustState, host = b) => verifyNodeChain(host.chain, trust, NOW_MS)
const reasonOf = (trust: TrustState, host = b): string => {
  const verdict = verified(trust, host)
  return verdict.ok ? 'ok' : verdict.reason
}

test('a host is refused by its machine name, its PeerId, its CA key, and the key of its authority', () => {
  assert.equal(reasonOf(revoking({ machine: 'b', beforeMs: NOW_MS })), 'revoked')
  assert.equal(reasonOf(revoking({ peers: [peerOf(b)] })), 'revoked')
  assert.equal(reasonOf(revoking({ keys: [hashOf(b.nodeKey)] })), 'revoked')
  assert.equal(reasonOf(revoking({ keys: [hashOf(domain.authorityKey)] })), 'revoked')
  assert.equal(reasonOf(revoking({ machine: 'c', beforeMs: NOW_MS })), 'ok')
})

test('a revocation of several hosts and keys refuses each of them', async () => {
  const c = await domain.host('c')
  assert.equal(reasonOf(revoking({ peers: [peerOf(c), peerOf(b)] })), 'revoked')
  assert.equal(reasonOf(revoking({ keys: [hashOf(c.nodeKey), hashOf(b.nodeKey)] })), 'revoked')
  assert.equal(reasonOf(revoking({ peers: [peerOf(c)], keys: [hashOf(c.nodeKey)] })), 'ok')
})

test('the refusal says when and why, and names the key of the host', () => {
  const verdict = verified(revoking({ machine: 'b', beforeMs: NOW_MS }))
  assert.ok(!verdict.ok)
  assert.equal(verdict.detail, `b was evicted at ${new Date(NOW_MS).toISOString()} (x9: stolen)`)
  assert.equal(verdict.peer, peerOf(b))
})

test('a chain that is not good otherwise does not show that it is the revoked host which shows it', async () => {
  const other = await Domain.create()
  const foreign = await other.host('b')
  const verdict = verified(revoking({ machine: 'b', beforeMs: NOW_MS }), foreign)
  assert.ok(!verdict.ok && verdict.reason === 'wrong-root' && verdict.peer === undefined)
})

test('a later admission under the name is another host, unless it brings a revoked key', async () => {
  const evicted = revoking({ machine: 'b', beforeMs: NOW_MS, peers: [peerOf(b)], keys: [hashOf(b.nodeKey)] })
  const again = await domain.host('b')
  // Certificates count from a minute before they are made; the authority sees to it that this one does not.
  assert.equal(reasonOf(evicted, again), 'revoked')
  const readmit = async (host: Host): Promise<Host> => {
    const publicKey = createPublicKey(host.nodeKey)
    const content = { trustDomain: TRUST_DOMAIN, machine: 'b', scopes: [], nodeKeySha256: spkiSha256(publicKey) }
    const binding = signBinding(content, host.peerKey)
    const { authority } = domain
    const dates = { nowMs: NOW_MS, notEarlierMs: NOW_MS }
    const options = { trustDomain: TRUST_DOMAIN, machine: 'b', authority, publicKey, binding, ...dates }
    const certificate = await issueNode(options)
    return { ...host, chain: [certificate, ...host.chain.slice(1)] }
  }
  assert.equal(reasonOf(evicted, await readmit(again)), 'ok')
  assert.equal(reasonOf(evicted, await readmit(b)), 'revoked')
})

test('a workload is refused when its host or its address is revoked, also if its host was verified before', async () => {
  const leaf = await leafOf(b, ID)
  const admitted: NodeIdentity = domain.admitted(b)
  const reason = (trust: TrustState): string => {
    const verdict = verifyWorkload(leaf, admitted, trust, NOW_MS)
    return verdict.ok ? 'ok' : verdict.reason
  }
  assert.equal(reason(domain.trust), 'ok')
  assert.equal(reason(revoking({ peers: [peerOf(b)] })), 'revoked')
  assert.equal(reason(revoking({ pattern: parsePattern('dev.web.*.*') })), 'revoked')
  assert.equal(reason(revoking({ pattern: parsePattern('dev.web.nginx.default.b') })), 'revoked')
  assert.equal(reason(revoking({ pattern: parsePattern('dev.web.nginx.default.a') })), 'ok')
  assert.equal(reason(revoking({ pattern: parsePattern('dev.shop.*.*') })), 'ok')
})
