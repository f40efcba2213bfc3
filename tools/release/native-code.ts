import { join } from 'node:path'
import type { Plugin } from 'esbuild'

const LOADER = 'warren:native'

const REPLACED: readonly (readonly [RegExp, string])[] = [
  [
    /koffi\/src\/koffi\/src\/static\.js$/,
    `import { loadAddon } from '${LOADER}'\nexport const loadStatic = () => loadAddon('koffi')`
  ],
  [/node-unix-socket\/js\/addon\.js$/, `module.exports = require('${LOADER}').loadAddon('node-unix-socket')`]
]

/** The code to take in place of a file of a package that would look for its native code beside itself. */
export function replacedCode(path: string): string | undefined {
  return REPLACED.find(([file]) => file.test(path))?.[1]
}

/** Lets the packages with native code take it from the executable. */
export function nativeCode(root: string): Plugin {
  return {
    name: 'native code',
    setup(bundler) {
      bundler.onResolve({ filter: new RegExp(`^${LOADER}$`) }, () => ({
        path: join(root, 'tools', 'release', 'native-loader.ts')
      }))
      for (const [filter, contents] of REPLACED) {
        bundler.onLoad({ filter }, () => ({ loader: 'js', resolveDir: root, contents }))
      }
    }
  }
}
