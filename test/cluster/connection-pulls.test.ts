import assert from 'node:assert/strict'
import test from 'node:test'
import { type Announced, ConnectionPulls } from '../../src/cluster/connection-pulls.ts'
import { ErrorCode, silentLogger, WarrenError } from '../../src/core/index.ts'
import { generatePeerKeyPair, type PeerKey, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'

const DIGEST = 'd1'
const UP_TO_DATE: Announced = { policyVersion: 4n, policySets: DIGEST, trustVersion: 2n }
const PEERS = Array.from({ length: 10 }, (): PeerKey => peerKeyOf(rawPublicKey(generatePeerKeyPair())))

interface Host {
  readonly pulls: ConnectionPulls
  readonly asked: string[]
  readonly heard: Array<string | undefined>
  /** What is known of each member from its head. */
  readonly heads: Map<PeerKey, Announced>
  readonly lost: { is: boolean }
  /** Answers the sessions that are under way. */
  readonly answer: (failure?: Error) => Promise<void>
}

/** A session teaches the heads in `learned`, as that of any member does. */
function host(learned: ReadonlyMap<PeerKey, Announced>, sets: () => Promise<void> = async () => {}): Host {
  const asked: string[] = []
  const heard: Array<string | undefined> = []
  const heads = new Map<PeerKey, Announced>()
  const name = (peer: PeerKey): string => `m${PEERS.indexOf(peer)}`
  let open: Array<{ resolve: () => void; reject: (err: Error) => void }> = []
  const note = (what: string) => async (peer: PeerKey) => {
    asked.push(`${what} ${name(peer)}`)
  }
  const lost = { is: false }
  const made: Host = {
    asked,
    heard,
    heads,
    lost,
    pulls: new ConnectionPulls({
      mesh: { isConnected: () => true, machineOf: name },
      registry: {
        syncWith: async peer => {
          asked.push(`registry ${name(peer)}`)
          const { promise, resolve, reject } = Promise.withResolvers<void>()
          open.push({ resolve, reject })
          await promise
          for (const [owner, head] of learned) heads.set(owner, head)
        }
      },
      announced: peer => heads.get(peer),
      policy: {
        version: 4n,
        get isLost() {
          return lost.is
        },
        fetch: note('policy'),
        sets: {
          inForce: { digest: DIGEST },
          exchange: {
            fetch: async peer => {
              asked.push(`sets ${name(peer)}`)
              await sets()
            }
          }
        }
      },
      trust: { version: 2n, pull: note('trust') },
      onSynchronised: machine => heard.push(machine),
      log: silentLogger
    }),
    answer: async (failure?: Error) => {
      const answered = open
      open = []
      for (const { resolve, reject } of answered) failure === undefined ? resolve() : reject(failure)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  return made
}

const all = (head: Announced): Map<PeerKey, Announced> => new Map(PEERS.map(peer => [peer, head]))
const [first] = PEERS as [PeerKey]

test('two hosts that agree exchange the registry and nothing else', async () => {
  const made = host(all(UP_TO_DATE))
  made.pulls.connected(first)
  await made.answer()
  assert.deepEqual(made.asked, ['registry m0'])
  assert.deepEqual(made.heard, ['m0'])
})

test('a connected host is asked for whatever its head says to be newer', async () => {
  const made = host(all({ policyVersion: 5n, policySets: 'd2', trustVersion: 3n }))
  made.pulls.connected(first)
  await made.answer()
  assert.deepEqual(made.asked, ['registry m0', 'trust m0', 'policy m0', 'sets m0'])
})

test('a host without a known head is asked for everything, and for trust even if the session fails', async () => {
  const silent = host(new Map())
  silent.pulls.connected(first)
  await silent.answer()
  assert.deepEqual(silent.asked, ['registry m0', 'trust m0', 'policy m0', 'sets m0'])
  const failing = host(new Map())
  failing.pulls.connected(first)
  await failing.answer(new Error('no answer'))
  assert.deepEqual(failing.asked, ['registry m0', 'trust m0'])
  assert.deepEqual(failing.heard, [])
})

test('a host that has lost its policy asks each member for it', async () => {
  const made = host(all(UP_TO_DATE))
  made.lost.is = true
  for (const peer of PEERS.slice(0, 5)) made.pulls.connected(peer)
  await made.answer()
  await made.answer()
  assert.equal(made.asked.filter(line => line.startsWith('policy')).length, 5)
})

test('an older program that knows one admin counts as heard', async () => {
  const refuses = async (): Promise<void> => {
    throw new WarrenError(ErrorCode.Unsupported, 'unknown protocol')
  }
  const made = host(all({ ...UP_TO_DATE, policySets: '' }), refuses)
  made.pulls.connected(first)
  await made.answer()
  assert.deepEqual(made.asked, ['registry m0', 'sets m0'])
  assert.deepEqual(made.heard, ['m0'])
})

test('a host that joins does not ask each member for the same', async () => {
  const made = host(all(UP_TO_DATE))
  for (const peer of PEERS) made.pulls.connected(peer)
  for (let round = 0; round < 4; round += 1) await made.answer()
  // The first three began before the others were connected.
  assert.deepEqual(
    made.asked,
    ['m0', 'm1', 'm2', 'm3', 'm4', 'm5'].map(name => `registry ${name}`)
  )
})

test('of many new connections those are used whose host is unknown, or has something newer', async () => {
  const heads = all(UP_TO_DATE)
  heads.delete(PEERS[6] as PeerKey)
  heads.set(PEERS[8] as PeerKey, { ...UP_TO_DATE, policyVersion: 5n })
  const made = host(heads)
  for (const peer of PEERS) made.pulls.connected(peer)
  for (let round = 0; round < 4; round += 1) await made.answer()
  const sessions = made.asked.filter(line => line.startsWith('registry')).map(line => line.slice('registry '.length))
  assert.deepEqual(sessions, ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm8'])
})

test('sessions that began before a connection, or failed, do not stand for its own', async () => {
  const before = host(all(UP_TO_DATE))
  for (const peer of PEERS.slice(0, 3)) before.pulls.connected(peer)
  before.pulls.connected(PEERS[3] as PeerKey)
  await before.answer()
  before.pulls.connected(PEERS[4] as PeerKey)
  assert.ok(before.asked.includes('registry m4'))
  const failing = host(all(UP_TO_DATE))
  for (const peer of PEERS.slice(0, 4)) failing.pulls.connected(peer)
  await failing.answer(new Error('no answer'))
  assert.ok(failing.asked.includes('registry m3'))
})
