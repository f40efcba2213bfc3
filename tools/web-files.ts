import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync, type Metafile, type Plugin } from 'esbuild'

const WEB = 'src/console/web'
/** The module that a checkout reads the files of the pages with. */
const MODULE = /src\/console\/web-files\.ts$/

interface Pages {
  readonly code: string
  readonly metafile: Metafile
}

let made: Pages | undefined

/** The code to take in place of that module: the same files as texts, and the modules of the pages as one. */
export function webCode(root: string, path: string): string | undefined {
  return MODULE.test(path) ? pagesOf(root).code : undefined
}

/** Puts the files of the pages into a bundle. */
export function webFiles(root: string): Plugin {
  return {
    name: 'files of the console',
    setup(bundler) {
      bundler.onLoad({ filter: MODULE }, () => ({ loader: 'js', resolveDir: root, contents: pagesOf(root).code }))
    }
  }
}

/** `metafile` with what the pages consist of besides, for the licences. */
export function withPages(root: string, metafile: Metafile): Metafile {
  return { ...metafile, outputs: { ...metafile.outputs, ...pagesOf(root).metafile.outputs } }
}

function pagesOf(root: string): Pages {
  made ??= make(root)
  return made
}

function make(root: string): Pages {
  const { outputFiles, metafile } = buildSync({
    absWorkingDir: root,
    entryPoints: [`${WEB}/main.ts`],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2024',
    charset: 'utf8',
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning'
  })
  const [script] = outputFiles
  if (script === undefined) throw new Error('esbuild wrote no script for the console')
  const file = (name: string): string => readFileSync(join(root, WEB, name), 'utf8')
  const files = [
    ['/', { type: 'text/html; charset=utf-8', body: file('index.html') }],
    ['/main.js', { type: 'text/javascript; charset=utf-8', body: script.text }],
    ['/style.css', { type: 'text/css; charset=utf-8', body: file('style.css') }],
    ['/icon.svg', { type: 'image/svg+xml', body: file('icon.svg') }]
  ]
  return { code: `const files = new Map(${JSON.stringify(files)})\nexport const webFiles = () => files\n`, metafile }
}
