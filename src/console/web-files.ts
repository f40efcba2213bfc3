import { readdirSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file of the pages. */
export interface WebFile {
  readonly type: string
  readonly body: string
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ts': 'text/javascript; charset=utf-8'
}

/**
 * The files of the pages by path, for a checkout: browsers load the modules one by one, without their types.
 *
 * tools/web-files.ts puts the same files, bundled and small, in place of this module in everything that is published.
 */
export function webFiles(): ReadonlyMap<string, WebFile> {
  const folder = fileURLToPath(new URL('./web/', import.meta.url))
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return new Map(
    names.flatMap(name => {
      const type = TYPES[extname(name)]
      return type === undefined ? [] : [[pathOf(name), { type, body: bodyOf(folder, name) }] as const]
    })
  )
}

function pathOf(name: string): string {
  if (name === 'index.html') return '/'
  return name === 'main.ts' ? '/main.js' : `/${name}`
}

function bodyOf(folder: string, name: string): string {
  // It only exports the package again, whose name a browser could not resolve.
  if (name === 'preact.ts') return readFileSync(new URL(import.meta.resolve('preact')), 'utf8')
  const text = readFileSync(join(folder, name), 'utf8')
  return extname(name) === '.ts' ? withoutTypes(text) : text
}

// Node warns that the function is experimental, which is no concern of a person who looks at a page.
function withoutTypes(text: string): string {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(text)
  } finally {
    process.emitWarning = emitWarning
  }
}
