import { SIGN_BYTES_PER_SECOND } from './constants.ts'
import { randomOf } from './events.ts'
import { detection } from './failure.ts'
import { graphOf } from './graph.ts'
import { type Healing, healing } from './heal.ts'
import { gossipSizes } from './sizes.ts'
import { spread } from './spread.ts'
import { steady } from './steady.ts'

export interface ModelOptions {
  readonly hosts: number
  readonly seed: number
  /** One way between two hosts, on average. */
  readonly latencyMs: number
  /** Share of the gossip messages that is lost on one connection. */
  readonly loss: number
  /** Changes of each host. */
  readonly changesPerHour: number
}

/** What the model says of a mesh of one size. Milliseconds, bytes, and bytes per second of one host in both directions. */
export interface Row {
  readonly hosts: number
  readonly connections: { readonly mean: number; readonly max: number }
  readonly change: { readonly p50Ms: number; readonly allMs: number; readonly copies: number }
  readonly waitAll: {
    readonly ms: number
    readonly bytes: number
    readonly messages: number
    readonly worstCarriedBytes: number
  }
  readonly policy: { readonly allMs: number; readonly bytesPerHost: number }
  readonly crash: { readonly p99Ms: number; readonly reached: number }
  readonly vanished: { readonly p99Ms: number; readonly reached: number }
  /** Two halves whose link comes back after a minute or more. */
  readonly heal: Healing
  readonly idleBytesPerSecond: {
    readonly refreshes: number
    readonly sync: number
    readonly signs: number
    readonly all: number
  }
  /** Until a renewal of a lease is with all; undefined where its owner gives it to all. */
  readonly renewalMs?: number | undefined
  readonly churnBytesPerSecond: number
  readonly tookMs: number
}

/** A policy of some dozen rules. */
const POLICY_BYTES = 8_192
/** Owners that are tried; the worst of them counts. */
const TRIES = 5

/** Runs the model for one size. The same options give the same row, but for `tookMs`. */
export function model({ hosts, seed, latencyMs, loss, changesPerHour }: ModelOptions): Row {
  const beganMs = performance.now()
  const random = randomOf(seed)
  const graph = graphOf(hosts, random)
  const degrees = graph.links.map(({ length }) => length)
  const pick = (): number => Math.floor(random() * hosts)
  const worst = <T>(make: () => T, cost: (value: T) => number): T => {
    const all = Array.from({ length: TRIES }, make).sort((a, b) => cost(b) - cost(a))
    const [first] = all
    if (first === undefined) throw new Error('nothing was tried')
    return first
  }
  const common = { random, latencyMs, loss }
  const change = worst(
    () => spread(graph, pick(), { ...common, isAwaited: false }),
    ({ allMs }) => allMs
  )
  const waited = worst(
    () => spread(graph, pick(), { ...common, isAwaited: true }),
    ({ ackBytes }) => ackBytes
  )
  const crash = worst(
    () => detection(graph, pick(), true, random, latencyMs),
    ({ p99Ms }) => p99Ms
  )
  const vanished = worst(
    () => detection(graph, pick(), false, random, latencyMs),
    ({ p99Ms }) => p99Ms
  )
  const heal = worst(
    () => healing(graph, random, latencyMs),
    ({ changesMs }) => changesMs
  )
  const sizes = gossipSizes()
  const { refreshes, sync, churn, renewalMs } = steady(graph, {
    ...sizes,
    copies: change.copies,
    changesPerHour,
    random
  })
  return {
    hosts,
    connections: { mean: degrees.reduce((sum, one) => sum + one, 0) / hosts, max: Math.max(...degrees) },
    change: { p50Ms: change.p50Ms, allMs: change.allMs, copies: change.copies },
    waitAll: {
      ms: waited.ackedMs,
      bytes: waited.ackBytes,
      messages: waited.ackMessages,
      worstCarriedBytes: waited.worstCarriedBytes
    },
    policy: { allMs: change.allMs, bytesPerHost: 2 * change.copies * POLICY_BYTES },
    crash: { p99Ms: crash.p99Ms, reached: crash.reached },
    vanished: { p99Ms: vanished.p99Ms, reached: vanished.reached },
    heal,
    idleBytesPerSecond: {
      refreshes,
      sync,
      signs: SIGN_BYTES_PER_SECOND,
      all: refreshes + sync + SIGN_BYTES_PER_SECOND
    },
    renewalMs,
    churnBytesPerSecond: churn,
    tookMs: performance.now() - beganMs
  }
}
