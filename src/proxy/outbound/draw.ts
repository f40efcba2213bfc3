import type { Candidate } from '../deps.ts'
import { shareOf } from './tiers.ts'

export interface DrawInput {
  /** Connections that an instance has now. */
  readonly activeTo: (registrationId: string) => number
  /** Returns a number in [0, 1). */
  readonly random: () => number
  /** Asked about an instance once it is drawn; one that it refuses is as if it were not there. */
  readonly isAllowed: (instance: Candidate) => boolean
}

/**
 * Draws up to `count` of these instances, in order. Each time two are drawn by their weights, and the second is taken only if one
 * more connection leaves it less busy for its weight than the first is now. So among idle instances the weights alone decide.
 */
export function draw(
  instances: readonly Candidate[],
  count: number,
  { activeTo, random, isAllowed }: DrawInput
): readonly Candidate[] {
  const left = [...instances]
  const order: Candidate[] = []
  let total = left.reduce((sum, one) => sum + shareOf(one), 0)
  while (order.length < count) {
    const one = at(left, random() * total)
    const other = at(left, random() * total)
    const [first, second] = [left[one], left[other]]
    if (first === undefined || second === undefined) break
    const [index, drawn] = isLessBusy(second, first, activeTo) ? [other, second] : [one, first]
    left.splice(index, 1)
    if (isAllowed(drawn)) order.push(drawn)
    total -= shareOf(drawn)
  }
  return order
}

// The index of the instance whose part of the total holds this point.
function at(instances: readonly Candidate[], point: number): number {
  let from = 0
  let index = 0
  for (const one of instances) {
    from += shareOf(one)
    if (point < from) return index
    index += 1
  }
  return instances.length - 1
}

function isLessBusy(other: Candidate, one: Candidate, activeTo: DrawInput['activeTo']): boolean {
  return (activeTo(other.registrationId) + 1) * shareOf(one) <= activeTo(one.registrationId) * shareOf(other)
}
