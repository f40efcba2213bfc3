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
}

/**
 * Returns the order in which instances are tried. Failing and draining ones are left out, and those whose host does not
 * answer.
 */
export function tryOrder(input: TryOrderInput): Candidate[] {
  const { candidates, strategy, source, random = Math.random } = input
  if (candidates.length < 2) return candidates.filter(isReady)
  switch (strategy) {
    case 'balanced':
    case 'spread': {
      const drawn = (pool: readonly Candidate[], count: number) => draw(pool, count, { ...input, random })
      return ordered(poolsFor(input), random, drawn)
    }
    case 'first': {
      const ready = sortedBy(candidates.filter(isReady), nameOf)
      return [...ready.filter(one => one.weight > 0), ...ready.filter(one => one.weight === 0)].slice(0, MAX_ATTEMPTS)
    }
    case 'sticky': {
      const name = formatAddress(source)
      const near = (pool: readonly Candidate[], count: number) =>
        sortedBy(pool, one => distanceOf(name, one)).slice(0, count)
      return ordered(poolsFor(input), () => fractionOf(name), near)
    }
    case 'exact':
      return sortedBy(candidates.filter(isReady), nameOf).slice(0, 1)
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
