import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import type { Fault, Place } from './place.ts'

type Path = readonly PropertyKey[]

/** A file of the configuration, read as YAML. */
export interface Parsed {
  /** Undefined if there are faults; an empty file is an empty object. */
  readonly value: unknown
  readonly faults: readonly Fault[]
  /** Where a value stands, or what contains it if it is missing. */
  readonly placeOf: (path: Path) => Place
  /** Where a key stands. */
  readonly placeOfKey: (path: Path, key: string) => Place
}

/** Aliases make a value of many of its parts; more than this is an attack. */
const MAX_ALIASES = 100
const HINT = 'Correct the YAML of this line: quotes, colons and the columns in which keys begin.'

/** Never throws. `file` is for the places. */
export function parseYaml(file: string, text: string): Parsed {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const placeOf = (path: Path): Place => at(startOf(nodeAt(document, path)) ?? 0)
  const places = {
    placeOf,
    placeOfKey: (path: Path, key: string): Place =>
      at(startOf(keyAt(nodeAt(document, path), key)) ?? placeOffset(document, path))
  }
  const faults = document.errors.map(
    ({ pos, code, message }): Fault => ({
      ...at(pos[0]),
      ...(code === 'MULTIPLE_DOCS'
        ? { text: 'more than one document', hint: 'Remove the line "---" between them.' }
        : { text: `not YAML: ${firstLine(message)}`, hint: HINT })
    })
  )
  if (faults.length > 0) return { ...places, value: undefined, faults }
  try {
    return { ...places, value: document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {}, faults: [] }
  } catch (err) {
    const text = `not YAML: ${firstLine(err instanceof Error ? err.message : String(err))}`
    return { ...places, value: undefined, faults: [{ ...at(0), text, hint: 'Write the values out, without aliases.' }] }
  }
}

function placeOffset(document: Document, path: Path): number {
  return startOf(nodeAt(document, path)) ?? 0
}

/** The node of a path, or of the nearest one above it that exists. */
function nodeAt(document: Document, path: Path): Node | undefined {
  for (let length = path.length; length >= 0; length--) {
    const part = path.slice(0, length)
    const found: unknown = part.length === 0 ? document.contents : document.getIn(part, true)
    if (isNode(found)) return found
    // A key without a value.
    const key = keyAt(document.getIn(path.slice(0, length - 1), true), String(path[length - 1]))
    if (length > 0 && key !== undefined) return key
  }
  return undefined
}

function keyAt(map: unknown, name: string): Node | undefined {
  if (!isMap(map)) return undefined
  const key = map.items.find(item => (isScalar(item.key) ? String(item.key.value) : item.key) === name)?.key
  return isNode(key) ? key : undefined
}

function startOf(node: Node | undefined): number | undefined {
  return node?.range?.[0]
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/[:.]$/, '')
}
