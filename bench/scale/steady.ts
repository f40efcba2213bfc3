import { DEFAULT_LEASES, leaseFor } from '../../src/registry/index.ts'
import { DIGEST_BYTES, DIGEST_REQUEST_BYTES, FETCH_BYTES, GROUPS, REQUEST_BYTES } from './constants.ts'
import type { Graph } from './graph.ts'
import { copyBytes } from './spread.ts'

export interface Steady {
  /** Bytes per second of one host, sent and received, by cause. */
  readonly refreshes: number
  readonly sync: number
  readonly churn: number
}

const SYNC_PER_SECOND = 1 / 1.5

/**
 * Traffic of one host while nothing but leases is renewed, and what changes of other hosts add. Computed, not simulated.
 *
 * A renewal goes to the neighbours of its owner; the others fetch it by synchronisation, whose digest lists all owners of the
 * groups that differ.
 */
export function steady(
  { links, peers, isFull }: Graph,
  {
    headBytes,
    changeBytes,
    copies,
    changesPerHour
  }: { headBytes: number; changeBytes: number; copies: number; changesPerHour: number }
): Steady {
  const hosts = peers.length
  const degree = links.reduce((sum, all) => sum + all.length, 0) / hosts
  const { refreshMs } = leaseFor(DEFAULT_LEASES, hosts)
  const refreshesPerSecond = 1_000 / (refreshMs * 0.95)
  const refreshes = 2 * degree * refreshesPerSecond * copyBytes(headBytes)
  // Renewals that one of two hosts in a session has, and the other has not: those of about a session's time.
  const fetched = isFull ? 0 : ((hosts - degree) * refreshesPerSecond) / SYNC_PER_SECOND
  const differing = GROUPS * (1 - Math.exp((-2 * fetched) / GROUPS))
  const digest = DIGEST_REQUEST_BYTES + REQUEST_BYTES + (differing / GROUPS) * hosts * DIGEST_BYTES
  // Each host asks, and is asked as often.
  const sync = 2 * SYNC_PER_SECOND * (digest + fetched * (headBytes + FETCH_BYTES))
  const churn = 2 * ((hosts * changesPerHour) / 3_600) * copies * copyBytes(changeBytes)
  return { refreshes, sync, churn }
}
