import type { Candidate } from '../deps.ts'
import { poolsFor } from './balance.ts'
import { type Pool, shareOf, type Tier, tierOf } from './tiers.ts'

/** What one instance gets of the new connections of this host, while all are idle. */
export interface InstanceShare<C extends Candidate> {
  readonly instance: C
  readonly tier: Tier
  /** From 0 to 1. All shares together are 1, unless none is ready. */
  readonly share: number
}

/** The shares of these instances by `balanced`, in their order. */
export function sharesOf<C extends Candidate>(candidates: readonly C[], zone: string | undefined): InstanceShare<C>[] {
  const { weighted, reserve } = poolsFor({ candidates, strategy: 'balanced', zone })
  const shares = new Map<Candidate, number>()
  const pools: readonly Pool[] = weighted.length > 0 ? weighted : reserve.slice(0, 1)
  let left = 1
  for (const [index, { ready, stays }] of pools.entries()) {
    const here = index === pools.length - 1 ? left : left * stays
    const total = ready.reduce((sum, one) => sum + shareOf(one), 0)
    for (const one of ready) shares.set(one, (here * shareOf(one)) / total)
    left -= here
  }
  return candidates.map(instance => ({ instance, tier: tierOf(instance, zone), share: shares.get(instance) ?? 0 }))
}
