// Writes libraries.json: the newest versions, in the archive of this machine, of the Debian packages that an image has files of.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PLATFORMS } from '../platforms.ts'
import { run } from '../run.ts'
import { download, LOCK_FILE, PACKAGES } from './libraries.ts'

const work = mkdtempSync(join(tmpdir(), 'warren-pin-'))
try {
  const pinned = PLATFORMS.map(({ deb }) => {
    const packages = download(deb, work, PACKAGES).map(({ file, sha256 }) => {
      const field = (name: string): string => run('dpkg-deb', ['--field', file, name]).trim()
      return { name: field('Package'), version: field('Version'), sha256 }
    })
    return [deb, packages] as const
  })
  writeFileSync(LOCK_FILE, `${JSON.stringify(Object.fromEntries(pinned), undefined, 2)}\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
