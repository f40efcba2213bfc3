import { CONTENT_SYNC_ABOVE, DEFAULT_LEASES, leaseFor, restingSyncMsFor } from '../../src/registry/index.ts'
import { DIGEST_REQUEST_BYTES, REQUEST_BYTES } from './constants.ts'
import type { Graph } from './graph.ts'
import { renewals } from './renewals.ts'
import { copyBytes } from './spread.ts'

export interface Steady {
  /** Bytes per second of one host, sent and received, by cause. */
  readonly refreshes: number
  readonly sync: number
  /** Milliseconds until a renewal is with all; undefined where its owner gives it to all. */
  readonly renewalMs: number | undefined
  readonly churn: number
}

/**
 * Traffic of one host while nothing but leases is renewed, and what changes of other hosts add. Computed, but for the
 * synchronisation of renewals above the size of the full mesh.
 *
 * A renewal goes to the neighbours of its owner; the others fetch it by synchronisation.
 */
export function steady(
  graph: Graph,
  {
    headBytes,
    changeBytes,
    copies,
    changesPerHour,
    random
  }: { headBytes: number; changeBytes: number; copies: number; changesPerHour: number; random: () => number }
): Steady {
  const { links, peers } = graph
  const hosts = peers.length
  const degree = links.reduce((sum, all) => sum + all.length, 0) / hosts
  const { refreshMs } = leaseFor(DEFAULT_LEASES, hosts)
  const refreshesPerSecond = 1_000 / (refreshMs * 0.95)
  const refreshes = 2 * degree * refreshesPerSecond * copyBytes(headBytes)
  const asked = hosts > CONTENT_SYNC_ABOVE ? renewals(graph, headBytes, random) : undefined
  // Hosts that have all renewals agree. Each host asks, and is asked as often.
  const sync = asked?.bytesPerSecond ?? (2 * 1_000 * (DIGEST_REQUEST_BYTES + REQUEST_BYTES)) / restingSyncMsFor(hosts)
  const churn = 2 * ((hosts * changesPerHour) / 3_600) * copies * copyBytes(changeBytes)
  return { refreshes, sync, churn, renewalMs: asked?.lastMs }
}
