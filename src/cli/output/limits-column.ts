import { formatBytes } from './quantities.ts'
import type { Column } from './table.ts'

export interface Limits {
  readonly maxConnects: number
  readonly maxRate: number
}

/** Limits for people: `5 connections/s, 10.0 MB/s`; empty if there are none. */
export function formatLimits({ maxConnects, maxRate }: Limits): string {
  const connects = maxConnects === 0 ? [] : [`${maxConnects} connections/s`]
  const rate = maxRate === 0 ? [] : [`${formatBytes(maxRate)}/s`]
  return [...connects, ...rate].join(', ')
}

/** A column of limits, only where there are any: most rules and entries have none. */
export function limitsColumn<T extends Limits>(rows: readonly T[]): Column<T>[] {
  if (rows.every(row => formatLimits(row) === '')) return []
  return [{ title: 'LIMITS', value: row => formatLimits(row) || '-' }]
}
