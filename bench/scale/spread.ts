import { type Answer, encodeAnswers } from '../../src/cluster/gather/answer.ts'
import { Gatherer } from '../../src/cluster/gather/gatherer.ts'
import { PASS_ON_MIN_MS, PASS_ON_SPREAD_MS } from '../../src/mesh/limits.ts'
import { syncMsFor } from '../../src/registry/index.ts'
import { ACK_BYTES, MESSAGE_BYTES, REQUEST_BYTES } from './constants.ts'
import { Events } from './events.ts'
import type { Graph } from './graph.ts'

export interface Spread {
  /** Milliseconds until this share of the hosts has it; Infinity if it never does. */
  readonly p50Ms: number
  readonly allMs: number
  /** Copies of the message that a host receives, on average. */
  readonly copies: number
  /** Milliseconds until the owner knows that all have it. */
  readonly ackedMs: number
  /** Bytes of acknowledgements at the owner, in both directions, and the messages that they came in. */
  readonly ackBytes: number
  readonly ackMessages: number
  /** The most bytes of acknowledgements at any other host. */
  readonly worstCarriedBytes: number
}

/** Synchronisation with a random neighbour, as in src/registry/driver.ts: so much earlier or later. */
const SYNC_JITTER = 0.6

/**
 * One change of host `owner`, and with `isAwaited` its acknowledgements, carried by the real `Gatherer`. Messages are lost with
 * `loss`; synchronisation replaces them.
 */
export function spread(
  graph: Graph,
  owner: number,
  { random, latencyMs, loss, isAwaited }: { random: () => number; latencyMs: number; loss: number; isAwaited: boolean }
): Spread {
  const { peers, links, forwards, isFull } = graph
  const events = new Events()
  const syncMs = syncMsFor(peers.length)
  const hopMs = (): number => latencyMs * (0.5 + random())
  const hadMs = new Array<number>(peers.length).fill(Number.POSITIVE_INFINITY)
  const bytes = new Array<number>(peers.length).fill(0)
  const acked = new Set<number>()
  let [received, ackMessages, ackedMs] = [0, 0, Number.POSITIVE_INFINITY]
  const index = new Map(peers.map((peer, at) => [peer, at]))
  const gatherers = peers.map(() => new Gatherer({ isMember: () => true, verify: () => true }))
  const timers = new Array<number>(peers.length).fill(Number.POSITIVE_INFINITY)
  const requester = peers[owner] ?? fail()

  const note = (host: number): void => {
    acked.add(host)
    if (acked.size === peers.length - 1) ackedMs = events.nowMs
  }
  const deliver = (from: number, to: number, answers: readonly Answer[]): void => {
    const size = encodeAnswers(answers).length + REQUEST_BYTES
    for (const end of [from, to]) bytes[end] = (bytes[end] ?? 0) + size
    if (to === owner) ackMessages += 1
    events.after(hopMs(), () => {
      for (const answer of answers) {
        if (to === owner) note(index.get(answer.author) ?? fail())
        else gatherers[to]?.take(answer, peers[from], events.nowMs)
      }
      schedule(to)
    })
  }
  const schedule = (host: number): void => {
    const dueMs = gatherers[host]?.nextDueMs() ?? Number.POSITIVE_INFINITY
    if (dueMs >= (timers[host] ?? 0) || !Number.isFinite(dueMs)) return
    timers[host] = dueMs
    events.after(Math.max(0, dueMs - events.nowMs), () => {
      timers[host] = Number.POSITIVE_INFINITY
      for (const [via, all] of gatherers[host]?.due(dueMs) ?? []) {
        for (let at = 0; at < all.length; at += 256) deliver(host, index.get(via) ?? fail(), all.slice(at, at + 256))
      }
      schedule(host)
    })
  }
  const answer = (host: number, via: number): void => {
    const question = { requester, kind: 'acknowledgement', run: 1_700_000_000_000n, number: 1_000n } as const
    const isConnected = links[host]?.includes(owner) === true
    gatherers[host]?.ask(question, (isConnected ? requester : peers[via]) ?? fail(), events.nowMs)
    if (isConnected) {
      for (const end of [host, owner]) bytes[end] = (bytes[end] ?? 0) + ACK_BYTES
      ackMessages += 1
      events.after(2 * hopMs(), () => note(host))
      return
    }
    const author = peers[host] ?? fail()
    gatherers[host]?.take(
      { ...question, content: new Uint8Array(), author, signature: new Uint8Array(64) },
      undefined,
      events.nowMs
    )
    schedule(host)
  }
  const take = (host: number, from: number, isGossip: boolean): void => {
    if (isGossip) received += 1
    if (Number.isFinite(hadMs[host])) return
    hadMs[host] = events.nowMs
    if (isAwaited && host !== owner) answer(host, from)
    // With `sent_to_all`, nobody forwards.
    if (!isGossip || isFull) return
    const waitMs = from === owner ? PASS_ON_MIN_MS + random() * PASS_ON_SPREAD_MS : 0
    events.after(waitMs, () => {
      for (const to of forwards[host] ?? []) if (to !== from) send(host, to)
    })
  }
  const send = (from: number, to: number): void => {
    if (random() >= loss) events.after(hopMs(), () => take(to, from, true))
  }
  const synchronise = (host: number): void => {
    events.after(syncMs * (1 - SYNC_JITTER / 2 + random() * SYNC_JITTER), () => {
      if (Number.isFinite(hadMs[host])) return
      const from = links[host]?.[Math.floor(random() * (links[host]?.length ?? 0))] ?? host
      if (Number.isFinite(hadMs[from])) events.after(4 * hopMs(), () => take(host, from, false))
      synchronise(host)
    })
  }
  hadMs[owner] = 0
  for (const to of links[owner] ?? []) send(owner, to)
  for (const host of peers.keys()) if (host !== owner) synchronise(host)
  events.run(15_000)
  const sorted = hadMs.toSorted((a, b) => a - b)
  return {
    p50Ms: sorted[sorted.length >> 1] ?? fail(),
    allMs: sorted.at(-1) ?? fail(),
    copies: received / (peers.length - 1),
    ackedMs,
    ackBytes: bytes[owner] ?? 0,
    ackMessages,
    worstCarriedBytes: Math.max(0, ...bytes.filter((_, host) => host !== owner))
  }
}

/** Bytes of one copy of a gossip message on a connection. */
export function copyBytes(payload: number): number {
  return payload + MESSAGE_BYTES
}

function fail(): never {
  throw new Error('there is no such host')
}
