import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { readRpmKey } from '../../tools/release/rpm-signature.ts'
import { asRoot, createHosts, needsCommand, scopeOf } from '../harness/index.ts'
import { releaseOptions as options } from './support/released.ts'
import { RootFs } from './support/root-fs.ts'
import { RpmBuilder } from './support/rpms.ts'

/** Where Fedora and SUSE keep what is installed. rpm of Debian has a place for each user. */
const DATABASE = '%_dbpath /var/lib/rpm'

interface Manager {
  readonly install: readonly string[]
  readonly remove: readonly string[]
  /** What it says about a package without a signature, and about one whose signature does not hold. */
  readonly refuses: RegExp
}

const MANAGERS: Readonly<Record<string, Manager>> = {
  dnf: {
    install: ['dnf', '--assumeyes', '--disablerepo=*', '--setopt=localpkg_gpgcheck=1', 'install'],
    remove: ['dnf', '--assumeyes', 'remove'],
    refuses: /is not signed|not correctly signed|GPG check FAILED/
  },
  zypper: {
    install: ['zypper', '--non-interactive', '--no-refresh', 'install'],
    remove: ['zypper', '--non-interactive', '--no-refresh', 'remove'],
    refuses: /Signature verification failed/
  }
}

for (const [name, manager] of Object.entries(MANAGERS)) {
  test(`${name} installs what the builder signed and nothing else, upgrades it, and removes it but for a person's changes`, {
    ...asRoot,
    ...options
  }, async t => {
    for (const command of [name, 'rpmbuild', 'rpmsign', 'gpg']) if (!needsCommand(t, command)) return
    const scope = scopeOf(t)
    const builder = new RpmBuilder(scope)
    const unsigned = builder.warren('1.2.3')
    const first = builder.sign(copied(unsigned, join(scope.directory(), 'first.rpm')))
    const [host] = await createHosts(scope, 'a')
    const root = RootFs.create(scope, host, {
      'release.asc': builder.publicKey(),
      'system.rpm': builder.system(),
      'unsigned.rpm': unsigned,
      'warren.rpm': first,
      'changed.rpm': changed(first, join(scope.directory(), 'changed.rpm')),
      'later.rpm': builder.sign(builder.warren('1.10.0', { settings: '# of a later version\n' }))
    })
    const install = (file: string): string => root.run(...manager.install, `/given/${file}`)
    root.run('sh', '-c', `echo '${DATABASE}' > /root/.rpmmacros`)
    root.run('rpmkeys', '--import', '/given/release.asc')
    const keys = (file: string): string => root.run('rpmkeys', '--checksig', `/given/${file}`)
    assert.match(keys('warren.rpm'), /: digests signatures OK$/m)
    assert.throws(() => keys('changed.rpm'), saying(/NOT OK/))

    // Whoever has repositories gets the library from them.
    assert.throws(() => install('warren.rpm'), saying(/nothing provides libatomic\.so\.1\(\)\(64bit\)/))
    install('system.rpm')
    for (const file of ['unsigned.rpm', 'changed.rpm']) assert.throws(() => install(file), saying(manager.refuses))
    root.run('test', '!', '-e', '/usr/bin/warren')
    assert.match(install('warren.rpm'), /found or join a mesh/)
    assert.equal(root.run('warren'), '1.2.3\n')
    assert.match(root.run('id', 'warren'), /^uid=\d+\(warren\)/)
    assert.equal(root.run('stat', '--format', '%a', '/etc/warren/warren.env'), '600\n')

    root.run('sh', '-c', 'echo "# mine" >> /etc/warren/warren.yaml')
    assert.doesNotMatch(install('later.rpm'), /found or join a mesh/)
    assert.equal(root.run('warren'), '1.10.0\n')
    assert.match(root.run('cat', '/etc/warren/warren.yaml'), /^# mine$/m)
    assert.match(root.run('cat', '/etc/warren/warren.yaml.rpmnew'), /^# of a later version$/m)
    root.run('install', '-d', '-m', '700', '/var/lib/warren')
    assert.match(root.run(...manager.remove, 'warren'), /stay in \/var\/lib\/warren/)
    assert.deepEqual(root.added(), [
      '/etc/warren',
      '/etc/warren/warren.yaml.rpmnew',
      '/etc/warren/warren.yaml.rpmsave',
      '/var/lib/warren'
    ])
  })
}

test(
  'a package that is signed twice is the same, and a key that gpg does not have is an error that says what to do',
  options,
  async t => {
    for (const command of ['rpmbuild', 'rpmsign', 'gpg']) if (!needsCommand(t, command)) return
    const scope = scopeOf(t)
    const builder = new RpmBuilder(scope)
    const unsigned = builder.warren('1.2.3')
    const signed = (): Buffer => readFileSync(builder.sign(copied(unsigned, join(scope.directory(), 'warren.rpm'))))
    assert.ok(signed().equals(signed()))
    assert.throws(
      () => readRpmKey('nobody@example.org'),
      /no secret key for nobody@example\.org; make one: gpg --quick-/
    )
  }
)

function copied(from: string, to: string): string {
  copyFileSync(from, to)
  return to
}

/** The same package with another byte in the middle of its content. */
function changed(from: string, to: string): string {
  const bytes = readFileSync(from)
  const at = bytes.length >> 1
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  writeFileSync(to, bytes)
  return to
}

/** Whether a command that failed printed what matches. */
function saying(pattern: RegExp): (err: unknown) => boolean {
  return err => {
    const { stdout = '', stderr = '' } = err as { readonly stdout?: string; readonly stderr?: string }
    assert.match(`${stdout}${stderr}`, pattern)
    return true
  }
}
