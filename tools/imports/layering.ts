import { posix } from 'node:path'
import {
  IMPURE_GLOBALS,
  IMPURE_PACKAGES,
  LAYERS,
  type Layer,
  LIBP2P,
  LIBP2P_FOLDER,
  PURE_NODE_MODULES
} from './layers.ts'
import type { Import, ModuleFacts } from './read.ts'

export interface Violation {
  readonly file: string
  readonly line: number
  readonly text: string
}

const IMPURE_MEMBERS: ReadonlySet<string> = new Set(['Date.now', 'new Date()', 'Math.random', 'crypto.getRandomValues'])

/** Every place where a file under src/ imports or uses what its folder must not. */
export function layering(modules: readonly ModuleFacts[]): Violation[] {
  return modules.flatMap(module => {
    const [top, folder = ''] = module.file.split('/')
    if (top !== 'src' || module.file.startsWith('src/wire/gen/')) return []
    const layer = LAYERS[folder]
    if (layer === undefined) return [{ file: module.file, line: 1, text: `src/${folder} is not a known folder` }]
    return [...checkImports(module, folder, layer), ...checkGlobals(module, folder, layer)]
  })
}

function checkImports(module: ModuleFacts, folder: string, layer: Layer): Violation[] {
  return module.imports.flatMap(one => {
    const text = one.specifier === undefined ? 'computes what it imports' : refusal(module, folder, layer, one)
    return text === undefined ? [] : [{ file: module.file, line: one.line, text }]
  })
}

function refusal(module: ModuleFacts, folder: string, layer: Layer, one: Import): string | undefined {
  const specifier = one.specifier ?? ''
  if (!specifier.startsWith('.')) return refusalOfPackage(folder, layer, specifier)
  const target = posix.join(posix.dirname(module.file), specifier)
  const [top, targetFolder = ''] = target.split('/')
  if (top !== 'src') return `imports ${target}, which is outside src/`
  if (targetFolder === folder) return undefined
  const inside = target.slice('src/'.length)
  const lazily = layer.lazily?.[module.file.slice('src/'.length)]?.includes(targetFolder) === true
  if (lazily && !one.lazy && !one.typeOnly)
    return `must import ${targetFolder} with import(), so that other commands do not load it`
  const typesOnly = layer.typesOf?.includes(targetFolder) === true
  if (typesOnly && !one.typeOnly) return `${folder} must import nothing but types of ${targetFolder}`
  if (!lazily && !typesOnly && !layer.mayImport.includes(targetFolder))
    return `${folder} must not import ${targetFolder}`
  if (inside !== `${targetFolder}/index.ts`) {
    return `imports the inside of ${targetFolder} (${inside}); only its index.ts is open to others`
  }
  if (layer.pure !== true) return undefined
  const banned = targetFolder === 'core' ? one.names.filter(name => layer.bannedFromCore?.includes(name)) : []
  return banned.length > 0 ? `is pure and must not use ${banned.join(', ')} of core` : undefined
}

function refusalOfPackage(folder: string, layer: Layer, name: string): string | undefined {
  if (LIBP2P.test(name))
    return folder === LIBP2P_FOLDER ? undefined : `${folder} must not import ${name}: only mesh may`
  if (layer.pure !== true) return undefined
  if (name.startsWith('node:') && !PURE_NODE_MODULES.has(name)) return `is pure and must not import ${name}`
  return IMPURE_PACKAGES.test(name) ? `is pure and must not import ${name}` : undefined
}

function checkGlobals(module: ModuleFacts, folder: string, layer: Layer): Violation[] {
  if (layer.pure !== true) return []
  return module.globals
    .filter(({ name }) => IMPURE_GLOBALS.has(name) || IMPURE_MEMBERS.has(name))
    .map(({ name, line }) => ({ file: module.file, line, text: `${folder} is pure and must not use ${name}` }))
}
