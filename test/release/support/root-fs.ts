import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Host, Scope } from '../../harness/index.ts'

const CHECKOUT = join(import.meta.dirname, '..', '..', '..')
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
const PROGRAMS = ['/usr/bin', '/usr/local/bin', '/bin', '/opt', '/root']

/** A root file system on a host, made of that of this machine: without Node, without npm, and without this checkout. */
export class RootFs {
  readonly #host: Host
  readonly #path: string

  private constructor(host: Host, path: string) {
    this.#host = host
    this.#path = path
  }

  /** Changes to it are in memory, and gone with the host. `files` are there as /given/NAME. */
  static create(scope: Scope, host: Host, files: Readonly<Record<string, string>>): RootFs {
    const base = scope.directory()
    const root = join(base, 'root')
    const top = `/${CHECKOUT.split('/')[1]}`
    const given = Object.entries(files).map(([name, file]) => [file, join(root, 'given', name)] as const)
    const script = [
      `mount -t tmpfs tmpfs ${base}`,
      `mkdir ${base}/upper ${base}/work ${root}`,
      `mount -t overlay overlay -o lowerdir=/,upperdir=${base}/upper,workdir=${base}/work ${root}`,
      // Whatever is called so, wherever this machine looks for programs.
      'for name in node npm npx nodejs; do',
      `find ${PROGRAMS.map(place => root + place).join(' ')} -name $name -not -type d -delete 2>/dev/null || true`,
      'done',
      `mkdir -p ${root}/given`,
      ...given.map(([from, to]) => `cp ${from} ${to}`),
      ...[top, '/run', '/tmp'].map(place => `mount -t tmpfs tmpfs ${root}${place}`),
      `mount -t proc proc ${root}/proc`,
      `mount --rbind /dev ${root}/dev`
    ].join('\n')
    host.run('/bin/sh', '-ec', script)
    return new RootFs(host, root)
  }

  /** The command line that runs `argv` in it. */
  enter(...argv: readonly string[]): string[] {
    return this.#host.enter(['chroot', this.#path, '/usr/bin/env', '-i', `PATH=${PATH}`, 'HOME=/root', ...argv])
  }

  /** Runs a command in it, and returns what it printed. Throws when it fails. */
  run(...argv: readonly string[]): string {
    const [command = '', ...rest] = this.enter(...argv)
    return execFileSync(command, rest, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 256 * 1024 * 1024
    })
  }
}
