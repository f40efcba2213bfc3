import { copyFileSync, cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { archive } from './archive.ts'
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
 * Writes what `install.sh` installs, and a person by hand: the executable with its units, settings and licences. Returns the
 * name of the file.
 */
export function tarball({ root, name, executable, licenses, extras, epochSeconds, out, work }: TarballOptions): string {
  const parent = mkdtempSync(join(work, 'archive-'))
  const inside = join(parent, name)
  mkdirSync(join(inside, 'bin'), { recursive: true })
  copyFileSync(executable, join(inside, 'bin', 'warren'))
  // Pictures of the console are more than half of the compressed documents.
  const isText = (path: string): boolean => !path.endsWith('.png')
  cpSync(join(root, 'docs'), join(inside, 'docs'), { recursive: true, filter: isText })
  for (const text of ['LICENSE', 'README.md', 'CHANGELOG.md']) copyFileSync(join(root, text), join(inside, text))
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
