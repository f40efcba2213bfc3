import { printable } from './printable.ts'
import { formatWhen } from './quantities.ts'
import type { Column } from './table.ts'

interface Stated {
  readonly by: string
  readonly createdAtMs: bigint
}

/** The columns of who stated something and when, if there is more than one admin. JSON always has both. */
export function byColumns(items: readonly Stated[], nowMs: number): Column<Stated>[] {
  if (items.every(({ by }) => by === '' || by === 'founder')) return []
  return [
    { title: 'BY', value: ({ by }) => printable(by) || '-', rank: 2 },
    { title: 'SINCE', value: ({ createdAtMs }) => formatWhen(Number(createdAtMs), nowMs), rank: 1 }
  ]
}
