import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DESCRIPTION, packageVersion, SUMMARY } from './describe.ts'
import { run } from './run.ts'
import { CONFIG_FILES } from './tree.ts'

export interface PackageOptions<Arch> {
  readonly root: string
  /** The files of the package, as `layOut` makes them. */
  readonly tree: string
  readonly arch: Arch
  readonly version: string
  /** `Name <address>` of whoever answers for the package. */
  readonly maintainer: string
  readonly file: string
  readonly epochSeconds: number
}

/** Writes a package for Debian and its kin. It depends on what the executable is linked with, and on no Node. */
export function deb(options: PackageOptions<'amd64' | 'arm64'>): void {
  const { root, tree, arch, version, maintainer, file, epochSeconds } = options
  const control = join(tree, 'DEBIAN')
  mkdirSync(control)
  chmodSync(control, 0o755)
  const sizeKib = run('du', ['-sk', '--apparent-size', '--exclude=DEBIAN', tree]).split('\t')[0]
  writeFileSync(
    join(control, 'control'),
    [
      'Package: warren',
      `Version: ${packageVersion(version)}`,
      `Architecture: ${arch}`,
      `Maintainer: ${maintainer}`,
      `Installed-Size: ${sizeKib}`,
      'Depends: libatomic1, libc6 (>= 2.28), libstdc++6',
      'Section: net',
      'Priority: optional',
      `Description: ${SUMMARY}`,
      ...DESCRIPTION.map(line => ` ${line}`),
      ''
    ].join('\n')
  )
  writeFileSync(join(control, 'conffiles'), CONFIG_FILES.map(path => `${path}\n`).join(''))
  for (const name of ['control', 'conffiles']) chmodSync(join(control, name), 0o644)
  for (const script of ['postinst', 'prerm', 'postrm']) {
    copyFileSync(join(root, 'packaging', 'debian', script), join(control, script))
    chmodSync(join(control, script), 0o755)
  }
  // dpkg-deb takes the times of all files from it.
  const env = { SOURCE_DATE_EPOCH: String(epochSeconds) }
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '-z6', '--threads-max=1', '--build', tree, file], { env })
}
