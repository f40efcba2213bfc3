import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { archive } from './archive.ts'
import { copyDocuments, withoutDeadLinks } from './documents.ts'
import type { Extras } from './extras.ts'
import { normalise } from './tree.ts'

export interface TarballOptions {
  readonly root: string
  /** Of its only directory, and of the file. */
  readonly name: string
  readonly executable: string
  readonly licenses: string
  readonly extras: Extras
  readonly epochSeconds: number
  readonly out: string
  readonly work: string
}

/**
 * Pages for those who evaluate or change warren, or write programs with it, and folders of pictures: most of the compressed documents.
 * The packages for Debian and rpm have them.
 */
export const LEFT_OUT: readonly string[] = [
  'decisions',
  'protocol',
  'performance',
  'performance.md',
  'threat-model.md',
  'architecture.md',
  'simulator.md',
  'soak.md',
  'library.md',
  'architecture',
  'tutorial',
  'console'
]

/**
 * Writes what `install.sh` installs, and a person by hand: the executable with its units, settings and licences. Returns the
 * name of the file.
 */
export function tarball({ root, name, executable, licenses, extras, epochSeconds, out, work }: TarballOptions): string {
  const parent = mkdtempSync(join(work, 'archive-'))
  const inside = join(parent, name)
  mkdirSync(join(inside, 'bin'), { recursive: true })
  copyFileSync(executable, join(inside, 'bin', 'warren'))
  const present = copyDocuments({ root, to: join(inside, 'docs'), leftOut: LEFT_OUT })
  copyFileSync(join(root, 'LICENSE'), join(inside, 'LICENSE'))
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  writeFileSync(join(inside, 'README.md'), withoutDeadLinks(readme, 'README.md', [...present, 'LICENSE']))
  writeFileSync(join(inside, 'THIRD-PARTY-LICENSES.txt'), licenses)
  for (const folder of ['systemd', 'etc'])
    cpSync(join(root, 'packaging', folder), join(inside, folder), { recursive: true })
  for (const [path, text] of Object.entries(extras.files)) {
    const to = join(inside, 'share', path)
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, text)
  }
  normalise(parent, epochSeconds)
  archive({ parent, name, file: join(out, `${name}.tar.gz`), epochSeconds })
  return `${name}.tar.gz`
}
