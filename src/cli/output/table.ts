import { printable } from './printable.ts'

export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => string
  /** Aligns to the right, for numbers. @default 'left' */
  readonly align?: 'left' | 'right'
}

const GAP = '  '

/** Rows under a line of titles, each column as wide as its widest cell, without trailing blanks. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const cells = rows.map(row => columns.map(column => printable(column.value(row))))
  const widths = columns.map((column, index) =>
    cells.reduce((width, row) => Math.max(width, (row[index] ?? '').length), column.title.length)
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => {
        const width = widths[index] ?? 0
        return columns[index]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width)
      })
      .join(GAP)
      .trimEnd()
  return [line(columns.map(column => column.title)), ...cells.map(line)].join('\n')
}

/** Names and values in two columns. */
export function pairs(rows: ReadonlyArray<readonly [name: string, value: string]>): string {
  const width = rows.reduce((widest, [name]) => Math.max(widest, name.length), 0)
  return rows.map(([name, value]) => `${name.padEnd(width)}${GAP}${printable(value)}`.trimEnd()).join('\n')
}
