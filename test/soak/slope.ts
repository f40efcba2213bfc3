/** A measure at a time. */
export interface Point {
  readonly atMs: number
  readonly value: number
}

/** How a measure grows: the median of the slopes between all pairs of points (Theil and Sen), which single outliers do not move. */
export interface Growth {
  readonly perMinute: number
  /** What that makes over the time between the first and the last point. */
  readonly total: number
  readonly points: number
}

const MIN_POINTS = 4
const MINUTE_MS = 60_000

/** The growth after the first third of the time, in which an agent warms up. Undefined if too few points are left. */
export function growthOf(points: readonly Point[]): Growth | undefined {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined) return undefined
  const fromMs = first.atMs + (last.atMs - first.atMs) / 3
  const warm = points.filter(({ atMs }) => atMs >= fromMs)
  if (warm.length < MIN_POINTS) return undefined
  const slopes: number[] = []
  for (const [index, a] of warm.entries()) {
    for (const b of warm.slice(index + 1)) {
      if (b.atMs > a.atMs) slopes.push((b.value - a.value) / (b.atMs - a.atMs))
    }
  }
  slopes.sort((a, b) => a - b)
  const perMs = slopes[Math.floor(slopes.length / 2)] ?? 0
  const spanMs = last.atMs - (warm[0]?.atMs ?? last.atMs)
  return { perMinute: perMs * MINUTE_MS, total: perMs * spanMs, points: warm.length }
}
