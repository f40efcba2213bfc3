import { common, includes, type Names, overlap, without } from './names.ts'

/**
 * A set of connections: for each dimension the values that it may have there, and when.
 *
 * Dimensions 0 to 4 are the components of the source, 5 to 9 those of the destination, 10 is the protocol.
 */
export interface Box {
  readonly dimensions: readonly Names[]
  /** Wall milliseconds: from the first until just before the second. */
  readonly fromMs: number
  readonly untilMs: number
}

export const DIMENSIONS = 11
export const SOURCE_SCOPE = 0
export const DESTINATION_SCOPE = 5
export const PROTOCOL = 10

/** What is in both; undefined if nothing is. */
export function intersection(a: Box, b: Box): Box | undefined {
  const fromMs = Math.max(a.fromMs, b.fromMs)
  const untilMs = Math.min(a.untilMs, b.untilMs)
  if (fromMs >= untilMs) return undefined
  const dimensions: Names[] = []
  for (let at = 0; at < DIMENSIONS; at += 1) {
    const [one, other] = [a.dimensions[at], b.dimensions[at]]
    const both = one && other && common(one, other)
    if (both === undefined) return undefined
    dimensions.push(both)
  }
  return { dimensions, fromMs, untilMs }
}

export function meets(a: Box, b: Box): boolean {
  if (Math.max(a.fromMs, b.fromMs) >= Math.min(a.untilMs, b.untilMs)) return false
  for (let at = 0; at < DIMENSIONS; at += 1) {
    if (!overlap(a.dimensions[at] as Names, b.dimensions[at] as Names)) return false
  }
  return true
}

/** Whether all of `inner` is in `outer`. */
export function covers(outer: Box, inner: Box): boolean {
  if (outer.fromMs > inner.fromMs || outer.untilMs < inner.untilMs) return false
  for (let at = 0; at < DIMENSIONS; at += 1) {
    if (!includes(outer.dimensions[at] as Names, inner.dimensions[at] as Names)) return false
  }
  return true
}

/** What is in `a` and not in `b`, which meets it, as boxes that do not meet each other. */
export function difference(a: Box, b: Box): Box[] {
  const pieces: Box[] = []
  const { fromMs, untilMs } = a
  if (fromMs < b.fromMs) pieces.push({ ...a, untilMs: b.fromMs })
  if (untilMs > b.untilMs) pieces.push({ ...a, fromMs: b.untilMs })
  const time = { fromMs: Math.max(fromMs, b.fromMs), untilMs: Math.min(untilMs, b.untilMs) }
  const left = [...a.dimensions]
  for (let at = 0; at < DIMENSIONS; at += 1) {
    const [mine, theirs] = [left[at] as Names, b.dimensions[at] as Names]
    const outside = without(mine, theirs)
    if (outside === undefined) continue
    pieces.push({ ...time, dimensions: left.with(at, outside) })
    left[at] = common(mine, theirs) as Names
  }
  return pieces
}
