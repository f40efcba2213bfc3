import type { Column } from './table.ts'

interface Owned {
  readonly owner: string
}

/** The column of owners, if one is named. */
export function ownerColumn(items: readonly Owned[]): Column<Owned>[] {
  return items.some(({ owner }) => owner !== '') ? [{ title: 'OWNER', value: ({ owner }) => owner || '-' }] : []
}
