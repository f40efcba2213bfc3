import assert from 'node:assert/strict'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import { exportRootKey, importRootKey } from '../../src/ca/backup/index.ts'
import { DEFAULT_LIFETIMES } from '../../src/ca/lifetimes.ts'
import { found } from '../../src/ca/membership/found.ts'
import { loadMembership } from '../../src/ca/membership/membership.ts'
import { RootRotation } from '../../src/ca/roots/index.ts'
import { RenewalService } from '../../src/ca/rotation/index.ts'
import { TrustService } from '../../src/cluster/index.ts'
import { Trust } from '../../src/cluster/trust.ts'
import { silentLogger, silentMetrics } from '../../src/core/index.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type Issuer,
  issueAuthority,
  issueNode,
  type PeerKey,
  parseCertificate,
  renewalRequest,
  signBinding,
  spkiSha256,
  type TrustState,
  verifyNodeChain
} from '../../src/identity/index.ts'
import type { OwnerView } from '../../src/registry/index.ts'
import { Vault, VaultFile } from '../../src/state/vault.ts'
import { create, decode, toBinary, trustPb } from '../../src/wire/index.ts'
import { scopeOf } from '../harness/index.ts'
import { NOW_MS, TRUST_DOMAIN } from '../identity/domain.ts'
import { refusal, TestClock } from './support.ts'

class Crash extends Error {}

/** A disk that takes so many changes and then no more. */
class MortalVault extends Vault {
  left = Number.POSITIVE_INFINITY
  override write(name: VaultFile, content: Uint8Array | string): void {
    this.#spend()
    super.write(name, content)
  }
  override remove(name: VaultFile): void {
    this.#spend()
    super.remove(name)
  }
  #spend(): void {
    if (this.left === 0) throw new Crash()
    this.left -= 1
  }
}

const never = new AbortController().signal

/** A host as an agent has it when it starts on these files. */
function start(vault: Vault, owners: readonly OwnerView[] = []) {
  const membership = loadMembership(vault, DEFAULT_LIFETIMES, NOW_MS)
  assert.ok(membership !== undefined)
  const { credentials, trust: file } = membership
  const clock = new TestClock(NOW_MS)
  const trust = new Trust(file.state, clock, silentLogger)
  trust.admit(credentials.node.chainDer)
  const state = {
    accepted: 0,
    gone: [] as PeerKey[],
    asked: [] as PeerKey[],
    peers: [] as PeerKey[],
    ports: [] as string[]
  }
  const served = new Map<string, readonly Uint8Array[]>()
  const service = new TrustService({
    file,
    trust,
    connected: () => state.peers,
    request: async peer => {
      state.asked.push(peer)
      return toBinary(trustPb.TrustAnswerSchema, create(trustPb.TrustAnswerSchema))
    },
    ports: () => state.ports,
    askAtPort: async address => served.get(address) ?? [],
    onAccepted: (_reason, gone) => {
      state.accepted += 1
      state.gone.push(...gone)
    },
    clock,
    log: silentLogger,
    signal: never
  })
  const rotation = new RootRotation({
    vault,
    credentials,
    trust,
    service,
    owners: () => owners,
    known: () => [],
    settleMs: 10_000,
    clock,
    log: silentLogger
  })
  rotation.tidy()
  return { credentials, file, trust, service, rotation, clock, state, served }
}

async function founded(t: TestContext): Promise<MortalVault> {
  const vault = new MortalVault(scopeOf(t).directory())
  await found(vault, TRUST_DOMAIN, 'f', DEFAULT_LIFETIMES, NOW_MS)
  return vault
}

const sha = (der: Uint8Array): string => parseCertificate(der).sha256

describe('a rotation of the root', () => {
  it('that is interrupted by a crash at any write can be gone on with, and a root key is never lost', async t => {
    // More than it writes in both steps.
    for (let writes = 0; writes < 14; writes += 1) {
      const vault = await founded(t)
      const before = start(vault).trust.state.roots[0]?.sha256
      let host = start(vault)
      vault.left = writes
      try {
        await host.rotation.begin()
        host.rotation.finish(true)
      } catch (err) {
        assert.ok(err instanceof Crash, String(err))
      }
      vault.left = Number.POSITIVE_INFINITY
      host = start(vault)
      assert.ok(host.credentials.rootIssuer(host.trust.state) !== undefined, `no root key after ${writes} writes`)
      if (host.trust.state.version === 1n) await host.rotation.begin()
      host = start(vault)
      if (host.trust.state.version === 2n) host.rotation.finish(true)
      host = start(vault)
      const { version, roots } = host.trust.state
      assert.equal(version, 3n)
      assert.equal(roots.length, 1)
      assert.notEqual(roots[0]?.sha256, before)
      assert.equal(
        sha(host.credentials.rootIssuer(host.trust.state)?.certificate ?? new Uint8Array()),
        roots[0]?.sha256
      )
      assert.equal(vault.read(VaultFile.FormerRootKey), undefined)
      assert.equal(host.file.succession.length >= 2, true)
    }
  })

  it('issues by the new root from its first step on, and keeps both keys until its last', async t => {
    const vault = await founded(t)
    const { rotation, credentials, trust, state } = start(vault)
    assert.throws(() => rotation.finish(true), refusal('NOT_FOUND', /no rotation/))
    const status = await rotation.begin()
    assert.deepEqual(
      status.roots.map(({ isHere }) => isHere),
      [true, true]
    )
    assert.equal(sha(credentials.rootIssuer(trust.state)?.certificate ?? new Uint8Array()), status.roots[1]?.sha256)
    await assert.rejects(rotation.begin(), refusal('ALREADY_EXISTS', /in progress/))
    assert.equal(state.accepted, 1)
    rotation.finish(true)
    assert.equal(state.accepted, 2)
    assert.deepEqual(
      rotation.status().roots.map(({ isHere }) => isHere),
      [true]
    )
    assert.deepEqual(state.gone, [credentials.node.peer])
  })

  it('is not ended while a host lags, and says which and why', async t => {
    const vault = await founded(t)
    const chain = start(vault).credentials.node.chainDer
    const host = (machine: string, trustVersion: bigint, nodeChain: readonly Uint8Array[]) =>
      ({ machine, peer: machine as PeerKey, trustVersion, nodeChain }) as unknown as OwnerView
    const owners: OwnerView[] = []
    const { rotation, trust, clock } = start(vault, owners)
    await rotation.begin()
    const newest = trust.state.roots[1]?.der ?? new Uint8Array()
    owners.push(host('late', 1n, chain), host('slow', 2n, chain), host('good', 2n, [...chain.slice(0, 2), newest]))
    assert.throws(
      () => rotation.finish(false),
      refusal('NOT_READY', /late \(has not received it\), slow \(its certificate is still below the old root\), good/)
    )
    owners.splice(0, 2)
    clock.nowMs += 9_999
    assert.throws(() => rotation.finish(false), refusal('NOT_READY', /good \(it was renewed a moment ago\)$/))
    clock.nowMs += 1
    assert.equal(rotation.finish(false).roots.length, 1)
  })

  it('needs the root key, which meanwhile can neither leave nor be replaced', async t => {
    const vault = await founded(t)
    const directory = scopeOf(t).directory()
    const key = vault.require(VaultFile.RootKey)
    const secret = 'correct horse battery'
    await exportRootKey(vault.directory, `${directory}/root`, secret, NOW_MS)
    const { rotation } = start(vault)
    await assert.rejects(rotation.begin(), refusal('NOT_AUTHORITY', /root key is not on this host/))
    await importRootKey(vault.directory, readFileSync(`${directory}/root`), secret)
    assert.deepEqual(vault.require(VaultFile.RootKey), key)
    await rotation.begin()
    const underWay = refusal('NOT_READY', /rotation of the root is in progress/)
    await assert.rejects(exportRootKey(vault.directory, `${directory}/other`, secret, NOW_MS), underWay)
    await assert.rejects(importRootKey(vault.directory, readFileSync(`${directory}/root`), secret), underWay)
    rotation.finish(true)
    await assert.rejects(
      importRootKey(vault.directory, readFileSync(`${directory}/root`), secret),
      refusal('CERTIFICATE_REFUSED', /not that of a root/)
    )
  })
})

describe('a host that follows', () => {
  it('takes over what it missed, one after another, and finds it after a restart', async t => {
    const vault = await founded(t)
    const copy = new Vault(scopeOf(t).directory())
    for (const name of Object.values(VaultFile)) {
      const content = vault.read(name)
      if (content !== undefined) copy.write(name, content)
    }
    const founder = start(vault)
    for (let round = 0; round < 2; round += 1) {
      await founder.rotation.begin()
      founder.rotation.finish(true)
    }
    const member = start(copy)
    assert.equal(member.service.take(founder.file.succession), true)
    assert.equal(member.service.take(founder.file.succession), false)
    assert.equal(member.service.version, 5n)
    const again = start(copy)
    assert.equal(again.service.version, 5n)
    // Its certificate is below a root that is gone, and it starts all the same, to have it renewed.
    assert.equal(again.trust.verify(again.credentials.node.chainDer).ok, false)
    const ask = toBinary(trustPb.TrustRequestSchema, create(trustPb.TrustRequestSchema, { haveVersion: 3n }))
    const { bundles } = decode(trustPb.TrustAnswerSchema, again.service.answer(ask, 'p' as PeerKey), 1 << 16)
    assert.equal(bundles.length, 2)
    assert.deepEqual(again.state.asked, [])
    const ahead = toBinary(trustPb.TrustRequestSchema, create(trustPb.TrustRequestSchema, { haveVersion: 9n }))
    again.service.answer(ahead, 'p' as PeerKey)
    assert.deepEqual(again.state.asked, ['p'])
  })

  it('looks for news at the data ports once it reaches nobody, and less and less often', async t => {
    const vault = await founded(t)
    const { service, clock, state, served } = start(vault)
    const tries: number[] = []
    const { get } = served
    served.get = (address: string) => {
      tries.push(clock.nowMs - NOW_MS)
      return get.call(served, address)
    }
    await service.catchUp(never)
    clock.pass(60_000)
    await service.catchUp(never)
    assert.deepEqual(tries, [])
    state.ports = ['192.0.2.1:7461']
    for (let second = 0; second < 300; second += 1) {
      await service.catchUp(never)
      clock.pass(1_000)
    }
    assert.ok(tries.length >= 5 && tries.length <= 12, `${tries.length}`)
    assert.equal(tries[0], 63_000)
  })
})

describe('an authority after a rotation', () => {
  /** The request of a host that shows this chain. */
  async function asking(
    host: { machine: string; peerKey: KeyObject; nodeKey: KeyObject },
    chain: Uint8Array[],
    before: TrustState
  ) {
    const verdict = verifyNodeChain(chain, before, NOW_MS)
    assert.ok(verdict.ok)
    const nextKey = generateSigningKeyPair()
    return { nextKey, request: await renewalRequest(verdict.identity, TRUST_DOMAIN, { ...host, nextKey }) }
  }

  async function nodeOf(host: { machine: string; peerKey: KeyObject; nodeKey: KeyObject }, authority: Issuer) {
    const publicKey = createPublicKey(host.nodeKey)
    const says = { trustDomain: TRUST_DOMAIN, machine: host.machine, scopes: [], nodeKeySha256: spkiSha256(publicKey) }
    const binding = signBinding(says, host.peerKey)
    return await issueNode({
      trustDomain: TRUST_DOMAIN,
      machine: host.machine,
      authority,
      publicKey,
      binding,
      nowMs: NOW_MS
    })
  }

  it('renews what it signed below the former root, and nothing that whoever has that root’s key can make', async t => {
    const vault = await founded(t)
    const { credentials, trust, rotation, clock } = start(vault)
    const before = trust.state
    const oldRoot = credentials.rootIssuer(before)
    const { authority } = credentials
    assert.ok(authority !== undefined && oldRoot !== undefined)
    const host = { machine: 'm1', peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
    const own = await asking(host, [await nodeOf(host, authority), authority.certificate, oldRoot.certificate], before)
    const key = generateSigningKeyPair()
    const rogue = {
      key,
      certificate: await issueAuthority({
        trustDomain: TRUST_DOMAIN,
        root: oldRoot,
        publicKey: createPublicKey(key),
        nowMs: NOW_MS
      })
    }
    const made = await asking(host, [await nodeOf(host, rogue), rogue.certificate, oldRoot.certificate], before)

    await rotation.begin()
    rotation.finish(true)
    const renewals = new RenewalService({
      credentials,
      trust,
      lifetimes: DEFAULT_LIFETIMES,
      hasJoinedSince: () => false,
      clock,
      log: silentLogger,
      metrics: silentMetrics
    })
    const requester = { remote: '192.0.2.1' }
    // Its own certificate is still below the former root.
    assert.equal(renewals.isOpen, false)
    await assert.rejects(renewals.renew(own.request, requester), refusal('NOT_AUTHORITY', /below no trusted root/))
    const newRoot = credentials.rootIssuer(trust.state)
    assert.ok(newRoot !== undefined)
    const publicKey = createPublicKey(authority.key)
    clock.pass(1_000)
    const nowMs = clock.nowMs
    credentials.replaceAuthority(await issueAuthority({ trustDomain: TRUST_DOMAIN, root: newRoot, publicKey, nowMs }))
    await assert.rejects(
      renewals.renew(made.request, requester),
      refusal('CERTIFICATE_REFUSED', /root of another trust domain/)
    )
    const chain = await renewals.renew(own.request, requester)
    const verdict = verifyNodeChain(chain, trust.state, nowMs)
    assert.ok(verdict.ok && verdict.identity.machine === 'm1')
    assert.ok(verdict.identity.nodeCertificate.publicKey.equals(createPublicKey(own.nextKey)))
  })
})
