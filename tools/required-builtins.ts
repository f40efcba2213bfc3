import type { Plugin } from 'esbuild'

/** To import it as an ES module reads all that it exports, and with `WebSocket` Node loads its whole client for `fetch`. */
const REQUIRED = /^node:http$/

/** Takes modules of Node by `require`, where to import them loads more of Node than is used here. */
export function requiredBuiltins(): Plugin {
  return {
    name: 'required builtins',
    setup(bundler) {
      bundler.onResolve({ filter: REQUIRED }, ({ path, kind }) =>
        kind === 'require-call' ? { path, external: true } : { path, namespace: 'required' }
      )
      bundler.onLoad({ filter: REQUIRED, namespace: 'required' }, ({ path }) => ({
        loader: 'js',
        contents: `module.exports = require('${path}')`
      }))
    }
  }
}
