import type { Carrier, Path } from '../carriers/index.ts'

/**
 * Which carriers the flows of a session on `path` may move to: better ones on TCP. Undefined if to none, since they are well where
 * they are, or there is no such carrier.
 *
 * A flow on TCP stays there, unless a third host carries its bytes. It never moves to a worse carrier, or to one of the same rank:
 * there it would stay for good.
 */
export function betterCarriers(
  all: readonly Carrier[],
  carrier: Pick<Carrier, 'rank' | 'isDetour'>,
  { allows }: Path
): ((one: Carrier) => boolean) | undefined {
  const isBetter = (one: Carrier): boolean => one.allows.fastPath && one.rank < carrier.rank
  const isWell = allows.fastPath && carrier.isDetour !== true
  return isWell || !all.some(isBetter) ? undefined : isBetter
}
