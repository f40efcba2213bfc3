import { posix } from 'node:path'
import type { Violation } from './layering.ts'
import type { ModuleFacts } from './read.ts'

/** Files of a subfolder from which on it has an index.ts. */
export const FILES_WITHOUT_INDEX = 5

/** A longer file holds more than one concept. */
export const MOST_LINES = 300

/** One import between two subfolders of the same folder. */
interface Arrow {
  readonly file: string
  readonly line: number
}

/** Arrows by parent folder, importing subfolder and imported subfolder. */
type Arrows = Map<string, Map<string, Map<string, Arrow>>>

/**
 * Every import that closes a circle between two subfolders of the same folder, at whatever depth.
 *
 * A subfolder may use the files that its parent folder keeps for all of them; circles between single files are the linter's.
 */
export function circles(modules: readonly ModuleFacts[]): Violation[] {
  const violations: Violation[] = []
  for (const [parent, graph] of arrowsOf(modules)) {
    for (const [from, targets] of graph) {
      for (const [to, arrow] of targets) {
        const back = wayBack(graph, to, from)
        if (back === undefined) continue
        const text = `closes a circle in ${parent}: ${[from, ...back].join(' → ')}`
        violations.push({ ...arrow, text })
      }
    }
  }
  return violations
}

/** Every subfolder of a room that has many files and no index.ts. */
export function withoutIndex(modules: readonly ModuleFacts[]): Violation[] {
  const files = new Map<string, string[]>()
  for (const { file } of modules.filter(isHandWritten)) {
    const folder = posix.dirname(file)
    files.set(folder, [...(files.get(folder) ?? []), posix.basename(file)])
  }
  return [...files].flatMap(([folder, names]) => {
    const isRoom = folder.split('/').length <= 2
    if (isRoom || names.length <= FILES_WITHOUT_INDEX || names.includes('index.ts')) return []
    return [{ file: folder, line: 1, text: `has ${names.length} files and no index.ts` }]
  })
}

/** The room that joins all others, and the lines that it may have: what does more than join has a room of its own. */
export const ASSEMBLY = { room: 'src/agent/', mostLines: 2_000 } as const

/** The room of assembly, if it has grown beyond its bound. */
export function overgrown(modules: readonly ModuleFacts[]): Violation[] {
  const { room, mostLines } = ASSEMBLY
  const lines = modules.filter(({ file }) => file.startsWith(room)).reduce((sum, module) => sum + module.lines, 0)
  return lines > mostLines ? [{ file: room, line: 1, text: `has ${lines} lines, more than ${mostLines}` }] : []
}

/** Every file that is written by hand and has more lines than a reader takes in as one concept. */
export function tooLong(modules: readonly ModuleFacts[]): Violation[] {
  return modules
    .filter(module => isHandWritten(module) && module.lines > MOST_LINES)
    .map(({ file, lines }) => ({ file, line: lines, text: `has ${lines} lines, more than ${MOST_LINES}` }))
}

function arrowsOf(modules: readonly ModuleFacts[]): Arrows {
  const arrows: Arrows = new Map()
  for (const module of modules.filter(isHandWritten)) {
    for (const { specifier, line } of module.imports) {
      if (specifier?.startsWith('.') !== true) continue
      const fork = forkOf(module.file, posix.join(posix.dirname(module.file), specifier))
      if (fork === undefined) continue
      const graph = getOrMake(arrows, fork.parent, () => new Map<string, Map<string, Arrow>>())
      const targets = getOrMake(graph, fork.from, () => new Map<string, Arrow>())
      if (!targets.has(fork.to)) targets.set(fork.to, { file: module.file, line })
    }
  }
  return arrows
}

/** The folder at which the paths of two files part, if they part at two different subfolders. */
function forkOf(file: string, target: string): { parent: string; from: string; to: string } | undefined {
  const [from, to] = [file.split('/'), target.split('/')]
  let depth = 0
  while (depth < from.length && from[depth] === to[depth]) depth += 1
  const [here, there] = [from[depth], to[depth]]
  const inSubfolders = depth < from.length - 1 && depth < to.length - 1
  if (!inSubfolders || here === undefined || there === undefined) return undefined
  return { parent: from.slice(0, depth).join('/'), from: here, to: there }
}

function wayBack(
  graph: ReadonlyMap<string, ReadonlyMap<string, Arrow>>,
  from: string,
  to: string
): string[] | undefined {
  const seen = new Set<string>()
  const search = (at: string): string[] | undefined => {
    if (at === to) return [at]
    if (seen.has(at)) return undefined
    seen.add(at)
    for (const next of graph.get(at)?.keys() ?? []) {
      const rest = search(next)
      if (rest !== undefined) return [at, ...rest]
    }
    return undefined
  }
  return search(from)
}

function isHandWritten({ file }: ModuleFacts): boolean {
  return file.startsWith('src/') && !file.startsWith('src/wire/gen/')
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}
