import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { basename, join } from 'node:path'
import type { Platform } from '../platforms.ts'
import { run } from '../run.ts'
import { normalise } from '../tree.ts'
import { fetchLibraries } from './libraries.ts'

/** The user that an image runs as: without a name on most hosts, as in other images without a system. */
export const USER_ID = 65_532

/** Where an image keeps state and sockets. */
export const DIRECTORIES = { state: '/var/lib/warren', runtime: '/run/warren' } as const

const LOADERS = {
  amd64: { name: 'ld-linux-x86-64.so.2', from: '/lib64', multiarch: 'x86_64-linux-gnu' },
  arm64: { name: 'ld-linux-aarch64.so.1', from: '/lib', multiarch: 'aarch64-linux-gnu' }
} as const

interface RootOptions {
  readonly arch: Platform['deb']
  readonly work: string
  readonly epochSeconds: number
}

/** Lays out the lower layer: the libraries of Debian, `getent`, their licences, and no shell. Returns its directory. */
export function libraries({ arch, work, epochSeconds }: RootOptions): string {
  const to = mkdtempSync(join(work, 'libraries-'))
  const { name, from, multiarch } = LOADERS[arch]
  for (const file of fetchLibraries(arch, work)) {
    const unpacked = mkdtempSync(join(work, 'unpacked-'))
    run('dpkg-deb', ['--extract', file, unpacked])
    const packageName = run('dpkg-deb', ['--field', file, 'Package']).trim()
    const paths = [`lib/${multiarch}`, `usr/lib/${multiarch}`, 'usr/bin/getent', `usr/share/doc/${packageName}`]
    for (const path of paths.filter(path => existsSync(join(unpacked, path)))) copy(unpacked, to, path)
    // By it, scanners know what is in an image without dpkg.
    const status = join(to, 'var/lib/dpkg/status.d')
    mkdirSync(status, { recursive: true })
    writeFileSync(join(status, packageName), run('dpkg-deb', ['--field', file]))
  }
  mkdirSync(join(to, from), { recursive: true })
  symlinkSync(`/lib/${multiarch}/${name}`, join(to, from, name))
  normalise(to, epochSeconds)
  return to
}

function copy(unpacked: string, to: string, path: string): void {
  const filter = (source: string): boolean => {
    const name = basename(source)
    // Modules for old character sets are most of the C library, and changelogs most of the rest.
    return !/^(gconv|audit)$/.test(name) && !/^(changelog|NEWS|README|TODO)/.test(name)
  }
  cpSync(join(unpacked, path), join(to, path), { recursive: true, filter, verbatimSymlinks: true })
}

export interface ProgramOptions extends RootOptions {
  readonly root: string
  readonly executable: string
  readonly licenses: string
  readonly sbom: string
}

/** Lays out the upper layer: the executable, its user, and directories for its state and its sockets. */
export function program({ work, epochSeconds, root, executable, licenses, sbom }: ProgramOptions): string {
  const to = mkdtempSync(join(work, 'program-'))
  const directories = ['usr/bin', 'usr/share/doc/warren', 'etc/warren/conf.d', 'tmp', ...Object.values(DIRECTORIES)]
  for (const path of directories) mkdirSync(join(to, path), { recursive: true })
  copyFileSync(executable, join(to, 'usr/bin/warren'))
  const texts = {
    'etc/passwd': `root:x:0:0:root:/root:/sbin/nologin\nwarren:x:${USER_ID}:${USER_ID}:warren:${DIRECTORIES.state}:/sbin/nologin\n`,
    'etc/group': `root:x:0:\nwarren:x:${USER_ID}:\n`,
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
    'usr/share/doc/warren/THIRD-PARTY-LICENSES.txt': licenses,
    'usr/share/doc/warren/sbom.cdx.json': sbom
  }
  for (const [path, text] of Object.entries(texts)) writeFileSync(join(to, path), text)
  copyFileSync(join(root, 'LICENSE'), join(to, 'usr/share/doc/warren/copyright'))
  normalise(to, epochSeconds)
  chmodSync(join(to, 'tmp'), 0o1777)
  chmodSync(join(to, DIRECTORIES.state), 0o700)
  return to
}
