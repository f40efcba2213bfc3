import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Metafile } from 'esbuild'

const MARKER = 'node_modules/'
const LICENSE_FILE = /^(licen[cs]e|copying|notice)/i

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
}

/** The licence texts of every package with code in the bundles, as their licences ask. */
export function licensesOf(root: string, metafile: Metafile): string {
  const directories = new Set<string>()
  for (const { inputs } of Object.values(metafile.outputs)) {
    for (const input of Object.keys(inputs)) {
      const directory = packageDirectory(input)
      if (directory !== undefined) directories.add(directory)
    }
  }
  return [...directories]
    .sort()
    .map(directory => section(join(root, directory)))
    .join('\n')
}

function packageDirectory(input: string): string | undefined {
  const at = input.lastIndexOf(MARKER)
  if (at < 0) return undefined
  const segments = input.slice(at + MARKER.length).split('/')
  return input.slice(0, at + MARKER.length) + segments.slice(0, segments[0]?.startsWith('@') ? 2 : 1).join('/')
}

function section(directory: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest
  const files = readdirSync(directory).filter(file => LICENSE_FILE.test(file))
  const texts = files.map(file => readFileSync(join(directory, file), 'utf8').trim())
  return [`${name} ${version} (${license ?? 'see below'})`, '', ...texts, ''].join('\n')
}
