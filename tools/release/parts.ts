import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Addon, Platform } from './platforms.ts'
import { run } from './run.ts'

/** What an executable is made from, besides the bundle. */
export interface Parts {
  /** The Node that the code is put into, without symbols. */
  readonly node: string
  /** Files by the name that the loader asks for. */
  readonly addons: Readonly<Record<string, string>>
  /** What the executable lacks, in words. */
  readonly missing: readonly string[]
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity?: string } | undefined>>
}

/**
 * Collects Node and the native packages for a platform: those of this checkout, and others from the registry of npm, in the
 * versions of the lock file. npm compares a downloaded package with the hash in the lock file, if it has one.
 */
export class PartsOf {
  readonly #root: string
  readonly #work: string
  readonly #lock: Lock
  readonly #own: string

  constructor(root: string, work: string) {
    this.#root = root
    this.#work = work
    this.#own = process.arch
    this.#lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  }

  collect(platform: Platform): Parts {
    const directory = join(this.#work, platform.arch)
    mkdirSync(directory, { recursive: true })
    const node = join(directory, 'node')
    copyFileSync(this.#node(platform), node)
    chmodSync(node, 0o755)
    strip(node, platform)
    const addons: Record<string, string> = {}
    const missing: string[] = []
    for (const addon of platform.addons) {
      const found = this.#addon(addon)
      if (found === undefined) missing.push(`${addon.packageName}: not in the registry`)
      else addons[addon.name] = found
    }
    return { node, addons, missing }
  }

  #node({ arch, node }: Platform): string {
    if (arch === this.#own) return join(this.#root, 'node_modules', 'node', 'bin', 'node')
    const { version } = this.#lock.packages['node_modules/node'] ?? {}
    if (version === undefined) throw new Error('package-lock.json names no version of node')
    return join(this.#download(node, version), 'bin', 'node')
  }

  #addon({ packageName, file, isOptional = false }: Addon): string | undefined {
    const installed = join(this.#root, 'node_modules', packageName, file)
    if (existsSync(installed)) return installed
    const { version, integrity } = this.#lock.packages[`node_modules/${packageName}`] ?? {}
    if (version === undefined) throw new Error(`package-lock.json names no version of ${packageName}`)
    try {
      return join(this.#download(packageName, version, integrity), file)
    } catch (err) {
      if (isOptional) return undefined
      throw err
    }
  }

  /** Returns the directory of the package. */
  #download(name: string, version: string, integrity?: string): string {
    const directory = mkdtempSync(join(this.#work, 'package-'))
    const args = ['pack', `${name}@${version}`, '--json', '--pack-destination', directory]
    const [packed] = JSON.parse(run('npm', args)) as { readonly filename: string; readonly integrity: string }[]
    if (packed === undefined) throw new Error(`npm packed nothing for ${name}@${version}`)
    if (integrity !== undefined && packed.integrity !== integrity) {
      throw new Error(`${name}@${version} is not what package-lock.json names: ${packed.integrity}`)
    }
    const archive = join(directory, packed.filename.replaceAll('/', '-').replace(/^@/, ''))
    run('tar', ['-xzf', archive, '-C', directory])
    return join(directory, 'package')
  }
}

// Symbols are a fifth of Node, and only a debugger reads them. The tool must know the architecture.
function strip(file: string, { arch }: Platform): void {
  const tools = arch === process.arch ? ['strip', 'llvm-strip'] : ['llvm-strip', `${gnu(arch)}-linux-gnu-strip`]
  const failures: unknown[] = []
  for (const tool of tools) {
    try {
      run(tool, [file])
      return
    } catch (err) {
      failures.push(err)
    }
  }
  throw new Error(`no symbols removed from ${arch}: ${failures.join('; ')} (apt-get install binutils llvm)`)
}

function gnu(arch: Platform['arch']): string {
  return arch === 'x64' ? 'x86-64' : 'aarch64'
}
