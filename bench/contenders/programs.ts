import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isInstalled } from '../../test/harness/index.ts'

/** Where the programs of others come from. */
export interface Programs {
  /** What is added to the name of a contender. */
  readonly label: string
  /** Why a program cannot run; undefined if it can. */
  readonly missing: (name: string) => string | undefined
  /** How a command line with it begins. */
  readonly argv: (name: string) => readonly string[]
  /** The path of a file that belongs to a program, such as a module. */
  readonly file: (path: string) => string
}

/** Those that are installed here. */
export const installed: Programs = {
  label: '',
  missing: name => (isInstalled(name) ? undefined : `${name} is not installed`),
  argv: name => [name],
  file: path => path
}

const PACKAGES = ['haproxy', 'nginx', 'libnginx-mod-stream', 'stunnel4']
const MIRROR = 'http://deb.debian.org/debian'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const LIBRARIES = 'usr/lib/x86_64-linux-gnu'

/**
 * Those of Debian's unstable, with the libraries that they need, unpacked below `directory` and not installed. They are
 * fetched there by apt-get if it does not exist; apt verifies them by Debian's keys.
 *
 * @throws Error if they cannot be fetched, or this is not an x64 machine with apt-get
 */
export function newest(directory: string, say: (line: string) => void): Programs {
  if (process.arch !== 'x64') throw new Error('--newest is for x64 machines')
  const root = join(directory, 'root')
  if (!existsSync(root)) {
    say(`fetching ${PACKAGES.join(', ')} of Debian's unstable to ${directory}`)
    fetchTo(directory, root)
  }
  const libraries = join(root, LIBRARIES)
  const path = (name: string): string | undefined =>
    ['usr/sbin', 'usr/bin'].map(folder => join(root, folder, name)).find(existsSync)
  return {
    label: ' of unstable',
    missing: name => (path(name) === undefined ? `there is no ${name} below ${root}` : undefined),
    // By its own loader and libraries: those of this system may be older.
    argv: name => [join(libraries, 'ld-linux-x86-64.so.2'), '--library-path', libraries, path(name) ?? name],
    file: inside => join(root, inside)
  }
}

function fetchTo(directory: string, root: string): void {
  const at = (...parts: string[]): string => join(directory, ...parts)
  for (const folder of ['state/lists/partial', 'cache/archives/partial']) mkdirSync(at(folder), { recursive: true })
  writeFileSync(at('state', 'status'), '')
  writeFileSync(at('sources.list'), `deb [signed-by=${KEYRING}] ${MIRROR} sid main\n`)
  const options = {
    'Dir::State': at('state'),
    'Dir::State::status': at('state', 'status'),
    'Dir::Cache': at('cache'),
    'Dir::Etc::sourcelist': at('sources.list'),
    'Dir::Etc::sourceparts': '-',
    // Its own user may not write here.
    'APT::Sandbox::User': 'root'
  }
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const run = (argv: readonly string[]): void => {
    execFileSync(argv[0] ?? '', argv.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  run(['apt-get', ...flags, '-qq', 'update'])
  run(['apt-get', ...flags, '-qq', '-y', '--no-install-recommends', '--download-only', 'install', ...PACKAGES])
  const archives = at('cache', 'archives')
  for (const name of readdirSync(archives).filter(each => each.endsWith('.deb'))) {
    run(['dpkg-deb', '-x', join(archives, name), root])
  }
}
