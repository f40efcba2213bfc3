import { hash } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type Address, formatAddress, namesOf, type Pattern } from '../../identity/index.ts'
import type { Candidate } from '../deps.ts'
import { draw } from './draw.ts'
import { type Pool, type Pools, poolsOf, shareOf, type Tier, tierOf } from './tiers.ts'

/** Maximum of instances that are tried for one connection. */
const MAX_ATTEMPTS = 5

/**
 * Selects the instance for a connection.
 *
 * - balanced: the nearest ones first; among those, again and again, the less busy of two drawn at random by their weights.
 * - spread: as balanced, wherever they are.
 * - first: by address, the same order for every source; the others stand by.
 * - sticky: the same one for the same source address as long as it serves; the nearest ones before all others.
 * - exact: the one that a full address names; one attempt.
 *
 * An instance of weight zero comes after all others.
 */
export type Strategy = 'balanced' | 'spread' | 'first' | 'sticky' | 'exact'

export interface TryOrderInput {
  readonly candidates: readonly Candidate[]
  readonly strategy: Strategy
  readonly source: Address
  /** Zone of this host. @default none */
  readonly zone?: string | undefined
  readonly activeTo: (registrationId: string) => number
  /** Returns a number in [0, 1). @default Math.random */
  readonly random?: () => number
  /**
   * Whether the source may reach an instance. The order is that of those that it may, as if there were no others; few of a large
   * group are asked about. @default all
   */
  readonly isAllowed?: (candidate: Candidate) => boolean
}

/**
 * Returns the order in which instances are tried. Failing and draining ones are left out, and those whose host does not
 * answer.
 */
export function tryOrder(input: TryOrderInput): Candidate[] {
  const { candidates, strategy, source, random = Math.random, isAllowed = () => true } = input
  const [only] = candidates
  // Whatever the strategy. Most services have one instance, and each connection comes here.
  if (only !== undefined && candidates.length === 1) return isReady(only) && isAllowed(only) ? [only] : []
  const inOrder = (pool: readonly Candidate[], count: number) => firstOf(pool, count, isAllowed)
  switch (strategy) {
    case 'balanced':
    case 'spread': {
      const drawn = (pool: readonly Candidate[], count: number) =>
        draw(pool, count, { activeTo: input.activeTo, random, isAllowed })
      return ordered(poolsOfAllowed(input), random, drawn)
    }
    case 'first': {
      const ready = sortedBy(candidates.filter(isReady), nameOf)
      return inOrder([...ready.filter(one => one.weight > 0), ...ready.filter(one => one.weight === 0)], MAX_ATTEMPTS)
    }
    case 'sticky': {
      const name = formatAddress(source)
      const nearest = (pool: readonly Candidate[], count: number) =>
        inOrder(
          sortedBy(pool, one => distanceOf(name, one)),
          count
        )
      return ordered(poolsOfAllowed(input), () => fractionOf(name), nearest)
    }
    case 'exact':
      return inOrder(sortedBy(candidates.filter(isReady), nameOf), 1)
  }
}

/** The pools from which a connection of this strategy is drawn. */
export function poolsFor({
  candidates,
  strategy,
  zone
}: Pick<TryOrderInput, 'candidates' | 'strategy' | 'zone'>): Pools {
  const tier = strategy === 'spread' ? (): Tier => 'other' : (one: Candidate): Tier => tierOf(one, zone)
  return poolsOf(candidates, tier, isReady)
}

// How much a zone hands on depends on the instances that the source may reach, and on no others: where anything is handed on, all are
// asked about.
function poolsOfAllowed(input: TryOrderInput): Pools {
  const pools = poolsFor(input)
  const { candidates, isAllowed } = input
  if (isAllowed === undefined || pools.weighted.every(({ isWhole }) => isWhole)) return pools
  return poolsFor({ ...input, candidates: candidates.filter(isAllowed) })
}

function firstOf(pool: readonly Candidate[], count: number, isAllowed: (candidate: Candidate) => boolean): Candidate[] {
  const order: Candidate[] = []
  for (const candidate of pool) {
    if (order.length === count) break
    if (isAllowed(candidate)) order.push(candidate)
  }
  return order
}

function isReady(candidate: Candidate): boolean {
  return ineligibleReason(candidate) === undefined
}

/** Throws INVALID_ARGUMENT if the strategy needs more than the destination specifies. */
export function requireFits(strategy: Strategy, destination: Pattern): void {
  if (strategy !== 'exact') return
  const names = namesOf(destination)
  if (names.length === 5 && names.every(name => name !== undefined)) return
  throw new WarrenError(ErrorCode.InvalidArgument, `${destination.text} may be several instances`, {
    hint: 'Strategy exact takes an address of five names, the last one the machine.'
  })
}

/** Why an instance is not tried; undefined if it is. */
export function ineligibleReason({ health, draining, local, suspect }: Candidate): string | undefined {
  if (health !== 'passing') return health
  if (draining) return 'draining'
  return suspect && !local ? 'on a host that does not answer' : undefined
}

// The pools in the order of one connection, and in each of them its own order; only as many as are tried.
function ordered(
  { weighted, reserve }: Pools,
  random: () => number,
  pick: (pool: readonly Candidate[], count: number) => readonly Candidate[]
): Candidate[] {
  const left = [...weighted]
  const last: Pool[] = []
  while (left.length > 1 && left[0] !== undefined && left[0].stays < 1 && random() >= left[0].stays) {
    last.push(...left.splice(0, 1))
  }
  const order: Candidate[] = []
  for (const { ready } of [...left, ...last, ...reserve]) {
    if (order.length < MAX_ATTEMPTS) order.push(...pick(ready, MAX_ATTEMPTS - order.length))
  }
  return order
}

function nameOf({ address, registrationId }: Candidate): string {
  return `${formatAddress(address)} ${registrationId}`
}

// Weighted rendezvous hashing: an instance that appears, disappears or changes its weight moves only the sources that it gains or
// loses. It uses the address and not the registration id, so that the restart of a server moves no source for good.
function distanceOf(source: string, candidate: Candidate): number {
  return -Math.log1p(-fractionOf(`${source} ${formatAddress(candidate.address)}`)) / shareOf(candidate)
}

// A number in [0, 1), the same for the same text.
function fractionOf(text: string): number {
  return hash('sha256', text, 'buffer').readUIntBE(0, 6) / 2 ** 48
}

function sortedBy<K extends string | number>(
  pool: readonly Candidate[],
  keyOf: (candidate: Candidate) => K
): Candidate[] {
  return pool
    .map(candidate => ({ candidate, key: keyOf(candidate) }))
    .sort((a, b) => compare(a.key, b.key) || compare(a.candidate.registrationId, b.candidate.registrationId))
    .map(({ candidate }) => candidate)
}

function compare<K extends string | number>(a: K, b: K): number {
  return a < b ? -1 : a > b ? 1 : 0
}
