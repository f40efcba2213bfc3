import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rpm } from '../../../tools/release/rpm.ts'
import { readRpmKey, signRpm, writeRpmKey } from '../../../tools/release/rpm-signature.ts'
import { layOut } from '../../../tools/release/tree.ts'
import type { Scope } from '../../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const EPOCH_SECONDS = 1_700_000_000
const OWNER = 'Ops of Example <ops@example.org>'

/** What a system of this kind has, under the names that its packages give it. */
const SYSTEM = `Name: system
Version: 1
Release: 1
Summary: What a system of this kind has
License: none
AutoReqProv: no
Provides: /bin/sh, libatomic.so.1()(64bit), libstdc++.so.6()(64bit), libc.so.6(GLIBC_2.28)(64bit)
%description
%files
`

/** A key of gpg, in a keyring of its own that lasts as long as the scope, and packages that are signed with it. */
export class RpmBuilder {
  readonly #scope: Scope

  constructor(scope: Scope) {
    this.#scope = scope
    const home = scope.directory()
    const former = process.env['GNUPGHOME']
    process.env['GNUPGHOME'] = home
    scope.defer(() => {
      execFileSync('gpgconf', ['--kill', 'all'])
      if (former === undefined) delete process.env['GNUPGHOME']
      else process.env['GNUPGHOME'] = former
    })
    const make = ['--batch', '--quiet', '--passphrase', '', '--quick-generate-key', OWNER, 'rsa3072', 'sign', 'never']
    execFileSync('gpg', make, { stdio: 'ignore' })
  }

  /** The public key, as rpm imports it. */
  publicKey(): string {
    const file = join(this.#scope.directory(), 'release.asc')
    writeRpmKey(file, readRpmKey(OWNER))
    return file
  }

  sign(file: string): string {
    signRpm(file, readRpmKey(OWNER), EPOCH_SECONDS)
    return file
  }

  /** The package of a version, as a release makes it, whose executable is a script that says that version. Not signed. */
  warren(version: string, { settings = '' }: { readonly settings?: string } = {}): string {
    const work = this.#scope.directory()
    const [executable, tree, file] = [join(work, 'warren'), join(work, 'tree'), join(work, 'warren.rpm')]
    writeFileSync(executable, `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
    mkdirSync(tree)
    const extras = { files: {}, missing: [] }
    layOut({ root: ROOT, to: tree, executable, licenses: '', sbom: '{}', extras, epochSeconds: EPOCH_SECONDS })
    appendFileSync(join(tree, 'etc/warren/warren.yaml'), settings)
    const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
    rpm({ root: ROOT, tree, arch, version, maintainer: OWNER, file, epochSeconds: EPOCH_SECONDS, work })
    return file
  }

  /** A package that provides what the distributions of rpm do. Signed. */
  system(): string {
    const work = this.#scope.directory()
    const spec = join(work, 'system.spec')
    writeFileSync(spec, SYSTEM)
    execFileSync('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${work}`, '--define', `_rpmdir ${work}`, spec], {
      stdio: 'ignore'
    })
    const made = readdirSync(work, { recursive: true, encoding: 'utf8' }).find(name => name.endsWith('.rpm')) ?? ''
    const file = join(work, 'system.rpm')
    renameSync(join(work, made), file)
    return this.sign(file)
  }
}
