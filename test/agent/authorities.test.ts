import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import { Authorities, AuthorityService, IssuedStore } from '../../src/ca/authorities/index.ts'
import { DEFAULT_LIFETIMES } from '../../src/ca/lifetimes.ts'
import { found } from '../../src/ca/membership/found.ts'
import { loadMembership } from '../../src/ca/membership/membership.ts'
import { Trust } from '../../src/cluster/trust.ts'
import { silentLogger, WarrenError } from '../../src/core/index.ts'
import {
  admitAuthority,
  authorityRenewal,
  authorityRequest,
  authorityStatusOf,
  generatePeerKeyPair,
  generateSigningKeyPair,
  type Issuer,
  issueAuthority,
  keySha256Of,
  type PeerKey,
  parseCertificate,
  peerKeyOf,
  rawPublicKey,
  signOrder
} from '../../src/identity/index.ts'
import type { OwnerView } from '../../src/registry/index.ts'
import { Vault, VaultFile } from '../../src/state/vault.ts'
import { authorityPb, create } from '../../src/wire/index.ts'
import { scopeOf } from '../harness/index.ts'
import { NOW_MS, TRUST_DOMAIN } from '../identity/domain.ts'
import { refusal, TestClock } from './support.ts'

async function host(t: TestContext) {
  const vault = new Vault(scopeOf(t).directory())
  await found(vault, TRUST_DOMAIN, 'f', DEFAULT_LIFETIMES, NOW_MS)
  const load = () => {
    const membership = loadMembership(vault, DEFAULT_LIFETIMES, NOW_MS)
    assert.ok(membership !== undefined)
    return membership
  }
  const membership = load()
  const { credentials } = membership
  const clock = new TestClock(NOW_MS)
  const trust = new Trust(membership.trust.state, clock, silentLogger)
  trust.admit(credentials.node.chainDer)
  const settings = new Map<string, Uint8Array>()
  const issued = new IssuedStore({
    setting: name => settings.get(name),
    setSetting: (name, value) => settings.set(name, value)
  })
  const root = credentials.rootIssuer(trust.state)
  assert.ok(root !== undefined)
  const { peer: self } = credentials.node
  const state = { announced: 0 }
  const renewals = new AuthorityService({
    self,
    credentials,
    trust,
    lifetimes: DEFAULT_LIFETIMES,
    issued,
    announce: () => {
      state.announced += 1
    },
    clock,
    log: silentLogger
  })
  const ask = (value: authorityPb.AuthorityRequest['ask']) =>
    renewals.answer(self, create(authorityPb.AuthorityRequestSchema, { ask: value }))
  const order = (action: 'become' | 'resign') => ({
    case: 'order' as const,
    value: signOrder({ action, machine: 'f', peer: self }, root, TRUST_DOMAIN, NOW_MS)
  })
  return { vault, load, credentials, clock, issued, root, self, state, ask, order }
}

async function granted(csr: Uint8Array, root: Issuer) {
  const deps = { trustDomain: TRUST_DOMAIN, root, lifetimeMs: DEFAULT_LIFETIMES.authorityMs, nowMs: NOW_MS }
  const certificate = await admitAuthority(csr, deps)
  return { case: 'grant' as const, value: create(authorityPb.AuthorityGrantSchema, { certificate }) }
}

describe('a host that a root orders about', () => {
  it('deletes its authority and becomes one again with another key, over restarts too', async t => {
    const { ask, order, credentials, load, vault, root, state } = await host(t)
    const own = () => credentials.authority
    const before = own()
    await assert.rejects(ask(order('become')), refusal('ALREADY_EXISTS', /f is already an authority/))
    assert.equal((await ask(order('resign'))).result.case, 'done')
    assert.equal(own(), undefined)
    assert.equal(load().credentials.authority, undefined)
    assert.equal(vault.read(VaultFile.AuthorityKey), undefined)
    // Asked twice, since an answer was lost: one key.
    const [first, second] = [(await ask(order('become'))).result, (await ask(order('become'))).result]
    assert.ok(first.case === 'csr' && second.case === 'csr')
    assert.equal(load().credentials.authority, undefined)
    const key = credentials.pendingAuthorityKey()
    assert.equal((await ask(await granted(first.value, root))).result.case, 'done')
    assert.ok(key !== undefined && own()?.key.equals(key))
    assert.ok(before !== undefined && !before.key.equals(key))
    assert.ok(load().credentials.authority?.key.equals(key))
    assert.equal(load().credentials.pendingAuthorityKey(), undefined)
    assert.equal(state.announced, 2)
  })

  it('is no authority after a crash between its certificate and its key, and becomes one when asked again', async t => {
    const { ask, order, credentials, load, vault, root } = await host(t)
    await ask(order('resign'))
    const { result } = await ask(order('become'))
    assert.ok(result.case === 'csr')
    const { value } = await granted(result.value, root)
    vault.write(
      VaultFile.AuthorityCertificate,
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(value.certificate).toString('base64')}\n-----END CERTIFICATE-----\n`
    )
    assert.equal(load().credentials.authority, undefined)
    await ask({ case: 'grant', value })
    assert.ok(load().credentials.authority?.key.equals(credentials.authority?.key ?? generateSigningKeyPair()))
  })

  it('takes no certificate that it did not ask for, nor one for another key', async t => {
    const { ask, order, credentials, root } = await host(t)
    const foreign = await granted(await authorityRequest('f', generateSigningKeyPair()), root)
    await ask(order('resign'))
    await assert.rejects(ask(foreign), refusal('CERTIFICATE_REFUSED', /not asked to become one/))
    assert.equal(credentials.pendingAuthorityKey(), undefined)
    await ask(order('become'))
    await assert.rejects(ask(foreign), refusal('CERTIFICATE_REFUSED', /for another key/))
    assert.equal(credentials.authority, undefined)
  })
})

describe('the authority service of a host with the root key', () => {
  it('renews an authority and remembers its key for an eviction; without the root key it says so', async t => {
    const { ask, credentials, vault, issued, self } = await host(t)
    const { authority } = credentials
    assert.ok(authority !== undefined)
    const value = await authorityRenewal('f', authority)
    assert.equal((await ask({ case: 'renewal', value })).result.case, 'certificate')
    assert.deepEqual(issued.keysOf('f'), [keySha256Of(parseCertificate(authority.certificate))])
    issued.note('g', self, 'ab')
    issued.forget('f')
    assert.deepEqual([issued.keysOf('f'), issued.keysOf('g')], [[], ['ab']])
    vault.remove(VaultFile.RootKey)
    for (let count = 0; count < 12; count += 1) {
      await assert.rejects(ask({ case: 'renewal', value }), refusal('NOT_AUTHORITY', /root key is not on this host/))
    }
  })

  it('looks at nothing of who was refused too often', async t => {
    const { ask, clock, credentials } = await host(t)
    assert.ok(credentials.authority !== undefined)
    const good = await authorityRenewal('f', credentials.authority)
    for (let count = 0; count < 10; count += 1) {
      await assert.rejects(ask({ case: 'renewal', value: { ...good, csr: new Uint8Array(8) } }))
    }
    await assert.rejects(ask({ case: 'renewal', value: good }), refusal('LIMIT_EXCEEDED', /refused/))
    clock.pass(10_000)
    assert.equal((await ask({ case: 'renewal', value: good })).result.case, 'certificate')
  })
})

describe('a host that asks about authorities', () => {
  async function requester(t: TestContext) {
    const own = await host(t)
    const trust = new Trust(own.load().trust.state, own.clock, silentLogger)
    const other = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
    const key = generateSigningKeyPair()
    const deps = { trustDomain: TRUST_DOMAIN, root: own.root, nowMs: NOW_MS }
    const certificate = await issueAuthority({ ...deps, publicKey: createPublicKey(key) })
    const owners = [
      { machine: 'f', peer: own.self, self: true, suspect: false, capabilities: ['authority'] },
      { machine: 'm1', peer: other, self: false, suspect: false, capabilities: ['authority'] },
      { machine: 'm2', peer: other, self: false, suspect: false, capabilities: ['tcp'] },
      { machine: 'm3', peer: other, self: false, suspect: true, capabilities: ['tcp'] }
    ] as unknown as OwnerView[]
    const state = {
      answer: (_ask: authorityPb.AuthorityRequest['ask']): authorityPb.AuthorityAnswer['result'] => assert.fail()
    }
    const authorities = new Authorities({
      credentials: own.credentials,
      trust,
      lifetimes: DEFAULT_LIFETIMES,
      issued: own.issued,
      owners: () => owners,
      ask: async (_peer, { ask }) => create(authorityPb.AuthorityAnswerSchema, { result: state.answer(ask) }),
      clock: own.clock,
      log: silentLogger
    })
    return { ...own, authorities, state, other, m1: { certificate, key } }
  }
  const never = new AbortController().signal

  it('revokes only the key that a host proves or was given: never one that it copied from another, nor its own', async t => {
    const { authorities, state, other, m1, self, credentials, issued } = await requester(t)
    const key = keySha256Of(parseCertificate(m1.certificate))
    const { authority } = credentials
    assert.ok(authority !== undefined)
    const answering = (of: Issuer, as: PeerKey) => {
      state.answer = ask => {
        assert.ok(ask.case === 'status')
        return { case: 'status', value: authorityStatusOf(of, false, as, ask.value) }
      }
    }
    answering(m1, other)
    assert.deepEqual(await authorities.keysOf('m1', never), [key])
    // The proof of another host, passed on; the certificate of another host with a proof of its own.
    answering(authority, self)
    assert.deepEqual(await authorities.keysOf('m1', never), [])
    answering({ certificate: authority.certificate, key: m1.key }, other)
    assert.deepEqual(await authorities.keysOf('m1', never), [])
    const listed = (await authorities.list(never)).find(({ machine }) => machine === 'm1')
    assert.equal(listed?.notAfterMs, undefined)
    assert.match(listed?.problem ?? '', /does not prove the key/)
    issued.note('m1', other, key)
    issued.note('m1', other, keySha256Of(parseCertificate(authority.certificate)))
    assert.deepEqual(await authorities.keysOf('m1', never), [key])
  })

  it('says what stands in the way', async t => {
    const { authorities, state } = await requester(t)
    await assert.rejects(authorities.add('m3', never), refusal('DESTINATION_UNREACHABLE', /m3 does not answer/))
    await assert.rejects(authorities.remove('m2', never), refusal('NOT_FOUND', /m2 is not an authority/))
    state.answer = () => {
      throw new WarrenError('UNSUPPORTED', 'unknown protocol')
    }
    await assert.rejects(authorities.add('m2', never), refusal('UNSUPPORTED', /the warren of that host is too old/))
    state.answer = () => ({ case: 'done', value: create(authorityPb.DoneSchema) })
    await assert.rejects(
      authorities.add('m2', never),
      refusal('MESSAGE_MALFORMED', /m2 sent an answer that does not fit/)
    )
  })
})
