import { backoffMs } from '../../src/mesh/dialing/backoff.ts'
import { ADDRESS_DIAL_TIMEOUT_MS, HURRY_SPREAD_MS } from '../../src/mesh/limits.ts'
import { syncMsFor } from '../../src/registry/index.ts'
import { MAX_CHECKS } from './constants.ts'
import { Events } from './events.ts'
import type { Graph } from './graph.ts'

export interface Healing {
  /** After the link is back: until the last host has every change of the other half. Infinity: not within a minute. */
  readonly changesMs: number
  /** Until the last host suspects nobody of the other half any more. */
  readonly answersMs: number
}

/** A SYN that got no answer is repeated after a second, and after two more: Linux, net.ipv4.tcp_syn_retries. */
const SYN_REPEATS_MS = [0, 1_000, 3_000]
/** So many failures that waits have their full length. */
const LONG = 16
/** Messages one way for a connection: TCP, the security handshake, and the streams that follow. */
const CONNECT_HOPS = 6
/** Messages one way for a session of synchronisation that finds much. */
const SYNC_HOPS = 4
const LIMIT_MS = 60_000

/**
 * Two halves, chosen at random, whose link comes back after a long time: packets between them were dropped. Each host dials its
 * neighbours of the other half after waits of their full length. One that reaches one dials the others within a second, checks all of
 * its suspects, and synchronises with whom it is connected; each host also asks a random neighbour now and then.
 */
export function healing(graph: Graph, random: () => number, latencyMs: number): Healing {
  const { links } = graph
  const hosts = links.length
  const events = new Events()
  const hopMs = (): number => latencyMs * (0.5 + random())
  const hopsMs = (count: number): number => Array.from({ length: count }, hopMs).reduce((sum, one) => sum + one, 0)
  const halfOf = halves(hosts, random)
  const across = links.map((all, host) => all.filter(other => halfOf[other] !== halfOf[host]))
  const others = [0, 1].map(half => halfOf.filter(one => one !== half).length)
  const connected = links.map(() => new Set<number>())
  const [hasAll, lookedAtAll, hurried] = [new Uint8Array(hosts), new Uint8Array(hosts), new Uint8Array(hosts)]
  const [done, answers]: [number[], number[]] = [[], []]

  const learn = (host: number): void => {
    if (hasAll[host] === 1) return
    hasAll[host] = 1
    done.push(events.nowMs)
  }
  const lookAtAll = (host: number): void => {
    if (lookedAtAll[host] === 1) return
    lookedAtAll[host] = 1
    // In batches, each with a connection to dial and a ping.
    const batches = Math.ceil((others[halfOf[host] ?? 0] ?? 0) / MAX_CHECKS)
    events.after(hopsMs(batches * (CONNECT_HOPS + 2)), () => answers.push(events.nowMs))
  }
  const connect = (a: number, b: number): void => {
    if (connected[a]?.has(b) === true) return
    connected[a]?.add(b)
    connected[b]?.add(a)
    for (const host of [a, b]) {
      lookAtAll(host)
      events.after(hopsMs(SYNC_HOPS), () => learn(host))
      if (hurried[host] === 1) continue
      hurried[host] = 1
      const lost = (across[host] ?? []).filter(other => connected[host]?.has(other) !== true)
      for (const [at, other] of lost.entries()) dialAfter((HURRY_SPREAD_MS * at) / lost.length, host, other)
    }
  }
  const dialAfter = (waitMs: number, from: number, to: number): void =>
    events.after(waitMs + hopsMs(CONNECT_HOPS), () => connect(from, to))

  for (const [host, all] of across.entries()) {
    for (const other of all) dialAfter(firstDialMs(random), host, other)
    const everyMs = syncMsFor(hosts)
    const ask = (): void => {
      const known = (links[host] ?? []).filter(other => halfOf[other] === halfOf[host] || connected[host]?.has(other))
      const asked = known[Math.floor(random() * known.length)]
      if (asked !== undefined && hasAll[asked] === 1) events.after(hopsMs(SYNC_HOPS), () => learn(host))
      if (hasAll[host] === 0) events.after(everyMs, ask)
    }
    events.after(random() * everyMs, ask)
    // One that has no neighbour there pings its suspects in turn, by connections that it dials.
    events.after(random() * 1_000, () => lookAtAll(host))
  }
  events.run(LIMIT_MS)
  const last = (times: readonly number[]): number =>
    times.length < hosts ? Number.POSITIVE_INFINITY : times.reduce((most, one) => Math.max(most, one), 0)
  return { changesMs: last(done), answersMs: last(answers) }
}

/** When one of the attempts that go on for ever sends its next SYN, from a moment that has nothing to do with them. */
function firstDialMs(random: () => number): number {
  const cycleMs = ADDRESS_DIAL_TIMEOUT_MS + backoffMs(LONG, random())
  const atMs = random() * cycleMs
  const repeat = SYN_REPEATS_MS.find(one => one >= atMs && one < ADDRESS_DIAL_TIMEOUT_MS)
  return repeat === undefined ? cycleMs - atMs : repeat - atMs
}

/** A half for each host. */
function halves(hosts: number, random: () => number): readonly number[] {
  const order = Array.from({ length: hosts }, (_, at) => at)
  for (let at = hosts - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1))
    const [a = 0, b = 0] = [order[at], order[other]]
    order[at] = b
    order[other] = a
  }
  const halfOf = new Array<number>(hosts).fill(0)
  for (const host of order.slice(0, Math.floor(hosts / 2))) halfOf[host] = 1
  return halfOf
}
