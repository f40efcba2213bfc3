import { run } from './run.ts'

export interface ArchiveOptions {
  /** The directory whose content is packed, below `name`. */
  readonly parent: string
  readonly name: string
  readonly file: string
  readonly epochSeconds: number
}

/** Writes a .tar.xz or .tar.gz (by the name of `file`) that depends on names, modes and contents of the files alone. */
export function archive({ parent, name, file, epochSeconds }: ArchiveOptions): void {
  const compressor = file.endsWith('.xz') ? 'xz -6 -T1' : 'gzip -9n'
  run('tar', [
    '--sort=name',
    `--mtime=@${epochSeconds}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--format=gnu',
    `--use-compress-program=${compressor}`,
    '-cf',
    file,
    '-C',
    parent,
    name
  ])
}
