import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run } from './run.ts'

/** A key of the builder in the keyring of gpg, by which rpm, dnf and zypper know who made a package. */
export interface RpmKey {
  readonly fingerprint: string
  /** A signature with an earlier time than the key counts for nothing. */
  readonly sinceSeconds: number
}

/** Fields of `gpg --with-colons` (doc/DETAILS of GnuPG), from 0. */
const FIELDS = { kind: 0, created: 5, fingerprint: 9 } as const

/** Finds the only secret key that `name` (an address, or a fingerprint) is for. Throws, with what to do, if there is none. */
export function readRpmKey(name: string): RpmKey {
  const lines = secretKeys(name).map(line => line.split(':'))
  const of = (...kinds: readonly string[]) => lines.filter(fields => kinds.includes(fields[FIELDS.kind] ?? ''))
  if (of('sec').length !== 1)
    throw new Error(`${name} is for ${of('sec').length} secret keys of gpg; give a fingerprint`)
  return {
    // The first one is that of the primary key.
    fingerprint: of('fpr')[0]?.[FIELDS.fingerprint] ?? '',
    sinceSeconds: Math.max(...of('sec', 'ssb').map(fields => Number(fields[FIELDS.created])))
  }
}

/** Signs a package, at the time of its content or of the key, whichever is later: the same at every time for one key. */
export function signRpm(file: string, { fingerprint, sinceSeconds }: RpmKey, epochSeconds: number): void {
  const defined = {
    // rpm of Debian looks for a gpg2 that Debian does not have.
    __gpg: pathOf('gpg'),
    _gpg_name: fingerprint,
    _gpg_sign_cmd_extra_args: `--faked-system-time=${Math.max(epochSeconds, sinceSeconds)}!`
  }
  const definitions = Object.entries(defined).flatMap(([name, value]) => ['--define', `${name} ${value}`])
  run('rpmsign', [...definitions, '--addsign', file], { env: { LC_ALL: 'C' } })
}

/** Writes the public key, as `rpm --import` reads it. */
export function writeRpmKey(file: string, { fingerprint }: RpmKey): void {
  const how = ['--batch', '--yes', '--armor', '--export-options', 'export-minimal']
  run('gpg', [...how, '--output', file, '--export', fingerprint])
}

function secretKeys(name: string): string[] {
  try {
    return run('gpg', ['--batch', '--with-colons', '--fixed-list-mode', '--list-secret-keys', '--', name]).split('\n')
  } catch (err) {
    if (!(err as Error).message.includes('No secret key')) throw err
    throw new Error(`gpg has no secret key for ${name}; make one: gpg --quick-generate-key ${name} rsa3072 sign never`)
  }
}

function pathOf(command: string): string {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map(directory => join(directory, command))
    .find(path => existsSync(path))
  if (found === undefined) throw new Error(`${command} is missing; install it and run this again`)
  return found
}
