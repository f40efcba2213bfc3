import { DIAL_PING_MS, NOTIFIED, PING_MS, RELAYED_PING_MS } from './constants.ts'
import { Events } from './events.ts'
import type { Graph } from './graph.ts'

export interface Detection {
  /** Milliseconds until the first host suspects the one that is gone, 99 of 100 do, and all that suspicion gossip reaches. */
  readonly firstMs: number
  readonly p99Ms: number
  readonly lastMs: number
  /** Share of the hosts that suspicion gossip reaches; the rest sees the lease end. */
  readonly reached: number
}

/**
 * How suspicion of one host spreads: a host that suspects it notifies `NOTIFIED` connected hosts, and each of them checks itself.
 *
 * `crashed`: the kernel of its machine refuses connections. Otherwise the machine is gone, and every check waits for a time-out.
 */
export function detection(
  graph: Graph,
  gone: number,
  crashed: boolean,
  random: () => number,
  latencyMs: number
): Detection {
  const { peers, links } = graph
  const events = new Events()
  const suspectedMs = new Array<number>(peers.length).fill(Number.POSITIVE_INFINITY)
  const checking = new Set<number>([gone])
  const hopMs = (): number => latencyMs * (0.5 + random())
  const check = (host: number): void => {
    if (checking.has(host)) return
    checking.add(host)
    const isConnected = links[host]?.includes(gone) === true
    const ownMs = crashed ? 3 * hopMs() : isConnected ? PING_MS : DIAL_PING_MS
    const helpersMs = 2 * hopMs() + (crashed ? 3 * hopMs() : RELAYED_PING_MS)
    events.after(ownMs + helpersMs, () => {
      suspectedMs[host] = events.nowMs
      const others = (links[host] ?? []).filter(other => other !== gone)
      for (let count = 0; count < NOTIFIED && others.length > 0; count += 1) {
        const [to] = others.splice(Math.floor(random() * others.length), 1)
        if (to !== undefined) events.after(2 * hopMs(), () => check(to))
      }
    })
  }
  for (const neighbour of links[gone] ?? []) {
    // The end of a process closes its connections; a machine that is gone is found by its turn among the neighbours.
    const turnMs = random() * 1_000 * (links[neighbour]?.length ?? 1)
    events.after(crashed ? hopMs() : turnMs, () => check(neighbour))
  }
  events.run(60_000)
  const seen = suspectedMs.filter(Number.isFinite).sort((a, b) => a - b)
  const others = peers.length - 1
  return {
    firstMs: seen[0] ?? Number.POSITIVE_INFINITY,
    p99Ms: seen[Math.ceil(0.99 * others) - 1] ?? Number.POSITIVE_INFINITY,
    lastMs: seen.at(-1) ?? Number.POSITIVE_INFINITY,
    reached: seen.length / others
  }
}
