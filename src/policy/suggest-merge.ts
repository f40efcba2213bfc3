import type { Protocol } from '../core/index.ts'

/** Two names, each as its components. */
export interface Pair {
  readonly source: readonly string[]
  readonly destination: readonly string[]
  readonly protocol: Protocol
}

/** Patterns of one rule. */
export interface SuggestedPair {
  readonly source: string
  readonly destination: string
  readonly protocols: readonly Protocol[]
}

interface Merged<P extends Pair> extends SuggestedPair {
  /** What it covers. */
  readonly pairs: readonly P[]
}

/** Names of one component that a rule lists: a person has to read them. */
export const MAX_LISTED = 12
/** Below the length that `parsePattern` takes, 1,024, by the braces and commas. */
const MAX_PATTERN_LENGTH = 900

interface Box<P extends Pair> {
  /** For each component of the source, of the destination, and the protocol: sorted names. */
  readonly dimensions: readonly (readonly string[])[]
  readonly pairs: readonly P[]
}

/**
 * Patterns that cover these pairs and nothing else.
 *
 * Two boxes that differ in one component are merged, until no two do: then each is a product of sets that has every one of its
 * points. The number is not the least possible (that is a hard problem), and the same pairs give the same patterns.
 */
export function exactRules<P extends Pair>(pairs: readonly P[]): Merged<P>[] {
  let boxes: readonly Box<P>[] = pairs.map(pair => ({
    dimensions: [...pair.source, ...pair.destination, pair.protocol].map(name => [name]),
    pairs: [pair]
  }))
  const parts = pairs[0] === undefined ? 0 : pairs[0].source.length
  for (let before = Number.POSITIVE_INFINITY; boxes.length < before; ) {
    before = boxes.length
    for (const at of orderOf(parts)) boxes = mergedAt(boxes, at, parts)
  }
  return boxes.map(box => patternsOf(box, parts))
}

/** The protocol first, then the names of workloads, and scopes last: a rule about two scopes is read with more care. */
function orderOf(parts: number): readonly number[] {
  const ends = [0, parts]
  const within = [2, 3, 1, 4, 0].filter(at => at < parts)
  return [2 * parts, ...within.flatMap(at => ends.map(end => end + at))]
}

function mergedAt<P extends Pair>(boxes: readonly Box<P>[], at: number, parts: number): readonly Box<P>[] {
  const groups = Map.groupBy(boxes, ({ dimensions }) => JSON.stringify(dimensions.with(at, [])))
  return [...groups.values()].flatMap(group => joined(group, at, parts))
}

function joined<P extends Pair>(group: readonly Box<P>[], at: number, parts: number): readonly Box<P>[] {
  const done: Box<P>[] = []
  const sorted = group.toSorted((a, b) => ((a.dimensions[at]?.[0] ?? '') < (b.dimensions[at]?.[0] ?? '') ? -1 : 1))
  for (const box of sorted) {
    const last = done.at(-1)
    const names = [...new Set([...(last?.dimensions[at] ?? []), ...(box.dimensions[at] ?? [])])].sort()
    const both = last?.dimensions.with(at, names)
    if (last === undefined || both === undefined || names.length > MAX_LISTED || isTooLong(both, parts)) done.push(box)
    else done[done.length - 1] = { dimensions: both, pairs: [...last.pairs, ...box.pairs] }
  }
  return done
}

function isTooLong(dimensions: readonly (readonly string[])[], parts: number): boolean {
  const length = (some: typeof dimensions): number => some.flat().reduce((sum, name) => sum + name.length + 1, 0)
  return [dimensions.slice(0, parts), dimensions.slice(parts, -1)].some(end => length(end) > MAX_PATTERN_LENGTH)
}

function patternsOf<P extends Pair>({ dimensions, pairs }: Box<P>, parts: number): Merged<P> {
  return {
    source: textOf(dimensions.slice(0, parts)),
    destination: textOf(dimensions.slice(parts, 2 * parts)),
    protocols: (dimensions.at(-1) ?? []) as readonly Protocol[],
    pairs
  }
}

function textOf(components: readonly (readonly string[])[]): string {
  return components.map(names => (names.length === 1 ? names[0] : `{${names.join(',')}}`)).join('.')
}
