import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { NATIVE_PACKAGES } from '../../tools/native-packages.ts'
import { temporaryDirectory } from './temporary.ts'

const ROOT = join(import.meta.dirname, '..', '..')

export interface Programs {
  /** The Node that runs the tests. */
  readonly node: string
  /** bin/warren.js */
  readonly warren: string
}

let made: Programs | undefined

/**
 * Node and warren where every user can execute them, whoever may enter the checkout: a copy, made at the first call and
 * removed with this process. Its code is that of `src/` as it is now.
 */
export function programsForOthers(): Programs {
  made ??= copy()
  return made
}

function copy(): Programs {
  const directory = temporaryDirectory('wt-others-')
  process.once('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }))
  const modules = join(directory, 'node_modules')
  // Where bin/warren.js looks for it.
  const node = join(modules, 'node', 'bin', 'node')
  mkdirSync(dirname(node), { recursive: true })
  copyFileSync(realpathSync(process.execPath), node, constants.COPYFILE_FICLONE)
  for (const name of NATIVE_PACKAGES) copyPackage(name, modules)
  mkdirSync(join(directory, 'bin'))
  for (const name of ['package.json', 'bin/warren.js']) copyFileSync(join(ROOT, name), join(directory, name))
  const out = join(directory, 'dist')
  execFileSync(process.execPath, [join(ROOT, 'tools', 'build.ts'), '--code', '--out', out], { stdio: 'pipe' })
  // Whatever the umask was, here and when the checkout was made.
  for (const entry of ['', ...readdirSync(directory, { recursive: true, encoding: 'utf8' })]) {
    const path = join(directory, entry)
    const { mode } = statSync(path)
    chmodSync(path, (mode & 0o100) === 0 ? 0o644 : 0o755)
  }
  return { node, warren: join(directory, 'bin', 'warren.js') }
}

/** With what it needs of its own, as far as that is installed: its native code is in a package for each system. */
function copyPackage(name: string, modules: string): void {
  const from = join(ROOT, 'node_modules', name)
  if (!existsSync(from) || existsSync(join(modules, name))) return
  cpSync(from, join(modules, name), { recursive: true, dereference: true })
  const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as Record<string, object | undefined>
  const needed = { ...manifest['dependencies'], ...manifest['optionalDependencies'] }
  for (const other of Object.keys(needed)) copyPackage(other, modules)
}
