import { dirname } from 'node:path'
import type { Plugin } from 'esbuild'

// The rest of prom-client pushes to gateways, gathers from clusters and measures its process: every tenth module that an agent
// loaded at its start, with the HTTP client and the zlib of Node behind it.
const SLIM: readonly (readonly [RegExp, string])[] = [
  [
    /node_modules\/prom-client\/index\.js$/,
    ['Counter', 'Gauge', 'Histogram', 'Registry']
      .map(name => `exports.${name} = require('./lib/${name.toLowerCase()}')`)
      .join('\n')
  ]
]

/** The code to take in place of the entry of a package that would load all of it: what is used here. */
export function slimCode(path: string): string | undefined {
  return SLIM.find(([file]) => file.test(path))?.[1]
}

/** Leaves out of packages what is not used here. */
export function slimPackages(): Plugin {
  return {
    name: 'slim packages',
    setup(bundler) {
      for (const [filter, contents] of SLIM) {
        bundler.onLoad({ filter }, ({ path }) => ({ loader: 'js', resolveDir: dirname(path), contents }))
      }
    }
  }
}
