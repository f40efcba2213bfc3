import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The directory of the command in packages of an operating system. */
const BIN = '/usr/bin/warren'

export interface TreeOptions {
  readonly root: string
  /** The directory to fill. */
  readonly to: string
  readonly executable: string
  readonly licenses: string
  readonly sbom: string
}

/** Lays out the files of an installed warren below `to`: for packages of an operating system. */
export function layOut({ root, to, executable, licenses, sbom }: TreeOptions): void {
  const at = (path: string): string => {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    return join(to, path)
  }
  const write = (path: string, text: string, mode = 0o644): void => {
    writeFileSync(at(path), text)
    chmodSync(join(to, path), mode)
  }
  const unit = (name: string): string =>
    readFileSync(join(root, 'packaging', 'systemd', name), 'utf8')
      .replaceAll('/usr/local/bin/warren', BIN)
      .replaceAll('/usr/local/lib/node_modules/warren/docs', '/usr/share/doc/warren')
  copyFileSync(executable, at(BIN))
  chmodSync(join(to, BIN), 0o755)
  write('/usr/lib/systemd/system/warren.service', unit('warren.service'))
  write('/usr/lib/systemd/user/warren.service', unit('warren-user.service'))
  write('/usr/lib/sysusers.d/warren.conf', unit('warren.sysusers'))
  write('/etc/warren/warren.env', readFileSync(join(root, 'packaging', 'debian', 'warren.env'), 'utf8'), 0o600)
  chmodSync(join(to, '/etc/warren'), 0o700)
  const license = readFileSync(join(root, 'LICENSE'), 'utf8')
  write('/usr/share/doc/warren/copyright', `${license}\n${licenses}`)
  write('/usr/share/doc/warren/sbom.cdx.json', sbom)
  cpSync(join(root, 'docs'), join(to, 'usr/share/doc/warren'), { recursive: true })
}
