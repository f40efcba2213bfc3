import { ErrorCode, WarrenError } from '../core/index.ts'
import { MAX_SKEW_MS } from './limits.ts'

/** An instant by both clocks of a host, in milliseconds. */
export interface Now {
  readonly wallMs: number
  readonly monotonicMs: number
}

/** How long an owner's state is valid without a new head, and how often the owner makes one. Milliseconds. */
export interface Lease {
  readonly refreshMs: number
  readonly leaseMs: number
}

/** One step of a policy: it applies while there are at most `maxOwners` live owners. */
export interface LeaseStep extends Lease {
  readonly maxOwners: number
}

const MARGIN_MS = 5_000

const step = (maxOwners: number, refreshMs: number, leaseMs = 3 * refreshMs + MARGIN_MS): LeaseStep =>
  Object.freeze({ maxOwners, refreshMs, leaseMs })

/**
 * By the number of live owners, so that renewals take at most about 10 KB a second of each host (docs/performance/scale.md), and from
 * 33 hosts on little of an idle host's time. Hosts that end without a goodbye are found by pings, long before a lease ends.
 *
 * A lease outlives three lost refreshes. In the largest meshes it outlives two: programs of the baseline accept no lease of more
 * than ten minutes, and a renewal goes to twenty neighbours at once.
 */
export const DEFAULT_LEASES: readonly LeaseStep[] = Object.freeze([
  step(32, 5_000),
  step(512, 60_000),
  step(1_024, 126_000),
  step(2_048, 195_000),
  step(Number.POSITIVE_INFINITY, 295_000, 598_000)
])

/** Shortest and longest lease that another host's head may ask for, in milliseconds. */
export const MIN_LEASE_MS = 100
export const MAX_LEASE_MS = 600_000

/** Returns `steps` if each lease outlives two refreshes and the steps ascend to infinity. Throws INVALID_OPTION. */
export function checkLeases(steps: readonly LeaseStep[]): readonly LeaseStep[] {
  let previous = 0
  for (const { maxOwners, refreshMs, leaseMs } of steps) {
    if (!(refreshMs > 0) || leaseMs < 2 * refreshMs) {
      throw invalid(`a lease of ${leaseMs} ms is shorter than two refreshes of ${refreshMs} ms`)
    }
    if (leaseMs < MIN_LEASE_MS || leaseMs > MAX_LEASE_MS) {
      throw invalid(`a lease of ${leaseMs} ms is not within ${MIN_LEASE_MS} and ${MAX_LEASE_MS} ms`)
    }
    if (maxOwners <= previous) throw invalid('the steps of the lease policy do not ascend')
    previous = maxOwners
  }
  if (previous !== Number.POSITIVE_INFINITY) throw invalid('the lease policy has no step for the largest mesh')
  return steps
}

/** The lease for a mesh of `owners` live owners. */
export function leaseFor(steps: readonly LeaseStep[], owners: number): Lease {
  const found = steps.find(({ maxOwners }) => owners <= maxOwners) ?? steps.at(-1)
  if (found === undefined) throw invalid('the lease policy is empty')
  return found
}

/**
 * Milliseconds from `now` until a lease ends; zero or less once it has ended.
 *
 * The earlier of two ends counts: one lease after the head was received, by the monotonic clock, and one lease after the owner
 * issued it, plus the clock skew that is accepted. Without the second, a head forwarded from host to host would live for one
 * more lease at each.
 */
export function leaseLeftMs(
  head: { readonly issuedAtMs: number; readonly leaseMs: number },
  receivedMonotonicMs: number,
  now: Now
): number {
  const byReceipt = receivedMonotonicMs + head.leaseMs - now.monotonicMs
  const byIssue = head.issuedAtMs + head.leaseMs + MAX_SKEW_MS - now.wallMs
  return Math.min(byReceipt, byIssue)
}

function invalid(why: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidOption, why, { hint: 'A lease must be at least two times its refresh.' })
}
