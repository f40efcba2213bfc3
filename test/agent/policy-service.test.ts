import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { AdminSets, AdminStore } from '../../src/cluster/admins/index.ts'
import { PolicyService } from '../../src/cluster/policy-service.ts'
import { announcementOf, fetchResponse } from '../../src/cluster/policy-transport.ts'
import { silentLogger, silentMetrics, systemClock } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  type PeerKey,
  parsePattern,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import { openBundle, sealBundle } from '../../src/policy/index.ts'
import { Vault } from '../../src/state/index.ts'
import { create, decode, policyPb, toBinary } from '../../src/wire/index.ts'

const LIAR: PeerKey = peerKeyOf(rawPublicKey(generatePeerKeyPair()))

interface Node {
  readonly service: PolicyService
  readonly announced: Uint8Array[]
  /** Versions that were not taken. */
  readonly refused: bigint[]
  /** What survives a restart. */
  readonly disk: { signed: Uint8Array | undefined }
  /** What any peer answers to this host. */
  answer: (request: Uint8Array) => Uint8Array
}

function stateDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'warren-policy-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

function node(t: TestContext, admin: KeyObject, mayChange: boolean, disk: Node['disk'] = { signed: undefined }): Node {
  const rootKey = peerKeyOf(rawPublicKey(admin))
  const transport = {
    publish: async (bytes: Uint8Array) => made.announced.push(bytes),
    request: async (_peer: PeerKey, bytes: Uint8Array) => made.answer(bytes)
  }
  const made: Node = {
    announced: [],
    refused: [],
    disk,
    answer: () => {
      throw new Error('nobody answers')
    },
    service: new PolicyService({
      trustDomain: 'example.org',
      adminPublicKey: rawPublicKey(admin),
      adminKey: mayChange ? admin : undefined,
      load: () => disk.signed,
      save: signed => {
        disk.signed = signed
      },
      transport,
      sets: new AdminSets({
        trustDomain: 'example.org',
        rootKey,
        isRoot: mayChange,
        store: new AdminStore(new Vault(stateDirectory(t)), { rootKey, trustDomain: 'example.org' }),
        transport,
        onChange: () => {},
        clock: systemClock,
        log: silentLogger,
        metrics: silentMetrics
      }),
      onBundle: () => {},
      onChange: () => {},
      onRefused: (_reason, version) => made.refused.push(version),
      clock: systemClock,
      log: silentLogger
    })
  }
  t.after(() => made.service.stop())
  made.service.start()
  return made
}

const opened = (signed: Uint8Array) => decode(policyPb.SignedBundleSchema, signed, signed.length)

const rule = (effect: 'allow' | 'deny') => ({
  effect,
  source: parsePattern('dev.*.*.*'),
  destination: parsePattern('dev.web.*.*'),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason: ''
})

test('nobody rolls the policy back: not by an announcement, not by an answer, and not over a restart', async t => {
  const admin = generatePeerKeyPair()
  const founder = node(t, admin, true)
  await founder.service.add(rule('allow'))
  const old = founder.disk.signed ?? new Uint8Array()
  await founder.service.add(rule('deny'))
  const [first = new Uint8Array(), second = new Uint8Array()] = founder.announced

  const host = node(t, admin, false)
  assert.equal(host.service.onGossip(second, LIAR), 'accept')
  assert.equal(host.service.version, 2n)
  assert.equal(host.service.onGossip(first, LIAR), 'ignore')
  // The old bundle under a version that it does not have.
  const lie = (signed: Uint8Array): Uint8Array => {
    const message = create(policyPb.AnnouncementSchema, {
      version: 99n,
      sha256: new Uint8Array(32),
      bundle: opened(signed)
    })
    return toBinary(policyPb.AnnouncementSchema, message)
  }
  host.service.onGossip(lie(old), LIAR)
  assert.equal(host.service.version, 2n)
  const response = create(policyPb.FetchResponseSchema, { bundle: opened(old) })
  host.answer = () => toBinary(policyPb.FetchResponseSchema, response)
  await host.service.fetch(LIAR)
  assert.equal(host.service.version, 2n)

  const again = node(t, admin, false, host.disk)
  assert.equal(again.service.version, 2n)
  assert.equal(again.service.onGossip(first, LIAR), 'ignore')
})

test('a policy that the admin key did not sign is refused, whoever brings it, and so is who brings it', async t => {
  const admin = generatePeerKeyPair()
  const forger = node(t, generatePeerKeyPair(), true)
  await forger.service.add(rule('allow'))
  const [announcement = new Uint8Array()] = forger.announced
  const host = node(t, admin, false)
  assert.equal(host.service.onGossip(announcement, LIAR), 'reject')
  host.answer = request => forger.service.answer(request)
  await assert.rejects(host.service.fetch(LIAR), { code: 'SIGNATURE_INVALID' })
  assert.equal(host.service.version, 0n)
  assert.equal(host.disk.signed, undefined)
  await assert.rejects(host.service.add(rule('allow')), { code: 'NOT_ADMIN' })
})

test('a change that breaks an invariant is refused with an example, and nothing of it is in force', async t => {
  const admin = generatePeerKeyPair()
  const founder = node(t, admin, true)
  const invariant = { source: parsePattern('dev.*.*.*'), destination: parsePattern('dev.web.*.*'), protocols: [] }
  const invariants = [{ ...invariant, id: 'i1', reason: '', createdAtMs: 0 }]
  await founder.service.add(rule('deny'))
  await founder.service.change({ invariants })
  await assert.rejects(founder.service.add(rule('allow')), { code: 'INVARIANT_BROKEN' })
  await assert.rejects(founder.service.remove('r1'), { code: 'INVARIANT_BROKEN' })
  assert.throws(() => founder.service.draft({ rules: [] }), { code: 'INVARIANT_BROKEN' })
  assert.equal(founder.service.version, 2n)
  assert.equal(founder.announced.length, 2)
})

test('a host does not take a signed policy that breaks one of its own invariants, and does not blame who brings it', async t => {
  const admin = generatePeerKeyPair()
  const founder = node(t, admin, true)
  await founder.service.add(rule('deny'))
  const [good = new Uint8Array()] = founder.announced
  const invariant = { source: parsePattern('dev.*.*.*'), destination: parsePattern('dev.web.*.*'), protocols: [] }
  const content = { rules: [], invariants: [{ ...invariant, id: 'i1', reason: '', createdAtMs: 0 }] }
  const signed = sealBundle(founder.service.bundle, { ...content, trustDomain: 'example.org', nowMs: 1 }, bytes =>
    sign(admin, CONTEXT.policyBundle, bytes)
  )
  const broken = openBundle(signed, rawPublicKey(admin), 'example.org')
  const host = node(t, admin, false)
  assert.equal(host.service.onGossip(good, LIAR), 'accept')
  assert.equal(host.service.onGossip(announcementOf(broken), LIAR), 'ignore')
  assert.equal(host.service.version, 1n)
  assert.deepEqual(host.refused, [2n])
  host.answer = request => fetchResponse(request, broken)
  await assert.rejects(host.service.fetch(LIAR), { code: 'INVARIANT_BROKEN' })
  assert.equal(host.service.version, 1n)
  const again = node(t, admin, false, host.disk)
  assert.equal(again.service.version, 1n, 'it is not on disk either')
})
