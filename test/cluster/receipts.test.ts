import assert from 'node:assert/strict'
import test from 'node:test'
import { AppliedPolicies } from '../../src/cluster/receipts/applied-policies.ts'
import {
  type AskedSet,
  decodeReceiptQuestion,
  encodeReceipt,
  encodeReceiptQuestion,
  type Receipt
} from '../../src/cluster/receipts/receipt.ts'
import { type Collected, type HostReceipt, Receipts, type ReceiptsDeps } from '../../src/cluster/receipts/receipts.ts'
import { ChangeSignal, ErrorCode, silentLogger } from '../../src/core/index.ts'
import { generatePeerKeyPair, type PeerKey, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import type { OwnerView } from '../../src/registry/index.ts'

const generatePeer = (): PeerKey => peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const [ROOT, BOB] = [generatePeer(), generatePeer()]
const SET = { version: 7n, sha256: 'ab'.repeat(32) }
const OWN: AskedSet = { ...SET, key: ROOT, grantedBy: [] }
const BOBS: AskedSet = { ...SET, key: BOB, grantedBy: [{ key: ROOT, version: 6n }] }
const NEVER = new AbortController().signal
const LONG_MS = 3_600_000

interface Shown {
  readonly machine: string
  readonly capabilities?: readonly string[]
  readonly policyVersion?: bigint
  readonly policySets?: string
  readonly suspect?: boolean
}

function member({
  machine,
  capabilities = ['questions'],
  policyVersion = 6n,
  policySets = '',
  suspect = false
}: Shown): OwnerView {
  const view = {
    machine,
    peer: machine as PeerKey,
    self: machine === 'a',
    capabilities,
    policyVersion,
    policySets,
    suspect
  }
  return view as unknown as OwnerView
}

/** A host `a` and what it knows of others; `say` is the answer of one of them. */
function collecting(members: Shown[], more: Partial<ReceiptsDeps> = {}) {
  let asks = 0
  let onAnswer: (author: PeerKey, content: Uint8Array) => void = () => {}
  const registry = new ChangeSignal()
  const asked = Promise.withResolvers<void>()
  const applied = new AppliedPolicies({ rootKey: ROOT, sets: () => [OWN, BOBS], clock: { wallMs: () => 1_000 } })
  const receipts = new Receipts({
    trustDomain: 'example.org',
    applied,
    rootKey: ROOT,
    own: () => OWN,
    digest: () => 'same',
    pull: () => {},
    questions: () => ({
      open: (_kind, _content, listener) => {
        onAnswer = listener
        return {
          signer: 'admin',
          ask: () => {
            asks += 1
            asked.resolve()
          },
          close: () => {}
        }
      }
    }),
    owners: () => [{ machine: 'a' }, ...members].map(member),
    lost: () => [],
    suspectedSinceMs: () => undefined,
    registryChanged: () => registry.changed(),
    clock: { monotonicMs: () => performance.now() },
    log: silentLogger,
    ...more
  })
  const collected: Collected[] = []
  const run = async (timeoutMs = LONG_MS): Promise<Collected> => {
    for await (const one of receipts.collect(0n, timeoutMs, NEVER)) collected.push(one)
    const last = collected.at(-1)
    assert.ok(last?.finished)
    return { ...last, hosts: collected.flatMap(({ hosts }) => hosts) }
  }
  return {
    receipts,
    run,
    asked: asked.promise,
    asks: () => asks,
    registryChanged: () => registry.fire(),
    say: (machine: string, receipt: Partial<Receipt> = {}, trustDomain = 'example.org') => {
      const full = {
        state: 'applied',
        ...SET,
        flowsCut: 0,
        registrationsEnded: 0,
        appliedAtMs: 5,
        problem: ''
      } as const
      onAnswer(machine as PeerKey, encodeReceipt(trustDomain, { ...full, ...receipt }))
    }
  }
}

const stateOf = (hosts: readonly HostReceipt[], name: string) => hosts.find(({ machine }) => machine === name)?.state

test('it ends when every host has given its receipt, and counts what each has cut', async () => {
  const { run, say, asked } = collecting([{ machine: 'b' }, { machine: 'c' }])
  const ended = run()
  await asked
  say('c', { flowsCut: 4, registrationsEnded: 1 })
  say('b')
  const { hosts, complete, version } = await ended
  assert.deepEqual([complete, version], [true, 7n])
  assert.deepEqual(hosts.map(({ machine, state, flowsCut }) => [machine, state, flowsCut]).sort(), [
    ['a', 'applied', 0],
    ['b', 'applied', 0],
    ['c', 'applied', 4]
  ])
})

test('a host that says nothing is asked again, and named when the time is over', async () => {
  const { run, say, asked, asks } = collecting([{ machine: 'b' }, { machine: 'c' }])
  const ended = run(1_300)
  await asked
  say('b')
  const { hosts, complete } = await ended
  assert.equal(complete, false)
  assert.equal(stateOf(hosts, 'c'), 'silent')
  assert.ok(asks() >= 2)
})

test('nobody waits for a suspect, nor for a host that is lost: both are named, with since when', async () => {
  const lost = { sinceMs: 11, reason: 'silent', last: member({ machine: 'd' }), served: [] } as const
  const left = { sinceMs: 12, reason: 'left', last: member({ machine: 'e' }), served: [] } as const
  const { run, say, asked } = collecting([{ machine: 'b' }, { machine: 'c', suspect: true }], {
    lost: () => [lost, left],
    suspectedSinceMs: peer => (peer === 'c' ? 10 : undefined)
  })
  const ended = run()
  await asked
  say('b')
  const { hosts, complete } = await ended
  assert.equal(complete, false, 'a suspect may be alive on the other side of a broken network')
  assert.deepEqual(
    hosts.slice(-3).map(({ machine, state, sinceMs }) => [machine, state, sinceMs]),
    [
      ['c', 'suspect', 10],
      ['d', 'lost', 11],
      ['e', 'left', 12]
    ]
  )
})

test('an older program is waited for by its announcement, and never counts as having given a receipt', async () => {
  const old: { machine: string; capabilities: string[]; policyVersion: bigint } = {
    ...{ machine: 'b', capabilities: ['tcp'], policyVersion: 6n }
  }
  const { run, asked, registryChanged } = collecting([old])
  const ended = run()
  await asked
  old.policyVersion = 7n
  registryChanged()
  const { hosts, complete } = await ended
  assert.deepEqual([stateOf(hosts, 'b'), complete], ['announced', false])
  const silent = await collecting([{ machine: 'b', capabilities: ['tcp'] }]).run(50)
  assert.deepEqual([stateOf(silent.hosts, 'b'), silent.complete], ['cannot-say', false])
})

test('a receipt of another mesh, of an older version or of other content is none', async () => {
  const { run, say, asked } = collecting([{ machine: 'b' }])
  const ended = run(200)
  await asked
  say('b', {}, 'example.com')
  say('b', { version: 6n })
  say('b', { sha256: 'cd'.repeat(32) })
  const { hosts, complete } = await ended
  assert.deepEqual([stateOf(hosts, 'b'), complete], ['silent', false])
})

test('a host that refuses the version, or failed to enforce it, ends the wait and is no success', async () => {
  const { run, say, asked } = collecting([{ machine: 'b' }, { machine: 'c' }])
  const ended = run()
  await asked
  say('b', { state: 'refused', version: 6n, problem: 'an invariant' })
  say('c', { state: 'failed', problem: 'flows failed' })
  const { hosts, complete } = await ended
  assert.equal(complete, false)
  assert.deepEqual([stateOf(hosts, 'b'), stateOf(hosts, 'c')], ['refused', 'failed'])
})

test('without a policy there is nothing to wait for', async () => {
  await assert.rejects(collecting([], { own: () => undefined }).run(), { code: ErrorCode.NotFound })
})

test('a question says whose set it is about; one about that of the root is as older programs know it', () => {
  assert.deepEqual(decodeReceiptQuestion(encodeReceiptQuestion(BOBS, ROOT), ROOT), BOBS)
  const bytes = encodeReceiptQuestion(OWN, ROOT)
  assert.deepEqual(decodeReceiptQuestion(bytes, ROOT), OWN)
  assert.equal(Buffer.from(bytes).toString('hex'), `08071220${SET.sha256}`)
  // Field 3: a key of one byte.
  assert.throws(() => decodeReceiptQuestion(Uint8Array.from([...bytes, 0x1a, 1, 9]), ROOT), {
    code: ErrorCode.MessageMalformed
  })
  const grantedBy = Array.from({ length: 63 }, () => ({ key: generatePeer(), version: 2n ** 63n }))
  const large = { ...BOBS, grantedBy }
  assert.deepEqual(decodeReceiptQuestion(encodeReceiptQuestion(large, ROOT), ROOT), large)
})

test('a member that knows one admin only cannot say it of the set of another; one without questions announces all sets', async () => {
  const members = [
    { machine: 'b', policyVersion: 7n, capabilities: ['questions'] },
    { machine: 'c', policyVersion: 7n, capabilities: ['tcp'], policySets: 'same' },
    { machine: 'd', policyVersion: 7n, capabilities: ['tcp'], policySets: 'other' },
    { machine: 'e', policyVersion: 5n, capabilities: ['tcp'], policySets: 'same' },
    { machine: 'f', policyVersion: 7n, policySets: 'other' }
  ]
  const { hosts, complete } = await collecting(members, { own: () => BOBS }).run(50)
  assert.deepEqual(
    hosts.map(({ machine, state, version }) => [machine, state, version]),
    [
      ['a', 'applied', 7n],
      ['b', 'cannot-say', 0n],
      ['c', 'announced', 7n],
      ['d', 'cannot-say', 0n],
      ['e', 'cannot-say', 0n],
      ['f', 'silent', 0n]
    ]
  )
  assert.equal(complete, false)
})

test('a host that lacks the set, or what gives it its rights, asks the neighbour for it', () => {
  const pulled: PeerKey[] = []
  const applied = new AppliedPolicies({
    rootKey: ROOT,
    sets: () => [{ ...OWN, version: 5n }],
    clock: { wallMs: () => 0 }
  })
  const { receipts } = collecting([], { applied, pull: peer => pulled.push(peer) })
  const stop = new AbortController()
  const context = { requester: BOB, via: ROOT, signer: BOB, signal: stop.signal }
  const answer = receipts.answer(encodeReceiptQuestion(BOBS, ROOT), context)
  assert.deepEqual(pulled, [ROOT])
  stop.abort()
  return assert.rejects(answer)
})
