import { run } from './run.ts'

export interface ArchiveOptions {
  /** The directory whose content is packed, below `name`. */
  readonly parent: string
  /** `.` for all of it. */
  readonly name: string
  readonly file: string
  readonly epochSeconds: number
  /** Directories that belong to another user than root, with nothing in them that is packed. */
  readonly owned?: { readonly id: number; readonly paths: readonly string[] }
}

/**
 * Writes a .tar, .tar.xz or .tar.gz (by the name of `file`) that depends on names, modes and contents of the files alone. Only a
 * .tar can have `owned` directories.
 */
export function archive({ parent, name, file, epochSeconds, owned }: ArchiveOptions): void {
  const same = [`--mtime=@${epochSeconds}`, '--numeric-owner', '--format=gnu', '-C', parent]
  const compressor = file.endsWith('.xz') ? 'xz -6 -T1' : file.endsWith('.gz') ? 'gzip -9n' : undefined
  run('tar', [
    '-cf',
    file,
    '--sort=name',
    '--owner=0',
    '--group=0',
    ...(compressor === undefined ? [] : [`--use-compress-program=${compressor}`]),
    ...(owned?.paths ?? []).map(path => `--exclude=${path}`),
    ...same,
    name
  ])
  if (owned === undefined) return
  run('tar', ['-rf', file, '--no-recursion', `--owner=${owned.id}`, `--group=${owned.id}`, ...same, ...owned.paths])
}
