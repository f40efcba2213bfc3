import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isInstalled } from '../../harness/index.ts'

const VERSION = 'v1.24.2'
/** Where it is built, and stays: a document store that speaks the protocol of MongoDB, which Debian does not have. */
export const FERRETDB: string = join(import.meta.dirname, '..', '..', '..', 'out', 'programs', 'ferretdb')

/** Builds it from its Go module, if it is not there. Returns what is missing, if it cannot be built here. */
export function buildFerretdb(): string | undefined {
  if (existsSync(FERRETDB)) return undefined
  if (!isInstalled('go')) return 'needs Go, which is not installed'
  const directory = mkdtempSync(join(tmpdir(), 'warren-ferretdb-'))
  const go = (args: readonly string[], cwd: string): string =>
    execFileSync('go', [...args], { cwd, encoding: 'utf8', env: { ...process.env, GOTOOLCHAIN: 'local' } })
  try {
    const found = go(['mod', 'download', '-json', `github.com/FerretDB/FerretDB@${VERSION}`], directory)
    const source = join(directory, 'source')
    cpSync((JSON.parse(found) as { Dir: string }).Dir, source, { recursive: true })
    execFileSync('chmod', ['-R', 'u+w', source])
    // The module has the version of its checkout only; it refuses to run without one.
    writeFileSync(join(source, 'build', 'version', 'version.txt'), `${VERSION}\n`)
    mkdirSync(dirname(FERRETDB), { recursive: true })
    go(['build', '-trimpath', '-o', FERRETDB, './cmd/ferretdb'], source)
    return undefined
  } catch (err) {
    return `cannot be built here: ${String((err as { stderr?: string }).stderr ?? err).slice(-300)}`
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
