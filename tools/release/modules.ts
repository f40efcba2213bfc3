import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { transformAsync } from '@babel/core'
import commonJs from '@babel/plugin-transform-modules-commonjs'
import { type Loader, type Metafile, transform } from 'esbuild'
import { slimCode } from '../slim-packages.ts'
import { webCode } from '../web-files.ts'
import { replacedCode } from './native-code.ts'
import { type NameStars, starExports } from './star-exports.ts'

type Input = Metafile['inputs'][string]

/** The part of esbuild's build that this needs: which modules there are, and what their imports resolve to. */
export interface ModuleGraph {
  readonly root: string
  readonly inputs: Metafile['inputs']
  /** Paths of inputs, which are bundled to the entry. */
  readonly entry: string
  readonly define: Readonly<Record<string, string>>
}

interface Manifest {
  readonly sideEffects?: boolean | readonly string[]
}

/**
 * Turns a graph of modules into one text, of which the executable compiles a module when it is required for the first time
 * (start.mjs). Compiling all of it at once took four times as long as to start Node.
 *
 * The first line is the table: `[name, offset, length, imports, isCommonJs]` for each module, where `imports` has the number
 * of the module behind each specifier, and module 0 is the entry. All code is ASCII; a module is a function of CommonJS.
 */
export async function packModules({ root, inputs, entry, define }: ModuleGraph): Promise<string> {
  const paths = [entry, ...Object.keys(inputs).filter(path => path !== entry)]
  const numbers = new Map(paths.map((path, number) => [path, number]))
  const nameStars = await starExports(root, inputs)
  const codes = await Promise.all(
    paths.map(path => toCommonJs({ root, path, input: inputs[path] as Input, define, nameStars }))
  )
  let offset = 0
  const table = paths.map((path, at) => {
    const length = (codes[at] as string).length
    const imports: Record<string, number> = {}
    for (const { original, path: target } of inputs[path]?.imports ?? []) {
      const number = numbers.get(target)
      if (original !== undefined && number !== undefined) imports[original] = number
    }
    const row = [path, offset, length, imports, inputs[path]?.format === 'cjs']
    offset += length
    return row
  })
  return `${JSON.stringify(table)}\n${codes.join('')}`
}

const DENSE = { charset: 'ascii', target: 'node26', minifyWhitespace: true, minifySyntax: true } as const

interface Source {
  readonly root: string
  readonly path: string
  readonly input: Input
  readonly define: Readonly<Record<string, string>>
  readonly nameStars: NameStars
}

async function toCommonJs(file: Source): Promise<string> {
  const code = await transformed(file)
  // Own code keeps its lines, for the stacks of errors. That of others takes a third less without white space and comments.
  const keepsLines = !file.path.includes('node_modules/') && isAscii(code)
  const dense = keepsLines ? code : (await transform(code, DENSE)).code
  if (!isAscii(dense)) throw new Error(`${file.path}: characters beyond ASCII are left`)
  return `(function(require,exports,module){${dense}\n})`
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length
}

async function transformed({ root, path, input, define, nameStars }: Source): Promise<string> {
  const replaced = replacedCode(path) ?? slimCode(path) ?? webCode(root, path)
  const source = replaced ?? readFileSync(join(root, path), 'utf8')
  const common = {
    target: 'node26',
    define: { ...define },
    sourcefile: path,
    legalComments: 'none',
    // A character is a byte then.
    charset: 'ascii',
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    // There is nothing to import from once it runs.
    supported: { 'dynamic-import': false, 'export-star-as': false }
  } as const
  const loader = replaced === undefined ? loaderOf(path) : 'js'
  if (loader === 'json') return (await transform(source, { loader, format: 'cjs', charset: 'ascii' })).code
  if (input.format !== 'esm') return (await transform(source, { ...common, loader })).code
  if (!mayBeLate(root, path)) return (await transform(source, { ...common, loader, format: 'cjs' })).code
  const plain = await transform(source, { ...common, loader })
  const result = await transformAsync(nameStars(path, plain.code), {
    filename: path,
    babelrc: false,
    configFile: false,
    compact: false,
    sourceType: 'module',
    plugins: [[commonJs, { lazy: () => true }]]
  })
  if (typeof result?.code !== 'string') throw new Error(`${path}: not transformed`)
  return (await transform(result.code, { charset: 'ascii', target: 'node26' })).code
}

function loaderOf(path: string): Loader {
  if (path.endsWith('.json')) return 'json'
  return path.endsWith('.ts') ? 'ts' : 'js'
}

/**
 * Packages that do not say so, and whose modules describe structures of ASN.1 and nothing else. `@peculiar/x509` imports those of
 * CMS, RSA, PKCS #9 and #12 as well, which no certificate of ours has: their evaluation was a tenth of a start.
 */
const LATE_PACKAGES = /node_modules\/@peculiar\/(?:x509|asn1-[^/]+)\//

// A module is evaluated when something of it is used for the first time, not when it is imported, where nobody can depend on
// the order: here, since the linter refuses import cycles and side effects; in packages that say so, and in LATE_PACKAGES.
function mayBeLate(root: string, path: string): boolean {
  if (!path.includes('node_modules/') || LATE_PACKAGES.test(path)) return true
  for (let directory = dirname(path); directory !== '.'; directory = dirname(directory)) {
    const manifest = manifestIn(join(root, directory))
    if (manifest?.sideEffects !== undefined) return manifest.sideEffects === false
    if (/node_modules\/(@[^/]+\/)?[^/]+$/.test(directory)) return false
  }
  return false
}

const manifests = new Map<string, Manifest | undefined>()

function manifestIn(directory: string): Manifest | undefined {
  if (!manifests.has(directory)) {
    let found: Manifest | undefined
    try {
      found = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest
    } catch {
      // Not every directory is a package.
    }
    manifests.set(directory, found)
  }
  return manifests.get(directory)
}
