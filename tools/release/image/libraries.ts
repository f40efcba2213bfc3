import { hash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Platform } from '../platforms.ts'
import { run } from '../run.ts'

export const LOCK_FILE = join(import.meta.dirname, 'libraries.json')

/** What the executable is linked with, and `getent`, by which an agent learns the names of users. */
export const PACKAGES: readonly string[] = ['libc6', 'libc-bin', 'libgcc-s1', 'libstdc++6', 'libatomic1', 'gcc-12-base']

/** A Debian package of which an image has files. */
export interface LockedPackage {
  readonly name: string
  readonly version: string
  readonly sha256: string
}

export type Lock = Readonly<Record<Platform['deb'], readonly LockedPackage[]>>

/** Fetches the Debian packages of `libraries.json`, and returns their files. Throws for one that is not what it names. */
export function fetchLibraries(arch: Platform['deb'], work: string): readonly string[] {
  const locked = (JSON.parse(readFileSync(LOCK_FILE, 'utf8')) as Lock)[arch]
  const wanted = locked.map(({ name, version }) => `${name}=${version}`)
  const files = download(arch, work, wanted)
  for (const { name, version, sha256 } of locked) {
    const found = files.find(({ sha256: digest }) => digest === sha256)
    if (found === undefined) throw new Error(`${name} ${version} for ${arch} is not what ${LOCK_FILE} names`)
  }
  return files.map(({ file }) => file)
}

/**
 * Downloads Debian packages for an architecture with the sources of this machine, whose own state of apt stays as it is: apt
 * verifies the signature of the archive.
 */
export function download(
  arch: Platform['deb'],
  work: string,
  wanted: readonly string[]
): ReadonlyArray<{ readonly file: string; readonly sha256: string }> {
  const base = join(work, `apt-${arch}`)
  const packages = join(base, 'packages')
  for (const directory of ['state/lists/partial', 'cache/archives/partial', 'packages'])
    mkdirSync(join(base, directory), { recursive: true })
  const options = {
    'Dir::State': join(base, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(base, 'cache'),
    'APT::Architecture': arch,
    'APT::Architectures': arch,
    'Acquire::Languages': 'none',
    // Where root runs it, apt's own user cannot write here.
    ...(process.getuid?.() === 0 && { 'APT::Sandbox::User': 'root' })
  }
  const given = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  run('apt-get', [...given, 'update'])
  try {
    run('apt-get', [...given, 'download', ...wanted], { cwd: packages })
  } catch (err) {
    throw new Error(
      `${(err as Error).message}\nAn archive keeps the newest versions only; pin those, and look at the difference: ` +
        'node tools/release/image/pin.ts'
    )
  }
  return readdirSync(packages)
    .sort()
    .map(name => ({ file: join(packages, name), sha256: hash('sha256', readFileSync(join(packages, name))) }))
}
