import type { Layer } from '../imports/layers.ts'

/** One box of the picture. */
export interface Room {
  readonly name: string
  readonly knows: string
  /** Rows from the top: a room is above every room that it imports. */
  readonly row: number
  /** The rooms it imports that are not implied by another one that it imports. */
  readonly imports: readonly string[]
}

/** The rooms of src/ with their rows, from the rules that the import checker enforces. */
export function roomsOf(layers: Readonly<Record<string, Layer>>): Room[] {
  const heights = new Map<string, number>()
  const height = (name: string): number => {
    const known = heights.get(name)
    if (known !== undefined) return known
    const found = 1 + Math.max(-1, ...importsOf(layers, name).map(height))
    heights.set(name, found)
    return found
  }
  const top = Math.max(...Object.keys(layers).map(height))
  return Object.entries(layers).map(([name, { knows }]) => ({
    name,
    knows,
    row: top - height(name),
    imports: withoutImplied(layers, name)
  }))
}

function importsOf(layers: Readonly<Record<string, Layer>>, name: string): readonly string[] {
  const layer = layers[name]
  if (layer === undefined) throw new Error(`no room ${name}`)
  return [...layer.mayImport, ...(layer.typesOf ?? []), ...new Set(Object.values(layer.lazily ?? {}).flat())]
}

function withoutImplied(layers: Readonly<Record<string, Layer>>, name: string): string[] {
  const direct = importsOf(layers, name)
  const reached = (from: string): Set<string> => {
    const all = new Set<string>()
    for (const next of importsOf(layers, from)) for (const one of [next, ...reached(next)]) all.add(one)
    return all
  }
  const implied = new Set(direct.flatMap(one => [...reached(one)]))
  return direct.filter(one => !implied.has(one))
}
