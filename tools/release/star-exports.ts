import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Metafile } from 'esbuild'

const STAR = /^export \* from ['"]([^'"]+)['"];?$/gm

/** Gives the code of a module with names in place of each `export * from`, where these are known. */
export type NameStars = (path: string, code: string) => string

/**
 * Prepares `NameStars` for a graph of modules.
 *
 * For `export *` a module has to be evaluated, to know what it exports; where the names are written down, it is not before
 * one of them is used. An index of a package is often nothing but such lines.
 */
export async function starExports(root: string, inputs: Metafile['inputs']): Promise<NameStars> {
  const own = await exportedNames(root, inputs)
  const known = new Map<string, readonly string[] | undefined>()

  // Undefined for a module of CommonJS, whose names are known only when it has run.
  function namesOf(path: string): readonly string[] | undefined {
    if (known.has(path)) return known.get(path)
    const exported = own.get(path)
    // Modules that export each other: the outer call has the rest.
    known.set(path, exported ?? [])
    const stars = exported === undefined ? [] : starsOf(path).map(target => target && namesOf(target))
    const isKnown = exported !== undefined && stars.every(names => names !== undefined)
    const names = isKnown ? [...new Set([...exported, ...stars.flatMap(names => names ?? [])])] : undefined
    known.set(path, names)
    return names
  }

  function starsOf(path: string): (string | undefined)[] {
    return [...readFileSync(join(root, path), 'utf8').matchAll(STAR)].map(([, from = '']) => targetOf(path, from))
  }

  function targetOf(path: string, specifier: string): string | undefined {
    return inputs[path]?.imports.find(({ original }) => original === specifier)?.path
  }

  return (path, code) => {
    const taken = new Set(own.get(path))
    return code.replaceAll(STAR, (line: string, from: string) => {
      const target = targetOf(path, from)
      const names = target === undefined ? undefined : namesOf(target)
      if (names === undefined) return line
      // What the module exports by name comes first, and `default` is never among the rest.
      const added = names.filter(name => name !== 'default' && !taken.has(name))
      for (const name of added) taken.add(name)
      return `export { ${added.join(', ')} } from ${JSON.stringify(from)};`
    })
  }
}

/** Of each ES module, what it exports without `export *`. */
async function exportedNames(root: string, inputs: Metafile['inputs']): Promise<Map<string, readonly string[]>> {
  const paths = Object.keys(inputs).filter(path => path.endsWith('.js') && inputs[path]?.format === 'esm')
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: paths,
    outdir: '.',
    outbase: '/',
    bundle: false,
    write: false,
    allowOverwrite: true,
    format: 'esm',
    platform: 'node',
    metafile: true,
    logLevel: 'error'
  })
  return new Map(
    Object.values(metafile.outputs).flatMap(({ entryPoint, exports }) =>
      entryPoint === undefined ? [] : [[entryPoint, exports] as const]
    )
  )
}
