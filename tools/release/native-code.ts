import { join } from 'node:path'
import type { Plugin } from 'esbuild'

const LOADER = 'warren:native'

/** Lets the packages with native code take it from the executable, where they would look for files beside themselves. */
export function nativeCode(root: string): Plugin {
  const common = { loader: 'js', resolveDir: root } as const
  return {
    name: 'native code',
    setup(bundler) {
      bundler.onResolve({ filter: new RegExp(`^${LOADER}$`) }, () => ({
        path: join(root, 'tools', 'release', 'native-loader.ts')
      }))
      bundler.onLoad({ filter: /koffi\/src\/koffi\/src\/static\.js$/ }, () => ({
        ...common,
        contents: `import { loadAddon } from '${LOADER}'\nexport const loadStatic = () => loadAddon('koffi')`
      }))
      bundler.onLoad({ filter: /node-unix-socket\/js\/addon\.js$/ }, () => ({
        ...common,
        contents: `module.exports = require('${LOADER}').loadAddon('node-unix-socket')`
      }))
    }
  }
}
