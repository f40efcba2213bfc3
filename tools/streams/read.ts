import { relative } from 'node:path'
import {
  isCallExpression,
  isElementAccessExpression,
  isForOfStatement,
  isIdentifier,
  isImportDeclaration,
  isNamedImports,
  isPropertyAccessExpression,
  isStringLiteralLikeNode,
  type Node,
  type SourceFile
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/sync'

export interface Read {
  /** Relative to the project, with forward slashes. */
  readonly file: string
  readonly line: number
  /** The expression that iterates there, as it is written. */
  readonly what: string
}

const CONSUMERS = /^(node:)?stream\/consumers$/
const STREAMS = /^(node:)?stream(\/promises)?$/
/** Functions of node:stream: each waits for an end, or reads, and takes a closed stream for an ended one. */
const WHOLE = new Set(['pipeline', 'finished', 'compose', 'addAbortSignal'])

/** Every place in the project of `tsconfig` where a stream may be read by an iterator, or by what is made of one. */
export function readStreams(
  root: string,
  tsconfig: string
): { readonly files: readonly string[]; readonly reads: Read[] } {
  const api = new API({ cwd: root })
  try {
    const project = api.updateSnapshot({ openProject: tsconfig }).getProject(tsconfig)
    if (project === undefined) throw new Error(`no project at ${tsconfig}`)
    const files: string[] = []
    const reads: Read[] = []
    for (const path of project.rootFiles) {
      const source = project.program.getSourceFile(path)
      if (source === undefined) throw new Error(`cannot read ${path}`)
      const file = relative(root, path).replaceAll('\\', '/')
      files.push(file)
      reads.push(...readsOf(file, source))
    }
    return { files, reads }
  } finally {
    api.close()
  }
}

function readsOf(file: string, source: SourceFile): Read[] {
  const reads: Read[] = []
  const visit = (node: Node): undefined => {
    for (const what of iterating(node)) {
      const line = source.text.slice(0, node.getStart(source)).split('\n').length
      reads.push({ file, line, what })
    }
    node.forEachChild(visit)
  }
  source.forEachChild(visit)
  return reads
}

function iterating(node: Node): string[] {
  if (isForOfStatement(node)) return node.awaitModifier === undefined ? [] : ['for await']
  if (isImportDeclaration(node)) return imported(node)
  if (!isCallExpression(node)) return []
  const { expression } = node
  if (isElementAccessExpression(expression))
    return isAsyncIterator(expression.argumentExpression) ? ['[Symbol.asyncIterator]()'] : []
  if (!isPropertyAccessExpression(expression)) return []
  const { name, expression: of } = expression
  if (name.text === 'iterator') return ['.iterator()']
  return isIdentifier(of) && of.text === 'Array' && name.text === 'fromAsync' ? ['Array.fromAsync()'] : []
}

function isAsyncIterator(node: Node): boolean {
  return isPropertyAccessExpression(node) && node.name.text === 'asyncIterator'
}

function imported(node: Node): string[] {
  if (!isImportDeclaration(node) || !isStringLiteralLikeNode(node.moduleSpecifier)) return []
  const name = node.moduleSpecifier.text
  if (CONSUMERS.test(name)) return [name]
  if (!STREAMS.test(name)) return []
  const bindings = node.importClause?.namedBindings
  // A namespace has them all.
  if (bindings !== undefined && !isNamedImports(bindings)) return [`* of ${name}`]
  const names = bindings?.elements.map(element => (element.propertyName ?? element.name).text) ?? []
  return names.filter(one => WHOLE.has(one)).map(one => `${one} of ${name}`)
}
