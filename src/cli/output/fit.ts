/** A column as its widths are chosen. */
export interface Measured {
  /** Of its widest cell. */
  readonly width: number
  /** Width of its title. */
  readonly title: number
  /** Whether its cells may be cut: text may, numbers may not. */
  readonly mayCut: boolean
  /** Columns with the lowest number are left out first; undefined: never. */
  readonly rank: number | undefined
}

/** Between two columns. */
export const GAP = '  '
/** A cell is not made narrower than this as long as another column can be left out. */
const READABLE = 16
/** Nor narrower than this at all. */
const NARROWEST = 4

/**
 * The widths of columns on lines of `room`; undefined for a column that is left out.
 *
 * First the widest cells are cut, as long as they stay readable; then whole columns are left out; then cells are cut further.
 */
export function fitColumns(columns: readonly Measured[], room: number): Array<number | undefined> {
  const kept = new Set(columns)
  const floorOf = (column: Measured, floor: number): number =>
    column.mayCut ? Math.min(column.width, Math.max(column.title, floor)) : column.width
  const optional = columns
    .filter(({ rank }) => rank !== undefined)
    .sort((one, other) => (one.rank ?? 0) - (other.rank ?? 0))
  for (const column of optional) {
    if (lineOf([...kept].map(one => floorOf(one, READABLE))) <= room) break
    kept.delete(column)
  }
  const all = [...kept]
  const isReadable = lineOf(all.map(one => floorOf(one, READABLE))) <= room
  const floors = all.map(one => floorOf(one, isReadable ? READABLE : NARROWEST))
  const widths = narrowed(
    all.map(({ width }) => width),
    floors,
    room
  )
  return columns.map(column => (kept.has(column) ? widths[all.indexOf(column)] : undefined))
}

/** `text` in at most `width` columns. A name loses its middle, since both of its ends say something, and a sentence its end. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text
  if (width <= 1) return '…'.slice(0, width)
  if (text.includes(' ')) return `${text.slice(0, width - 1)}…`
  const head = Math.ceil((width - 1) / 2)
  return `${text.slice(0, head)}…${text.slice(text.length - (width - 1 - head))}`
}

// The widest gives first, so that what is short stays whole.
function narrowed(widths: number[], floors: readonly number[], room: number): number[] {
  const now = [...widths]
  for (let excess = lineOf(now) - room; excess > 0; ) {
    const widest = now.reduce(
      (found, width, at) => (width > (floors[at] ?? 0) && width > (now[found] ?? 0) ? at : found),
      first(now, floors)
    )
    const width = now[widest]
    if (widest < 0 || width === undefined) break
    now[widest] = width - 1
    excess -= 1
  }
  return now
}

function first(widths: readonly number[], floors: readonly number[]): number {
  return widths.findIndex((width, at) => width > (floors[at] ?? 0))
}

function lineOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) + GAP.length * Math.max(0, widths.length - 1)
}
