import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scope } from '../../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')

const given = process.env['TEST_RELEASE_DIR']

/** A release takes minutes: `npm run test:release` runs the tests with these options. */
export const releaseOptions: { readonly skip?: string } =
  process.env['TEST_RELEASE'] === undefined ? { skip: 'runs by npm run test:release' } : {}

/** A release for this machine. */
export class Release {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /** Makes one of this checkout, signed by `key`. `without`: forms that the test does not look at, as `rpm,image`. */
  static make(scope: Scope, key: string, without = ''): Release {
    const directory = scope.directory()
    const chosen = ['--arch', process.arch, '--key', key, '--without', without]
    const args = ['tools/release/main.ts', '--out', directory, ...chosen]
    execFileSync(process.execPath, args, {
      cwd: ROOT,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' }
    })
    return new Release(directory)
  }

  /** Takes the one in the directory that TEST_RELEASE_DIR names, or makes one. */
  static any(scope: Scope, { without }: { readonly without?: string } = {}): Release {
    return given === undefined ? Release.make(scope, signingKey(scope), without) : new Release(given)
  }

  /** The only file for this machine whose name matches. Throws if there is none. */
  file(pattern: RegExp): string {
    const others = process.arch === 'arm64' ? /x64|amd64|x86_64/ : /arm64|aarch64/
    const found = readdirSync(this.directory).find(name => pattern.test(name) && !others.test(name))
    if (found === undefined) throw new Error(`${pattern} is not among ${readdirSync(this.directory).join(', ')}`)
    return join(this.directory, found)
  }
}

/** A file for another architecture in the directory that TEST_RELEASE_DIR names; undefined if there is none. */
export function givenFile(pattern: RegExp): string | undefined {
  if (given === undefined) return undefined
  const name = readdirSync(given).find(one => pattern.test(one))
  return name === undefined ? undefined : join(given, name)
}

/** A new signing key. */
export function signingKey(scope: Scope): string {
  const key = join(scope.directory(), 'key.pem')
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key])
  return key
}

/** The same Debian package under a later version. */
export function laterDeb(scope: Scope, deb: string, version: string): string {
  const directory = scope.directory()
  const [tree, file] = [join(directory, 'tree'), join(directory, 'later.deb')]
  mkdirSync(tree)
  execFileSync('dpkg-deb', ['--raw-extract', deb, tree])
  const control = join(tree, 'DEBIAN', 'control')
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`))
  execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, file], { stdio: 'ignore' })
  return file
}
