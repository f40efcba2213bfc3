import { relative } from 'node:path'
import {
  isCallExpression,
  isExportDeclaration,
  isIdentifier,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isNamedExports,
  isNamedImports,
  isNewExpression,
  isPropertyAccessExpression,
  isStringLiteralLikeNode,
  type Node,
  type SourceFile,
  SyntaxKind
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/sync'

export interface Import {
  /** The text in the quotes; undefined if it is computed. */
  readonly specifier: string | undefined
  /** Written as `import()`. */
  readonly lazy: boolean
  /** Written as `import type` or as a type, so that nothing is loaded. */
  readonly typeOnly: boolean
  /** The names it binds; empty for `import()`, `export *` and imports of a whole namespace. */
  readonly names: readonly string[]
  /** A statement with a list of names in braces, to which further names of the same file can be added. */
  readonly list?: 'import' | 'export'
  readonly line: number
}

export interface GlobalUse {
  /** `setTimeout`, `Date.now`, … */
  readonly name: string
  readonly line: number
}

export interface ModuleFacts {
  /** Relative to the project, with forward slashes. */
  readonly file: string
  readonly imports: readonly Import[]
  readonly globals: readonly GlobalUse[]
  readonly lines: number
}

/** The imports and uses of every file of the project in `tsconfig`, read by the compiler's own parser. */
export function readModules(root: string, tsconfig: string): ModuleFacts[] {
  const api = new API({ cwd: root })
  try {
    const project = api.updateSnapshot({ openProject: tsconfig }).getProject(tsconfig)
    if (project === undefined) throw new Error(`no project at ${tsconfig}`)
    return project.rootFiles.map(path => {
      const source = project.program.getSourceFile(path)
      if (source === undefined) throw new Error(`cannot read ${path}`)
      return facts(relative(root, path).replaceAll('\\', '/'), source)
    })
  } finally {
    api.close()
  }
}

function facts(file: string, source: SourceFile): ModuleFacts {
  const imports: Import[] = []
  const globals: GlobalUse[] = []
  const lineStarts = lineStartsOf(source.text)
  const visit = (node: Node): undefined => {
    const line = lineOf(lineStarts, node.getStart(source))
    const found = importOf(node)
    if (found !== undefined) imports.push({ ...found, line })
    const name = globalOf(node)
    if (name !== undefined) globals.push({ name, line })
    node.forEachChild(visit)
  }
  source.forEachChild(visit)
  // The last line ends in a newline, after which the next one would start.
  const lines = source.text.endsWith('\n') ? lineStarts.length - 1 : lineStarts.length
  return { file, imports, globals, lines }
}

function importOf(node: Node): Omit<Import, 'line'> | undefined {
  if (isImportDeclaration(node)) {
    const bindings = node.importClause?.namedBindings
    const names =
      bindings !== undefined && isNamedImports(bindings)
        ? bindings.elements.map(element => (element.propertyName ?? element.name).text)
        : []
    const typeOnly = node.importClause?.phaseModifier === SyntaxKind.TypeKeyword
    const found = { specifier: textOf(node.moduleSpecifier), lazy: false, typeOnly, names }
    return names.length === 0 ? found : { ...found, list: 'import' }
  }
  if (isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
    const found = { specifier: textOf(node.moduleSpecifier), lazy: false, typeOnly: node.isTypeOnly, names: [] }
    const isList = node.exportClause !== undefined && isNamedExports(node.exportClause)
    return isList ? { ...found, list: 'export' } : found
  }
  if (isImportTypeNode(node)) {
    const { argument } = node
    return {
      specifier: isLiteralTypeNode(argument) ? textOf(argument.literal) : undefined,
      lazy: false,
      typeOnly: true,
      names: []
    }
  }
  if (!isCallExpression(node)) return undefined
  const { expression } = node
  const required = isIdentifier(expression) && expression.text === 'require'
  if (expression.kind !== SyntaxKind.ImportKeyword && !required) return undefined
  return { specifier: textOf(node.arguments[0]), lazy: !required, typeOnly: false, names: [] }
}

function textOf(node: Node | undefined): string | undefined {
  return node !== undefined && isStringLiteralLikeNode(node) ? node.text : undefined
}

/** The global that `node` uses: `Date.now` and the like as a pair, other free names as themselves. */
function globalOf(node: Node): string | undefined {
  if (isPropertyAccessExpression(node) && isIdentifier(node.expression)) {
    return `${node.expression.text}.${node.name.text}`
  }
  if (isNewExpression(node) && isIdentifier(node.expression) && (node.arguments?.length ?? 0) === 0) {
    return `new ${node.expression.text}()`
  }
  if (isIdentifier(node) && node.parent !== undefined && isReference(node, node.parent)) return node.text
  return undefined
}

/** Whether an identifier is read as a value here, rather than naming a declaration, a member or a type. */
function isReference(node: Node, parent: Node): boolean {
  switch (parent.kind) {
    case SyntaxKind.PropertyAccessExpression:
      return 'expression' in parent && parent.expression === node
    case SyntaxKind.CallExpression:
    case SyntaxKind.NewExpression:
    case SyntaxKind.ElementAccessExpression:
    case SyntaxKind.BinaryExpression:
    case SyntaxKind.ConditionalExpression:
    case SyntaxKind.SpreadElement:
    case SyntaxKind.ReturnStatement:
    case SyntaxKind.AsExpression:
      return true
    case SyntaxKind.VariableDeclaration:
    case SyntaxKind.PropertyAssignment:
      return 'initializer' in parent && parent.initializer === node
    default:
      return false
  }
}

function lineStartsOf(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

function lineOf(starts: readonly number[], position: number): number {
  const after = starts.findIndex(start => start > position)
  return after === -1 ? starts.length : after
}
