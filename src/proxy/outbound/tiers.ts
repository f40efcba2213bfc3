import { ZONE_LABEL } from '../../core/index.ts'
import type { Candidate } from '../deps.ts'

/** How near an instance is: on this host, in the zone of this host, or anywhere else. */
export type Tier = (typeof TIERS)[number]

const TIERS = ['host', 'zone', 'other'] as const

/** Below this share of its weight that serves, a zone hands the missing part of its connections to the others. */
const FULL_FROM = 0.7

/** Without a zone of this host, nothing is in it. */
export function tierOf({ local, labels }: Pick<Candidate, 'local' | 'labels'>, zone: string | undefined): Tier {
  if (local) return 'host'
  return zone !== undefined && labels[ZONE_LABEL] === zone ? 'zone' : 'other'
}

/** Ready instances between which connections are shared out by weight. */
export interface Pool {
  readonly tier: Tier
  readonly ready: readonly Candidate[]
  /** The share of its connections that stays here while there is a further pool. */
  readonly stays: number
  /** All stay, whichever instances of it may be reached. */
  readonly isWhole: boolean
}

export interface Pools {
  /** From near to far; none is empty. */
  readonly weighted: readonly Pool[]
  /** Those of weight zero, from near to far: for connections that no other instance takes. */
  readonly reserve: readonly Pool[]
}

/**
 * Groups the ready ones among these instances by how near they are.
 *
 * A host keeps its connections as long as one instance there is ready, since they need no network. A zone keeps all of them while 70 %
 * of its weight is ready, and then the part of that: else the few that are left would get the load of all.
 */
export function poolsOf(
  candidates: readonly Candidate[],
  tierOf: (candidate: Candidate) => Tier,
  isReady: (candidate: Candidate) => boolean
): Pools {
  const weighted = new Tiers()
  const reserve = new Tiers()
  for (const candidate of candidates) {
    const tiers = candidate.weight === 0 ? reserve : weighted
    tiers.of(tierOf(candidate)).add(candidate, isReady(candidate))
  }
  return { weighted: weighted.pools(), reserve: reserve.pools() }
}

class Tiers {
  readonly #tiers = { host: new Members(), zone: new Members(), other: new Members() }

  of(tier: Tier): Members {
    return this.#tiers[tier]
  }

  pools(): Pool[] {
    return TIERS.flatMap((tier): Pool[] => {
      const { ready, readyWeight, weight } = this.#tiers[tier]
      if (ready.length === 0) return []
      if (tier !== 'zone') return [{ tier, ready, stays: 1, isWhole: true }]
      return [{ tier, ready, stays: Math.min(1, readyWeight / weight / FULL_FROM), isWhole: readyWeight === weight }]
    })
  }
}

class Members {
  readonly ready: Candidate[] = []
  weight = 0
  readyWeight = 0

  add(candidate: Candidate, isReady: boolean): void {
    const weight = shareOf(candidate)
    this.weight += weight
    if (!isReady) return
    this.readyWeight += weight
    this.ready.push(candidate)
  }
}

/** Its weight among the members of one pool: those of weight zero are equal among themselves. */
export function shareOf({ weight }: Pick<Candidate, 'weight'>): number {
  return Math.max(1, weight)
}
