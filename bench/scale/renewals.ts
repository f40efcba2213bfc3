import { DEFAULT_LEASES, leaseFor, syncMsFor } from '../../src/registry/index.ts'
import { DIGEST_REQUEST_BYTES, REQUEST_BYTES } from './constants.ts'
import type { Graph } from './graph.ts'

export interface Renewals {
  /** Bytes per second of one host, sent and received. */
  readonly bytesPerSecond: number
  /** Milliseconds until a renewal is with 99 of 100 hosts, and with the last: a lease must be longer. */
  readonly p99Ms: number
  readonly lastMs: number
}

/** Around a head in a response, and the tag and length of each group in a request. */
const HEAD_FRAME_BYTES = 4
const GROUPS_BYTES = 128
/** Periods of refresh that are simulated, and those before that are not counted. */
const PERIODS = 3
const WARM_UP = 2

/**
 * Renewals of a mesh in which hosts compare contents: each owner gives its own to its neighbours, and each host asks a random
 * neighbour now and then for those that it lacks. Simulated host by host; time goes in steps of one synchronisation.
 */
export function renewals({ links }: Graph, headBytes: number, random: () => number): Renewals {
  const hosts = links.length
  const { refreshMs } = leaseFor(DEFAULT_LEASES, hosts)
  const stepMs = syncMsFor(hosts)
  const everySteps = Math.max(1, Math.round((refreshMs * 0.95) / stepMs))
  const held = Array.from({ length: hosts }, () => new Uint16Array(hosts))
  const phase = Array.from({ length: hosts }, () => Math.floor(random() * everySteps))
  const order = Array.from({ length: hosts }, (_, at) => at)
  const ages: number[] = []
  const atStep = Array.from({ length: hosts }, () => 0)
  const steps = everySteps * (PERIODS + WARM_UP)
  let bytes = 0
  for (let step = 0; step < steps; step += 1) {
    const isCounted = step >= everySteps * WARM_UP
    for (let owner = 0; owner < hosts; owner += 1) {
      if (step % everySteps !== phase[owner]) continue
      atStep[owner] = step
      const seq = (held[owner]?.[owner] ?? 0) + 1
      for (const host of [owner, ...(links[owner] ?? [])]) (held[host] as Uint16Array)[owner] = seq
    }
    shuffle(order, random)
    for (const host of order) {
      const neighbours = links[host] ?? []
      const other = neighbours[Math.floor(random() * neighbours.length)]
      if (other === undefined) continue
      const [mine, theirs] = [held[host] as Uint16Array, held[other] as Uint16Array]
      let fetched = 0
      for (let owner = 0; owner < hosts; owner += 1) {
        if ((theirs[owner] as number) <= (mine[owner] as number)) continue
        mine[owner] = theirs[owner] as number
        fetched += 1
        if (isCounted && mine[owner] === held[owner]?.[owner]) ages.push(step - (atStep[owner] as number))
      }
      if (isCounted)
        bytes += REQUEST_BYTES + DIGEST_REQUEST_BYTES + GROUPS_BYTES + hosts + fetched * (headBytes + HEAD_FRAME_BYTES)
    }
  }
  const seconds = (everySteps * PERIODS * stepMs) / 1_000
  const sorted = Float64Array.from(ages).sort()
  const at = (part: number): number => ((sorted[Math.ceil(part * sorted.length) - 1] ?? 0) + 1) * stepMs
  return { bytesPerSecond: (2 * bytes) / hosts / seconds, p99Ms: at(0.99), lastMs: at(1) }
}

function shuffle(list: number[], random: () => number): void {
  for (let at = list.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1))
    const [a = 0, b = 0] = [list[at], list[other]]
    list[at] = b
    list[other] = a
  }
}
