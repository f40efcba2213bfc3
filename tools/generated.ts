import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** The code generated from protocols/, relative to the repository. */
export const GENERATED = join('src', 'wire', 'gen')

/** The files in `root` that differ from the code that its protocols generate now; empty if all are current. */
export function staleFiles(root: string): string[] {
  const fresh = mkdtempSync(join(tmpdir(), 'warren-generate-'))
  try {
    const bin = join(root, 'node_modules', '.bin')
    // buf finds its plugin, and the plugin its Node, through PATH.
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` }
    execFileSync(join(bin, 'buf'), ['generate', '--output', fresh], {
      cwd: root,
      env,
      stdio: ['ignore', 'inherit', 'inherit']
    })
    return differences(filesOf(join(root, GENERATED)), filesOf(join(fresh, GENERATED)))
  } finally {
    rmSync(fresh, { recursive: true })
  }
}

function differences(committed: ReadonlyMap<string, string>, fresh: ReadonlyMap<string, string>): string[] {
  const names = new Set([...committed.keys(), ...fresh.keys()])
  return [...names].filter(name => committed.get(name) !== fresh.get(name)).sort()
}

function filesOf(folder: string): Map<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return new Map(
    entries.map(entry => {
      const path = join(entry.parentPath, entry.name)
      return [path.slice(folder.length + 1), readFileSync(path, 'utf8')]
    })
  )
}
