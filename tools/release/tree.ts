import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { copyDocuments } from './documents.ts'
import { type Extras, ZSH_COMPLETIONS } from './extras.ts'

/** The directory of the command in packages of an operating system. */
const BIN = '/usr/bin/warren'

/** Files that belong to whoever runs the host: a newer package keeps what was changed in them. */
export const CONFIG_FILES: readonly string[] = ['/etc/warren/warren.env', '/etc/warren/warren.yaml']
/** Tokens of a join stand in it. */
const SECRET_FILE = '/etc/warren/warren.env'

export interface TreeOptions {
  readonly root: string
  /** The directory to fill. */
  readonly to: string
  readonly executable: string
  readonly licenses: string
  readonly sbom: string
  readonly extras: Extras
  /** Below /usr/share. @default where zsh itself looks; Debian has another place. */
  readonly zshCompletions?: string
  readonly epochSeconds: number
}

/** Lays out the files of an installed warren below `to`, for packages of an operating system, the same on every machine. */
export function layOut(options: TreeOptions): void {
  const { root, to, executable, licenses, sbom, extras, zshCompletions = ZSH_COMPLETIONS, epochSeconds } = options
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    writeFileSync(join(to, path), text)
  }
  const given = (...path: string[]): string => readFileSync(join(root, 'packaging', ...path), 'utf8')
  mkdirSync(dirname(join(to, BIN)), { recursive: true })
  copyFileSync(executable, join(to, BIN))
  write('/usr/lib/systemd/system/warren.service', unitAt(given('systemd', 'warren.service')))
  write('/usr/lib/systemd/user/warren.service', unitAt(given('systemd', 'warren-user.service')))
  write('/usr/lib/sysusers.d/warren.conf', given('systemd', 'warren.sysusers'))
  for (const path of CONFIG_FILES) write(path, given('etc', path.split('/').at(-1) ?? ''))
  mkdirSync(join(to, 'etc/warren/conf.d'))
  write('/usr/share/doc/warren/copyright', `${readFileSync(join(root, 'LICENSE'), 'utf8')}\n${licenses}`)
  write('/usr/share/doc/warren/sbom.cdx.json', sbom)
  copyDocuments({ root, to: join(to, 'usr/share/doc/warren') })
  for (const [path, text] of Object.entries(extras.files))
    write(`/usr/share/${path.replace(ZSH_COMPLETIONS, zshCompletions)}`, text)
  normalise(to, epochSeconds)
  chmodSync(join(to, SECRET_FILE), 0o600)
}

/** A unit with the paths of a package, where the one of the repository has those of a checkout. */
function unitAt(unit: string): string {
  return unit
    .replaceAll('/usr/local/bin/warren', BIN)
    .replaceAll('/usr/local/lib/node_modules/warren/docs', '/usr/share/doc/warren')
}

/** Gives all files modes and times that depend neither on the umask of the builder nor on the checkout. */
export function normalise(directory: string, epochSeconds: number): void {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const isProgram = entry.isDirectory() || (entry.isFile() && /\/bin\/[^/]+$|\.so[.\d]*$/.test(path))
    if (!entry.isSymbolicLink()) chmodSync(path, isProgram ? 0o755 : 0o644)
    lutimesSync(path, epochSeconds, epochSeconds)
  }
  chmodSync(directory, 0o755)
}

/** All paths below `tree`, with a slash in front, and whether they are directories. In order. */
export function pathsOf(tree: string): ReadonlyArray<{ readonly path: string; readonly isDirectory: boolean }> {
  return readdirSync(tree, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(path => ({ path: `/${path}`, isDirectory: statSync(join(tree, path)).isDirectory() }))
}
