import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

export interface DebOptions {
  readonly root: string
  /** The files of the package, as `layOut` makes them. */
  readonly tree: string
  readonly arch: 'amd64' | 'arm64'
  readonly version: string
  readonly file: string
  readonly epochSeconds: number
}

/** Writes a package for Debian and its kin. It depends on what the executable is linked with, and on no Node. */
export function deb({ root, tree, arch, version, file, epochSeconds }: DebOptions): void {
  const control = join(tree, 'DEBIAN')
  mkdirSync(control)
  const sizeKib = run('du', ['-sk', '--apparent-size', '--exclude=DEBIAN', tree]).split('\t')[0]
  writeFileSync(
    join(control, 'control'),
    [
      'Package: warren',
      `Version: ${version}`,
      `Architecture: ${arch}`,
      'Maintainer: warren <warren@localhost>',
      `Installed-Size: ${sizeKib}`,
      'Depends: libatomic1, libc6 (>= 2.28), libstdc++6',
      'Section: net',
      'Priority: optional',
      'Description: mesh agent: workload identity, discovery and brokered sockets',
      ' One agent on each host, and no servers. Agents find each other, attest local',
      ' processes by the kernel, and connect workloads through unix sockets, in mutual',
      ' TLS between SPIFFE identities, under a policy that denies by default.',
      ''
    ].join('\n')
  )
  writeFileSync(join(control, 'conffiles'), '/etc/warren/warren.env\n')
  for (const script of ['postinst', 'prerm', 'postrm']) {
    copyFileSync(join(root, 'packaging', 'debian', script), join(control, script))
    chmodSync(join(control, script), 0o755)
  }
  // dpkg-deb takes the times of all files from it.
  const env = { SOURCE_DATE_EPOCH: String(epochSeconds) }
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '-z6', '--threads-max=1', '--build', tree, file], { env })
}
