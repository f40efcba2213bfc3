import { cut, fitColumns, GAP } from './fit.ts'
import { type Layout, layoutNow } from './layout.ts'
import { printable } from './printable.ts'
import { type Tone, toned } from './tone.ts'

/** Behind the titles, where columns are left out. */
const MORE = ' …'

export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => string
  /** Aligns to the right, for numbers, which are never cut. @default 'left' */
  readonly align?: 'left' | 'right'
  /** Never cut: half of it is of no use. @default false */
  readonly whole?: boolean
  /** Shown with --wide only. @default always */
  readonly wide?: boolean
  /** Where not all columns fit, those with the lowest number are left out first. @default it is never left out */
  readonly rank?: number
  /** @default no colour */
  readonly tone?: (row: T) => Tone | undefined
}

/**
 * Rows under a line of titles, each column as wide as its widest cell, without trailing blanks.
 *
 * In a terminal no line is longer than the terminal is wide.
 */
export function table<T>(all: readonly Column<T>[], rows: readonly T[], layout: Layout = layoutNow()): string {
  const columns = all.filter(({ wide }) => wide !== true || layout.wide)
  const cells = rows.map(row => columns.map(column => printable(column.value(row))))
  const natural = columns.map((column, index) =>
    cells.reduce((width, row) => Math.max(width, (row[index] ?? '').length), column.title.length)
  )
  const widths = layout.columns === undefined ? natural : fitted(columns, natural, layout.columns)
  const line = (row: readonly string[], toneOf: (column: Column<T>) => Tone | undefined): string => {
    const shown = columns.flatMap((column, index) => {
      const width = widths[index]
      if (width === undefined) return []
      const text = cut(row[index] ?? '', width)
      const blank = ' '.repeat(width - text.length)
      const cell = toned(text, toneOf(column), layout.color)
      return [column.align === 'right' ? blank + cell : cell + blank]
    })
    return shown.join(GAP).trimEnd()
  }
  const title = line(
    columns.map(column => column.title),
    () => 'title'
  )
  const more = widths.includes(undefined) ? MORE : ''
  return [title + more, ...rows.map((row, at) => line(cells[at] ?? [], column => column.tone?.(row)))].join('\n')
}

/** Names and values in two columns. An alarm has its colour. */
export function pairs(rows: ReadonlyArray<readonly [name: string, value: string]>, layout = layoutNow()): string {
  const width = rows.reduce((widest, [name]) => Math.max(widest, name.length), 0)
  return rows
    .map(([name, value]) => {
      const tone = TONES[name]
      return `${toned(name, tone, layout.color)}${' '.repeat(width - name.length)}${GAP}${printable(value)}`.trimEnd()
    })
    .join('\n')
}

const TONES: Readonly<Record<string, Tone>> = { ALARM: 'bad', WAITING: 'warning' }

function fitted<T>(columns: readonly Column<T>[], natural: readonly number[], room: number): Array<number | undefined> {
  const measured = columns.map(({ title, align, whole, rank }, index) => ({
    width: natural[index] ?? 0,
    title: title.length,
    mayCut: align !== 'right' && whole !== true,
    rank
  }))
  const widths = fitColumns(measured, room)
  // Room for the sign that some are left out.
  return widths.includes(undefined) ? fitColumns(measured, room - MORE.length) : widths
}
