import { createHash } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type Address, formatAddress, namesOf, type Pattern } from '../../identity/index.ts'
import type { Candidate } from '../deps.ts'

/** Maximum of instances that are tried for one connection. */
const MAX_ATTEMPTS = 5

/**
 * Selects the instance for a connection.
 *
 * - balanced: one of this host; then, again and again, the less busy of two drawn at random.
 * - first: by address, the same order for every source; the others stand by.
 * - sticky: the same one for the same source address as long as it serves; one of this host before all others.
 * - exact: the one that a full address names; one attempt.
 */
export type Strategy = 'balanced' | 'first' | 'sticky' | 'exact'

export interface TryOrderInput {
  readonly candidates: readonly Candidate[]
  readonly strategy: Strategy
  readonly source: Address
  readonly activeTo: (registrationId: string) => number
  /** Returns a number in [0, 1). @default Math.random */
  readonly random?: () => number
}

/**
 * Returns the order in which instances are tried. Failing and draining ones are left out, and those whose host does not
 * answer.
 */
export function tryOrder({ candidates, strategy, source, activeTo, random = Math.random }: TryOrderInput): Candidate[] {
  const ready = candidates.filter(candidate => ineligibleReason(candidate) === undefined)
  if (ready.length < 2) return ready
  switch (strategy) {
    case 'balanced': {
      const here = draw(hereOf(ready), activeTo, random)
      return [...here, ...draw(elsewhereOf(ready), activeTo, random)].slice(0, MAX_ATTEMPTS)
    }
    case 'first':
      return sortedBy(ready, nameOf).slice(0, MAX_ATTEMPTS)
    case 'sticky': {
      const name = formatAddress(source)
      const weight = (candidate: Candidate): string => weightOf(name, candidate)
      return [...sortedBy(hereOf(ready), weight), ...sortedBy(elsewhereOf(ready), weight)].slice(0, MAX_ATTEMPTS)
    }
    case 'exact':
      return sortedBy(ready, nameOf).slice(0, 1)
  }
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

const hereOf = (pool: readonly Candidate[]): Candidate[] => pool.filter(one => one.local)
const elsewhereOf = (pool: readonly Candidate[]): Candidate[] => pool.filter(one => !one.local)

function nameOf({ address, registrationId }: Candidate): string {
  return `${formatAddress(address)} ${registrationId}`
}

// Rendezvous hashing: an instance that appears or disappears moves only the sources that it gains or loses. It uses the
// address and not the registration id, so that the restart of a server moves no source for good.
function weightOf(source: string, { address, registrationId }: Candidate): string {
  const hash = createHash('sha256')
    .update(`${source} ${formatAddress(address)}`)
    .digest('hex')
  return `${hash} ${registrationId}`
}

function sortedBy(pool: readonly Candidate[], keyOf: (candidate: Candidate) => string): Candidate[] {
  return pool
    .map(candidate => ({ candidate, key: keyOf(candidate) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ candidate }) => candidate)
}

function draw(pool: readonly Candidate[], activeTo: (id: string) => number, random: () => number): Candidate[] {
  const left = [...pool]
  const order: Candidate[] = []
  // Only as many are drawn as are tried.
  while (left.length > 0 && order.length < MAX_ATTEMPTS) {
    const one = Math.floor(random() * left.length)
    const other = Math.floor(random() * left.length)
    const busy = (index: number): number => activeTo(left[index]?.registrationId ?? '')
    order.push(...left.splice(busy(other) < busy(one) ? other : one, 1))
  }
  return order
}
