import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import test from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { announceSet } from '../../src/cluster/admins/messages.ts'
import { SetExchange } from '../../src/cluster/admins/set-exchange.ts'
import { silentLogger, silentMetrics } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  type PeerKey,
  parsePattern,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import {
  type AdminRemoval,
  type Bundle,
  draftBundle,
  openSet,
  type Rule,
  SetReplica,
  sealBundle
} from '../../src/policy/index.ts'
import { decode, policyPb } from '../../src/wire/index.ts'
import { EventQueue } from './event-queue.ts'
import { Random } from './random.ts'

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 40)
const HOSTS = 10
const PARTITION_MS = 60_000
/** Hosts dial each other again within this time. */
const REDIAL_MS = 3_000
/** Each host announces its digest at least so often, and after each change. */
const HEAD_MS = 1_500
const LOSS = 0.2
const trustDomain = 'example.org'

const newKey = (): KeyObject => generatePeerKeyPair()
const textOf = (key: KeyObject): PeerKey => peerKeyOf(rawPublicKey(key))
const [ROOT, BOB, CAROL, DAVE] = [newKey(), newKey(), newKey(), newKey()] as const

interface Host {
  readonly peer: PeerKey
  readonly half: number
  readonly replica: SetReplica
  readonly exchange: SetExchange
}

class Network {
  readonly queue = new EventQueue()
  readonly random: Random
  readonly hosts: Host[]
  #isCut = false
  readonly #connected = new Set<string>()

  constructor(seed: number, root: Bundle) {
    this.random = new Random(seed)
    this.hosts = Array.from({ length: HOSTS }, (_, at) => this.#makeHost(at % 2, root))
    for (const [one, other] of this.pairs()) this.#connected.add(`${one.peer} ${other.peer}`)
    for (const host of this.hosts) this.#announceForever(host)
  }

  pairs(): Array<readonly [Host, Host]> {
    return this.hosts.flatMap(one => this.hosts.filter(other => other !== one).map(other => [one, other] as const))
  }

  cut(): void {
    this.#isCut = true
    for (const [one, other] of this.pairs())
      if (one.half !== other.half) this.#connected.delete(`${one.peer} ${other.peer}`)
  }

  heal(): void {
    this.#isCut = false
    for (const [one, other] of this.pairs()) {
      if (this.isConnected(one, other)) continue
      this.queue.after(this.random.between(50, REDIAL_MS), () => {
        this.#connected.add(`${one.peer} ${other.peer}`)
        // As each host does with a new connection.
        one.exchange.fetch(other.peer).catch(() => {})
      })
    }
  }

  isConnected(one: Host, other: Host): boolean {
    return this.#connected.has(`${one.peer} ${other.peer}`) && !(this.#isCut && one.half !== other.half)
  }

  /** Signs the next version of a set where `host` is, from what it holds. */
  state(host: Host, key: KeyObject, rule: Rule, adminRemovals: readonly AdminRemoval[] = []): void {
    const author = textOf(key)
    const own = host.replica.newestOf(author)
    const content = {
      rules: [...(own?.rules ?? []), rule],
      adminRemovals,
      trustDomain,
      nowMs: Math.floor(this.queue.nowMs)
    }
    const signed = sealBundle(own, content, bytes => sign(key, CONTEXT.policySet, bytes), 'admin')
    const set = openSet(signed, rawPublicKey(key), trustDomain)
    host.replica.put(author, set)
    this.#gossip(host, announceSet(author, set))
    this.#announce(host)
  }

  async run(untilMs: number): Promise<void> {
    while (this.queue.runNext(untilMs)) await nextTurn()
  }

  #gossip(from: Host, bytes: Uint8Array): void {
    for (const to of this.hosts) {
      if (to === from || this.random.chance(LOSS)) continue
      this.queue.after(this.random.between(5, 100), () => {
        if (!this.isConnected(from, to)) return
        const { set } = decode(policyPb.AnnouncementSchema, bytes, bytes.length)
        if (set !== undefined && to.exchange.onGossip(set, from.peer) === 'accept') this.#gossip(to, bytes)
      })
    }
  }

  #announce(from: Host): void {
    for (const to of this.hosts) {
      if (to === from || this.random.chance(LOSS)) continue
      this.queue.after(this.random.between(5, 100), () => {
        if (this.isConnected(from, to)) to.exchange.heard(from.peer, from.replica.inForce.digest)
      })
    }
  }

  #announceForever(host: Host): void {
    this.queue.after(this.random.between(0, HEAD_MS), () => {
      this.#announce(host)
      this.#announceForever(host)
    })
  }

  #makeHost(half: number, root: Bundle): Host {
    const replica = new SetReplica(textOf(ROOT))
    replica.setRoot(root)
    const exchange: SetExchange = new SetExchange({
      trustDomain,
      rootKey: textOf(ROOT),
      replica,
      put: (key, set) => replica.put(key, set),
      transport: {
        publish: async () => 0,
        request: async (peer, bytes) => {
          const other = this.hosts.find(one => one.peer === peer)
          if (other === undefined || !this.isConnected(host, other)) throw new Error('not connected')
          const done = Promise.withResolvers<Uint8Array>()
          this.queue.after(this.random.between(5, 100), () => {
            if (this.isConnected(host, other)) done.resolve(other.exchange.answer(bytes))
            else done.reject(new Error('connection lost'))
          })
          return await done.promise
        }
      },
      onChange: () => this.#announce(host),
      clock: { wallMs: () => this.queue.nowMs, monotonicMs: () => this.queue.nowMs },
      log: silentLogger,
      metrics: silentMetrics
    })
    const host: Host = { peer: textOf(newKey()), half, replica, exchange }
    return host
  }
}

function rule(id: string, effect: 'allow' | 'deny'): Rule {
  const [source, destination] = [parsePattern(`dev.${id}.*.*`), parsePattern('dev.*.*.*')]
  return { id, effect, source, destination, protocols: [], notBeforeMs: 0, untilMs: 0, reason: '', createdAtMs: 0 }
}

const ROOT_BUNDLE = draftBundle(undefined, {
  trustDomain,
  nowMs: 0,
  admins: [
    { id: 'a1', key: textOf(BOB), name: 'bob', role: 'admin', scopes: ['dev'], reason: '', createdAtMs: 0 },
    { id: 'a2', key: textOf(CAROL), name: 'carol', role: 'owner', scopes: [], reason: '', createdAtMs: 0 },
    { id: 'a3', key: textOf(DAVE), name: 'dave', role: 'admin', scopes: ['dev'], reason: '', createdAtMs: 0 }
  ]
})

test('what two admins change in two halves is in force everywhere 5 s after the heal, and a removed one changes nothing', async t => {
  let slowestMs = 0
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const network = new Network(seed, ROOT_BUNDLE)
    const { random, queue, hosts } = network
    const [left, right] = [hosts[0], hosts[1]]
    assert.ok(left !== undefined && right !== undefined)
    network.state(left, DAVE, rule('d1', 'deny'))
    await network.run(10_000)
    for (const host of hosts) assert.equal(host.replica.inForce.bundle?.rules.length, 1, `seed ${seed}`)

    network.cut()
    const expected = ['dave/d1']
    for (let at = 1; at <= 5; at += 1) {
      const effect = random.chance(0.5) ? 'allow' : 'deny'
      queue.after(random.between(0, PARTITION_MS), () => network.state(left, BOB, rule(`b${at}`, effect)))
      queue.after(random.between(0, PARTITION_MS), () => network.state(right, CAROL, rule(`c${at}`, effect), removals))
      // Dave is in the half of bob, and is removed by carol in the other.
      queue.after(random.between(0, PARTITION_MS), () => network.state(left, DAVE, rule(`x${at}`, 'allow')))
      expected.push(`bob/b${at}`, `carol/c${at}`)
    }
    const counted = right.replica.newestOf(textOf(DAVE))
    const removals: readonly AdminRemoval[] = [
      {
        id: 'd1',
        key: textOf(DAVE),
        sequence: counted?.version ?? 0n,
        sha256: counted?.sha256 ?? '',
        reason: '',
        createdAtMs: 0
      }
    ]
    await network.run(10_000 + PARTITION_MS)
    network.heal()
    const isDone = (): boolean =>
      hosts.every(
        ({ replica }) =>
          replica.inForce.bundle?.rules
            .map(({ id }) => id)
            .sort()
            .join() === expected.toSorted().join()
      )
    const healedMs = queue.nowMs
    while (!isDone() && queue.nowMs < healedMs + 5_000) await network.run(queue.nowMs + 50)
    assert.ok(isDone(), `seed ${seed}`)
    slowestMs = Math.max(slowestMs, queue.nowMs - healedMs)
    // It stays so.
    await network.run(queue.nowMs + 5_000)
    assert.ok(isDone(), `seed ${seed}: later`)
    assert.equal(new Set(hosts.map(({ replica }) => replica.inForce.digest)).size, 1, `seed ${seed}`)
  }
  t.diagnostic(`slowest of ${SEEDS} seeds: ${slowestMs} ms after the heal, virtual time`)
})
