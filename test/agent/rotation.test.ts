import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { resolveConfig } from '../../src/agent/config.ts'
import { DEFAULT_LIFETIMES, jwtLifetimeMs, type Lifetimes, resolveLifetimes } from '../../src/ca/lifetimes.ts'
import { loadCredentials } from '../../src/ca/membership/credentials.ts'
import { found } from '../../src/ca/membership/found.ts'
import { announcedKey, JwtKeys } from '../../src/ca/membership/index.ts'
import { loadMembership } from '../../src/ca/membership/membership.ts'
import { Alarms, type InUse } from '../../src/ca/rotation/alarms.ts'
import { Renewal, RenewalService } from '../../src/ca/rotation/index.ts'
import { alarmLevel, renewAtMs, retryAfterMs, shareLeft } from '../../src/ca/rotation/schedule.ts'
import { Svids } from '../../src/ca/svids.ts'
import { AuthorityStore } from '../../src/cluster/index.ts'
import { Trust } from '../../src/cluster/trust.ts'
import { ErrorCode, silentMetrics } from '../../src/core/index.ts'
import {
  admitRenewal,
  generateSigningKeyPair,
  issueAuthority,
  issueNode,
  issueWorkload,
  parseCertificate,
  renewalRequest,
  signBinding,
  spkiSha256,
  verifyNodeChain
} from '../../src/identity/index.ts'
import type { OwnerView } from '../../src/registry/index.ts'
import { Vault, VaultFile } from '../../src/state/vault.ts'
import { scopeOf } from '../harness/index.ts'
import { DAY_MS, Domain, type Host, NOW_MS, TRUST_DOMAIN } from '../identity/domain.ts'
import { refusal, TestClock, TestLog } from './support.ts'

const HOUR_MS = 3_600_000
const forever = new AbortController().signal
const LIFE = { issuedAtMs: 0, notAfterMs: 1_000 }

describe('lifetimes', () => {
  it('have the defaults of the documentation and bounds that name the option', () => {
    assert.deepEqual(resolveConfig({}).lifetimes, DEFAULT_LIFETIMES)
    const wrong: [Partial<Lifetimes>, RegExp][] = [
      [{ svidMs: 4_999 }, /--svid-lifetime is out of range/],
      [{ svidMs: 25 * HOUR_MS }, /--svid-lifetime is out of range/],
      [{ nodeMs: 91 * DAY_MS }, /--node-lifetime is out of range/],
      [{ authorityMs: 1_000 }, /--authority-lifetime is out of range/],
      [{ jwtKeyMs: Number.NaN }, /--jwt-key-lifetime is out of range/],
      [{ graceMs: -1 }, /--renewal-grace is out of range/],
      [{ nodeMs: 10_000 }, /--svid-lifetime is more than half of --node-lifetime/],
      [{ nodeMs: 46 * DAY_MS }, /--node-lifetime is more than half of --authority-lifetime/]
    ]
    for (const [lifetimes, reason] of wrong) {
      assert.throws(() => resolveLifetimes(lifetimes), refusal(ErrorCode.InvalidOption, reason))
    }
    assert.equal(jwtLifetimeMs(DEFAULT_LIFETIMES), 300_000)
    assert.equal(jwtLifetimeMs({ ...DEFAULT_LIFETIMES, jwtKeyMs: 10_000 }), 5_000)
  })
})

describe('the schedule', () => {
  it('renews before half of the life, so that an alarm at half is one', () => {
    for (const spread of [0, 0.3, 1]) {
      const at = renewAtMs(LIFE, spread)
      assert.ok(at > 399 && at < 481)
      assert.equal(alarmLevel(LIFE, at), 'none')
    }
  })

  it('knows half, a quarter and the end', () => {
    const levels = [0, 499, 500, 749, 750, 999, 1_000].map(now => alarmLevel(LIFE, now))
    assert.deepEqual(levels, ['none', 'none', 'half', 'half', 'quarter', 'quarter', 'ended'])
    assert.equal(shareLeft(LIFE, -5), 1)
  })

  it('tries again soon, then less often, within bounds', () => {
    const month = { issuedAtMs: 0, notAfterMs: 30 * DAY_MS }
    assert.deepEqual(
      [1, 2, 3].map(failures => retryAfterMs(month, failures)),
      [1_000, 2_000, 4_000]
    )
    assert.equal(retryAfterMs(month, 50), 300_000)
    assert.equal(retryAfterMs(LIFE, 50), 1_000)
  })
})

describe('alarms', () => {
  const node: InUse = { kind: 'node', subject: 'm1', ...LIFE, renewAtMs: 450, problem: 'nobody answers', hint: 'look' }

  it('are told once at half, at a quarter and at the end, and when they are over', () => {
    const [clock, log] = [new TestClock(0), new TestLog()]
    const alarms = new Alarms(clock, log)
    const counts: number[] = []
    for (const now of [400, 500, 600, 750, 800, 1_000, 1_100]) {
      clock.nowMs = now
      alarms.check([node])
      counts.push(log.lines.length)
    }
    assert.deepEqual(counts, [0, 1, 1, 2, 2, 3, 3])
    assert.match(log.lines.join('\n'), /^warn: .*half.*\nerror: .*quarter.*\nerror: .*ended$/)
    assert.equal(log.fields[0]?.reason, 'nobody answers: look')
    assert.equal(alarms.current[0]?.alarm, 'ended')
    alarms.check([{ ...node, issuedAtMs: 1_000, notAfterMs: 2_000, problem: '' }])
    assert.equal(log.lines.at(-1), 'info: certificate alarm has ended')
    assert.equal(alarms.current[0]?.alarm, 'none')
  })

  it('are repeated while they last, and half of a root is none', () => {
    const [clock, log] = [new TestClock(0), new TestLog()]
    const alarms = new Alarms(clock, log)
    const long = { ...node, notAfterMs: 100 * DAY_MS }
    clock.nowMs = 80 * DAY_MS
    alarms.check([long])
    clock.pass(HOUR_MS - 1)
    alarms.check([long])
    assert.equal(log.lines.length, 1)
    clock.pass(1)
    alarms.check([long])
    assert.equal(log.lines.length, 2)
    clock.nowMs = 60 * DAY_MS
    alarms.check([{ ...long, kind: 'root', subject: TRUST_DOMAIN }])
    assert.equal(alarms.current[0]?.alarm, 'none')
  })
})

describe('SVIDs', () => {
  function make() {
    const clock = new TestClock(0)
    const state = { issued: 0, fails: false }
    const svids = new Svids(async () => {
      if (state.fails) throw new Error('no CA')
      state.issued += 1
      const key = generateSigningKeyPair()
      const notBeforeMs = clock.nowMs
      return { chainDer: [], certPem: `${state.issued}`, key, notBeforeMs, notAfterMs: notBeforeMs + 1_000 }
    }, clock)
    svids.add('r1', 'spiffe://a')
    svids.add('r2', 'spiffe://b')
    return { clock, state, svids }
  }

  it('that were handed out are renewed without being asked for, others not', async () => {
    const { clock, state, svids } = make()
    await svids.get('r1')
    assert.equal(await svids.renewDue(), false)
    clock.pass(460)
    assert.equal(await svids.renewDue(), true)
    assert.equal(state.issued, 2)
    assert.deepEqual(
      svids.inUse().map(({ spiffeId }) => spiffeId),
      ['spiffe://a']
    )
  })

  it('are issued anew once what signs them was replaced, and stay in use while that fails', async () => {
    const { state, svids } = make()
    assert.equal((await svids.get('r1')).certPem, '1')
    svids.markStale()
    assert.equal((await svids.get('r1')).certPem, '2')
    assert.equal((await svids.get('r1')).certPem, '2')
    svids.markStale()
    state.fails = true
    assert.equal((await svids.get('r1')).certPem, '2')
    assert.equal(svids.inUse()[0]?.problem, 'no CA')
  })
})

describe('keys of JWT-SVIDs', () => {
  const lifetimes = resolveLifetimes({ jwtKeyMs: DAY_MS })
  const vaultOf = (t: TestContext) => new Vault(scopeOf(t).directory())

  it('are published before they sign, and until the last token that they signed has ended', t => {
    const vault = vaultOf(t)
    const keys = new JwtKeys(vault, lifetimes, 0)
    const first = announcedKey(keys.signing)
    assert.deepEqual(keys.published(), [first])
    assert.equal(keys.rotate(DAY_MS - 60_001), false)
    assert.equal(keys.rotate(DAY_MS - 60_000), true)
    const [, next] = keys.published()
    assert.equal(announcedKey(keys.signing), first)
    assert.equal(keys.rotate(DAY_MS - 1), false)
    assert.equal(keys.rotate(DAY_MS), true)
    assert.equal(announcedKey(keys.signing), next)
    assert.deepEqual(keys.published(), [next, first])
    // A token of the last moment, and a validator whose clock is behind.
    const lastEndsMs = DAY_MS + keys.tokenMs + 60_000
    assert.equal(keys.rotate(lastEndsMs - 1), false)
    assert.equal(keys.rotate(lastEndsMs), true)
    assert.deepEqual(keys.published(), [next])
  })

  it('survive a restart, and a next key is published anew before it signs', t => {
    const vault = vaultOf(t)
    const first = new JwtKeys(vault, lifetimes, 0)
    first.rotate(DAY_MS)
    const published = first.published()
    assert.equal(published.length, 2)
    const second = new JwtKeys(vault, lifetimes, 9 * DAY_MS)
    assert.deepEqual(second.published(), published)
    assert.equal(second.rotate(9 * DAY_MS + 59_999), false)
    assert.equal(second.rotate(9 * DAY_MS + 60_000), true)
    assert.equal(announcedKey(second.signing), published[1])
  })

  it('are never more than a head may announce, however short they live', t => {
    const keys = new JwtKeys(vaultOf(t), resolveLifetimes({ jwtKeyMs: 10_000 }), 0)
    for (let now = 0; now < 200_000; now += 200) {
      keys.rotate(now)
      assert.ok(keys.published().length <= 4)
    }
  })

  it('begin with the one key of an older state directory; a damaged file is told', t => {
    const vault = vaultOf(t)
    const former = generateSigningKeyPair()
    vault.write(VaultFile.JwtKey, former.export({ format: 'pem', type: 'pkcs8' }).toString())
    assert.equal(announcedKey(new JwtKeys(vault, lifetimes, 0).signing), announcedKey(former))
    vault.write(VaultFile.JwtKeys, '{"current":1}')
    assert.throws(() => new JwtKeys(vault, lifetimes, 0), refusal(ErrorCode.StateUnusable, /jwt\.keys is damaged/))
  })
})

/** A founding host in a time of its own. */
async function founder(t: TestContext, lifetimes = DEFAULT_LIFETIMES) {
  const vault = new Vault(scopeOf(t).directory())
  const [clock, log] = [new TestClock(NOW_MS), new TestLog()]
  await found(vault, TRUST_DOMAIN, 'f', lifetimes, NOW_MS)
  const membership = loadMembership(vault, lifetimes, NOW_MS)
  assert.ok(membership !== undefined)
  const { credentials } = membership
  const trust = new Trust(membership.trust.state, clock, log)
  trust.admit(credentials.node.chainDer)
  const joined: number[] = []
  const renewals = new RenewalService({
    credentials,
    trust,
    lifetimes,
    hasJoinedSince: (_machine, sinceMs) => joined.some(atMs => atMs > sinceMs),
    clock,
    log,
    metrics: silentMetrics
  })
  const renewal = new Renewal({
    trustDomain: TRUST_DOMAIN,
    credentials,
    peerKey: membership.peerKey,
    lifetimes,
    trust: () => trust.state,
    trustSinceMs: () => 0,
    renewals,
    authorities: () => [],
    ask: () => Promise.reject(new Error('not asked')),
    ports: () => [],
    askAtPort: () => Promise.reject(new Error('not asked')),
    askForAuthority: () => Promise.reject(new Error('not asked')),
    isFounder: true,
    stateDir: vault.directory,
    clock,
    log,
    metrics: silentMetrics
  })
  return { vault, clock, log, membership, credentials, trust, joined, renewals, renewal, lifetimes }
}

type Founder = Awaited<ReturnType<typeof founder>>

/** A host that the founder has admitted. */
async function admitted(
  { credentials, trust, clock }: Founder,
  machine: string,
  scopes: readonly string[] = []
): Promise<Host> {
  const { generatePeerKeyPair } = await import('../../src/identity/index.ts')
  const [peerKey, nodeKey] = [generatePeerKeyPair(), generateSigningKeyPair()]
  const { authority } = credentials
  assert.ok(authority !== undefined)
  const publicKey = createPublicKey(nodeKey)
  const binding = signBinding(
    { trustDomain: TRUST_DOMAIN, machine, scopes, nodeKeySha256: spkiSha256(publicKey) },
    peerKey
  )
  const options = { trustDomain: TRUST_DOMAIN, machine, authority, publicKey, binding, nowMs: clock.nowMs }
  const certificate = await issueNode(options)
  const root = credentials.node.chainDer[2] as Uint8Array
  const chain = [certificate, authority.certificate, root]
  assert.ok(trust.admit(chain).ok)
  return { machine, peerKey, nodeKey, issuer: { certificate, key: nodeKey }, chain }
}

async function ask({ trust, clock }: Founder, host: Host) {
  const nextKey = generateSigningKeyPair()
  const verdict = verifyNodeChain(host.chain, trust.state, clock.nowMs)
  assert.ok(verdict.ok)
  const current = verdict.identity
  const { peerKey, nodeKey } = host
  return { current, nextKey, request: await renewalRequest(current, TRUST_DOMAIN, { peerKey, nodeKey, nextKey }) }
}

describe('a founding host', () => {
  it('renews its own certificate and its authority before half of their lives, and finds both after a restart', async t => {
    const f = await founder(t)
    const { clock, credentials, renewal, vault, lifetimes } = f
    const before = credentials.node
    clock.pass(11 * DAY_MS)
    await renewal.round(forever)
    assert.equal(credentials.node, before)
    clock.pass(4 * DAY_MS)
    await renewal.round(forever)
    assert.notEqual(credentials.node.certificateSha256, before.certificateSha256)
    assert.notEqual(createPublicKey(credentials.nodeKey).equals(before.nodeCertificate.publicKey), true)
    const authority = credentials.authority?.certificate
    clock.pass(30 * DAY_MS)
    await renewal.round(forever)
    assert.notDeepEqual(credentials.authority?.certificate, authority)
    const again = loadMembership(vault, lifetimes, clock.nowMs)?.credentials
    assert.equal(again?.node.certificateSha256, credentials.node.certificateSha256)
    assert.deepEqual(
      Buffer.from(again?.authority?.certificate ?? []),
      Buffer.from(credentials.authority?.certificate ?? [])
    )
    assert.deepEqual(
      renewal.inUse().map(({ kind }) => kind),
      ['node', 'authority', 'root']
    )
  })

  it('that became an authority anew depends on no other one: its own certificate is soon below its own', async t => {
    const { clock, credentials, renewal, trust } = await founder(t)
    const root = credentials.rootIssuer(trust.state)
    assert.ok(root !== undefined)
    const key = generateSigningKeyPair()
    clock.pass(DAY_MS)
    const options = { trustDomain: TRUST_DOMAIN, root, publicKey: createPublicKey(key), nowMs: clock.nowMs }
    credentials.resignAuthority()
    credentials.becomeAuthority({ certificate: await issueAuthority(options), key })
    const before = credentials.node
    await renewal.round(forever)
    assert.notEqual(credentials.node, before)
    assert.deepEqual(
      Buffer.from(credentials.node.chainDer[1] ?? []),
      Buffer.from(credentials.authority?.certificate ?? [])
    )
    const after = credentials.node
    await renewal.round(forever)
    assert.equal(credentials.node, after)
  })

  it('comes back from a sleep past the end of its certificate and of its authority, the root key being there', async t => {
    const f = await founder(t)
    f.clock.pass(DEFAULT_LIFETIMES.authorityMs + DAY_MS)
    const lifetimes = { ...f.lifetimes, graceMs: 90 * DAY_MS }
    const membership = loadMembership(f.vault, lifetimes, f.clock.nowMs)
    assert.equal(membership?.credentials.hasExpired(f.clock.nowMs), true)
    // The certificate itself ended long before.
    assert.throws(() => loadMembership(f.vault, f.lifetimes, f.clock.nowMs), refusal(ErrorCode.StateUnusable, /grace/))
    const g = { ...f, lifetimes }
    const { credentials, trust, clock, log, joined } = g
    const renewals = new RenewalService({
      credentials,
      trust,
      lifetimes,
      hasJoinedSince: (_machine, sinceMs) => joined.some(atMs => atMs > sinceMs),
      clock,
      log,
      metrics: silentMetrics
    })
    assert.equal(renewals.isOpen, true)
    await f.renewal.round(forever)
    assert.equal(
      parseCertificate(f.credentials.authority?.certificate ?? new Uint8Array()).notAfterMs > clock.nowMs,
      true
    )
  })

  it('without its root key says what to do, and goes on once it is back', async t => {
    const { clock, credentials, renewal, vault } = await founder(t)
    const key = vault.require(VaultFile.RootKey)
    const { rmSync } = await import('node:fs')
    rmSync(join(vault.directory, VaultFile.RootKey))
    clock.pass(44 * DAY_MS)
    await renewal.round(forever)
    const authority = renewal.inUse().find(({ kind }) => kind === 'authority')
    assert.equal(authority?.problem, 'the root key is not on this host, nor on another authority')
    assert.match(authority?.hint ?? '', /put root\.key back into/)
    const before = credentials.authority?.certificate
    vault.write(VaultFile.RootKey, key)
    await renewal.round(forever)
    assert.equal(credentials.authority?.certificate, before)
    clock.pass(300_000)
    await renewal.round(forever)
    assert.notEqual(credentials.authority?.certificate, before)
    assert.equal(renewal.inUse().find(({ kind }) => kind === 'authority')?.problem, '')
  })
})

describe('the renewal service of an authority', () => {
  it('renews who asks in time and refuses who floods, by its key and by its address', async t => {
    const f = await founder(t)
    const host = await admitted(f, 'm1')
    const { current, request } = await ask(f, host)
    f.clock.pass(15 * DAY_MS)
    for (let count = 0; count < 6; count += 1) await f.renewals.renew(request, { peer: current.peer })
    const tooOften = refusal(ErrorCode.LimitExceeded, /m1 was renewed too often/)
    await assert.rejects(f.renewals.renew(request, { peer: current.peer }), tooOften)
    await assert.rejects(f.renewals.renew(request, { remote: '192.0.2.1' }), tooOften)
    // Another one is not concerned, and in a quarter of a certificate's life it may ask again.
    const other = await ask(f, await admitted(f, 'm2'))
    await f.renewals.renew(other.request, { peer: other.current.peer })
    f.clock.pass(8 * DAY_MS)
    await f.renewals.renew(request, { peer: current.peer })
  })

  it('looks at nothing of who was refused too often', async t => {
    const f = await founder(t)
    const host = await admitted(f, 'm1')
    const { request } = await ask(f, host)
    const bad = { ...request, proof: new Uint8Array(64) }
    for (let count = 0; count < 10; count += 1) {
      await assert.rejects(f.renewals.renew(bad, { remote: '192.0.2.1' }), refusal(ErrorCode.CertificateRefused))
    }
    await assert.rejects(
      f.renewals.renew(request, { remote: '192.0.2.1' }),
      refusal(ErrorCode.LimitExceeded, /refused/)
    )
    await f.renewals.renew(request, { remote: '192.0.2.2' })
  })

  it('gives no name to two hosts: not to the earlier one while another holds it or has joined since', async t => {
    const f = await founder(t)
    const { request, current } = await ask(f, await admitted(f, 'm1'))
    f.clock.pass(31 * DAY_MS)
    const joinedAtMs = f.clock.nowMs
    f.joined.push(joinedAtMs)
    const requester = { remote: '192.0.2.1' }
    const joined = refusal(ErrorCode.RenewalRefused, /another host has joined as m1 since/)
    await assert.rejects(f.renewals.renew(request, requester), joined)
    f.joined.length = 0
    await f.renewals.renew(request, requester)
    await admitted(f, 'm1')
    const held = refusal(ErrorCode.RenewalRefused, /another host holds the name m1 now/)
    await assert.rejects(f.renewals.renew(request, requester), held)
    assert.ok(f.log.lines.includes('warn: renewal refused'))
    assert.equal(current.machine, 'm1')
  })

  it('is closed on a host that holds no authority, and of no use once the authority has ended', async t => {
    const f = await founder(t)
    const { request, current } = await ask(f, await admitted(f, 'm1'))
    f.clock.pass(91 * DAY_MS)
    const ended = refusal(ErrorCode.CertificateExpired, /of the authority itself ends/)
    const lifetimes = { ...f.lifetimes, graceMs: 90 * DAY_MS }
    const { credentials, trust, clock, log } = f
    const renewals = new RenewalService({
      credentials,
      trust,
      lifetimes,
      hasJoinedSince: () => false,
      clock,
      log,
      metrics: silentMetrics
    })
    await assert.rejects(renewals.renew(request, { peer: current.peer }), ended)
    const none = { authority: undefined } as typeof credentials
    const closed = new RenewalService({
      credentials: none,
      trust,
      lifetimes,
      hasJoinedSince: () => false,
      clock,
      log,
      metrics: silentMetrics
    })
    assert.equal(closed.isOpen, false)
    await assert.rejects(closed.renew(request, { peer: current.peer }), refusal(ErrorCode.NotAuthority))
  })
})

describe('the credentials of a host', () => {
  it('are those of the last renewal, in one file with their key; a half-written one is told', async t => {
    const { vault, credentials, renewal, clock, membership } = await founder(t)
    clock.pass(15 * DAY_MS)
    await renewal.round(forever)
    const path = join(vault.directory, VaultFile.RenewedNode)
    const load = () => loadCredentials(vault, membership.trust.state, clock.nowMs, 0)
    assert.equal(load()?.node.certificateSha256, credentials.node.certificateSha256)
    writeFileSync(path, vault.require(VaultFile.NodeChain))
    assert.throws(load, refusal(ErrorCode.StateUnusable, /is not a key/))
  })
})

describe('trust', () => {
  async function setUp() {
    const domain = await Domain.create()
    const clock = new TestClock(NOW_MS)
    const trust = new Trust(domain.trust, clock, new TestLog())
    const old = await domain.host('m1')
    assert.ok(trust.admit(old.chain).ok)
    clock.pass(15 * DAY_MS)
    const nextKey = generateSigningKeyPair()
    const request = await renewalRequest(domain.admitted(old), TRUST_DOMAIN, { ...old, nextKey })
    const { certificate } = await admitRenewal(
      request,
      {
        trust: domain.trust,
        authority: domain.authority,
        lifetimeMs: 30 * DAY_MS,
        graceMs: 0,
        successor: () => undefined,
        nowMs: clock.nowMs
      },
      undefined
    )
    const chain = [certificate, domain.authority.certificate, domain.root]
    const next = { ...old, nodeKey: nextKey, issuer: { certificate, key: nextKey }, chain }
    const leaf = (host: Host, machine = 'm1') =>
      issueWorkload({
        node: host.issuer,
        spiffeId: `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/${machine}`,
        publicKey: createPublicKey(generateSigningKeyPair()),
        nowMs: clock.nowMs
      })
    return { domain, clock, trust, old, next, leaf }
  }

  it('accepts what either CA of a renewing host has signed, each until its own end', async () => {
    const { trust, old, next, leaf, clock } = await setUp()
    const [first, second] = [await leaf(old), await leaf(next)]
    assert.equal(trust.workload(second).ok, false)
    assert.equal(trust.isReplaced(first), false)
    assert.ok(trust.admit(next.chain).ok)
    assert.deepEqual([trust.isReplaced(first), trust.isReplaced(second)], [true, false])
    assert.ok(trust.workload(first).ok)
    assert.ok(trust.workload(second).ok)
    assert.equal(trust.certificatesOf('m1').length, 2)
    clock.nowMs = NOW_MS + 30 * DAY_MS
    assert.equal(trust.workload(await leaf(old)).ok, false)
    assert.ok(trust.workload(await leaf(next)).ok)
  })

  it('learns a renewed CA from who shows it, and from nobody another one', async () => {
    const { trust, domain, next, leaf } = await setUp()
    const issuers = next.chain.slice(0, 2)
    assert.ok(trust.workload(await leaf(next), issuers).ok)
    assert.equal(trust.certificatesOf('m1').length, 2)
    const hostile = await domain.host('m2')
    const forged = trust.workload(await leaf(hostile, 'm1'), hostile.chain.slice(0, 2))
    assert.equal(forged.ok ? '' : forged.reason, 'bad-signature')
    const elsewhere = await (await Domain.create()).host('m1')
    assert.equal(trust.workload(await leaf(elsewhere), elsewhere.chain.slice(0, 2)).ok, false)
  })

  it('says when the last certificate of a host has ended, and forgets that once it shows a renewed one', async () => {
    const { trust, domain, old, next, clock } = await setUp()
    const { peer, notAfterMs } = domain.admitted(old)
    assert.equal(trust.expiredSinceMs(peer), undefined)
    clock.nowMs = notAfterMs
    assert.equal(trust.expiredSinceMs(peer), notAfterMs)
    assert.ok(trust.admit(next.chain).ok)
    assert.equal(trust.expiredSinceMs(peer), undefined)
  })
})

describe('the book of authorities', () => {
  const view = (change: Partial<OwnerView>): OwnerView =>
    ({
      machine: 'a',
      self: false,
      capabilities: ['tcp', 'authority'],
      dataAddresses: ['192.0.2.1:7461'],
      ...change
    }) as OwnerView

  it('keeps on disk where authorities answer, the newest first and no others', () => {
    const kept = new Map<string, Uint8Array>()
    const store = {
      setting: (name: string) => kept.get(name),
      setSetting: (name: string, value: Uint8Array) => void kept.set(name, value)
    }
    const book = new AuthorityStore(store)
    book.note(view({}))
    book.note(view({ machine: 'b', capabilities: ['tcp'] }))
    book.note(view({ machine: 'c', self: true }))
    book.note(view({ machine: 'd', dataAddresses: ['192.0.2.4:7461'] }))
    assert.deepEqual(new AuthorityStore(store).addresses(), ['192.0.2.4:7461', '192.0.2.1:7461'])
    // It resigned.
    book.note(view({ machine: 'd', capabilities: ['tcp'] }))
    assert.deepEqual(new AuthorityStore(store).addresses(), ['192.0.2.1:7461'])
    for (let number = 0; number < 40; number += 1) book.note(view({ machine: `x${number}` }))
    assert.equal(new AuthorityStore(store).addresses().length, 16)
    for (const damaged of ['', '{}', '[1,[2],["a",[3]]]', 'nonsense']) {
      kept.set('authorities', Buffer.from(damaged))
      assert.deepEqual(new AuthorityStore(store).addresses(), [])
    }
  })
})
