import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { transformAsync } from '@babel/core'
import commonJs from '@babel/plugin-transform-modules-commonjs'
import { type Plugin, transform } from 'esbuild'

/**
 * Makes each module of `sources` evaluate when something of it is used for the first time, not when it is imported.
 *
 * A single file has no chunks to load later, and to evaluate all of it took six times as long as to start Node. No module
 * here may depend on the order in which others are evaluated; import cycles and side effects are refused by the linter.
 */
export function lazyModules(sources: string, define: Readonly<Record<string, string>>): Plugin {
  return {
    name: 'lazy modules',
    setup(bundler) {
      // In a namespace of its own: beside a package.json of type "module" esbuild takes each file for a module.
      bundler.onResolve({ filter: /^\.\.?\// }, ({ resolveDir, path }) => {
        const file = join(resolveDir, path)
        return file.startsWith(sources) ? { path: file, namespace: 'lazy' } : undefined
      })
      bundler.onLoad({ filter: /\.(ts|js)$/, namespace: 'lazy' }, async ({ path }) => {
        const loader = path.endsWith('.ts') ? 'ts' : 'js'
        const plain = await transform(readFileSync(path, 'utf8'), {
          loader,
          target: 'node26',
          // The transformation below does not know `export * as`.
          supported: { 'export-star-as': false },
          define: { ...define },
          sourcefile: path,
          tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } }
        })
        const result = await transformAsync(plain.code, {
          filename: path,
          babelrc: false,
          configFile: false,
          compact: false,
          sourceType: 'module',
          plugins: [[commonJs, { lazy: () => true }]]
        })
        if (typeof result?.code !== 'string') throw new Error(`${path}: not transformed`)
        return { contents: result.code, loader: 'js', resolveDir: dirname(path) }
      })
    }
  }
}
