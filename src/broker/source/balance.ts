import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Candidate } from '../deps.ts'

/** Instances that are tried for one connection. */
const MAX_ATTEMPTS = 5

/**
 * The order in which instances are tried: one of this host first; then, again and again, the less busy of two drawn at
 * random. Failing and draining ones are left out, and those whose host does not answer.
 */
export function tryOrder(
  candidates: readonly Candidate[],
  activeTo: (registrationId: string) => number,
  random: () => number = Math.random
): Candidate[] {
  const healthy = candidates.filter(one => one.health === 'passing' && !one.draining)
  const here = draw(
    healthy.filter(one => one.local),
    activeTo,
    random
  )
  const elsewhere = draw(
    healthy.filter(one => !one.local && !one.suspect),
    activeTo,
    random
  )
  return [...here, ...elsewhere].slice(0, MAX_ATTEMPTS)
}

/** The error for an empty order. */
export function noneHealthy(): WarrenError {
  return new WarrenError(
    ErrorCode.DestinationUnreachable,
    'every instance is failing, draining, or on a host that does not answer'
  )
}

function draw(pool: readonly Candidate[], activeTo: (id: string) => number, random: () => number): Candidate[] {
  const left = [...pool]
  const order: Candidate[] = []
  // More than are tried need not be drawn.
  while (left.length > 0 && order.length < MAX_ATTEMPTS) {
    const one = Math.floor(random() * left.length)
    const other = Math.floor(random() * left.length)
    const busy = (index: number): number => activeTo(left[index]?.registrationId ?? '')
    order.push(...left.splice(busy(other) < busy(one) ? other : one, 1))
  }
  return order
}
