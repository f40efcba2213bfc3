import type { CutKind } from './cut.ts'
import type { FlowTable } from './table.ts'

const FORBIDDEN: ReadonlySet<CutKind> = new Set(['policy', 'trust', 'registration'])

/** Returns what counts the flows of this moment that are cut by then because of what is not allowed any more. */
export function countCuts(flows: Pick<FlowTable, 'those'>): () => number {
  const uncut = flows.those(({ cutBy }) => cutBy === undefined)
  return () => uncut.filter(({ cutBy }) => cutBy !== undefined && FORBIDDEN.has(cutBy.kind)).length
}
