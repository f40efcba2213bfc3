import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Host, Scope } from '../../harness/index.ts'

const CHECKOUT = join(import.meta.dirname, '..', '..', '..')
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
const PROGRAMS = ['/usr/bin', '/usr/local/bin', '/bin', '/opt', '/root']

/** The environment of whatever runs in a root file system. */
export const CLEAN: readonly string[] = ['/usr/bin/env', '-i', `PATH=${PATH}`, 'HOME=/root']

/** Where a root file system is made, and what is in it as /given/NAME. */
export interface RootPlace {
  /** A directory, over which a file system in memory is mounted. */
  readonly base: string
  readonly files: Readonly<Record<string, string>>
}

/**
 * Lines of a shell script that makes a root file system at BASE/root of that of this machine: without Node, without npm, and
 * without this checkout. Changes to it are in memory.
 */
export function rootScript({ base, files }: RootPlace): string[] {
  const root = join(base, 'root')
  const top = `/${CHECKOUT.split('/')[1]}`
  return [
    `mount -t tmpfs tmpfs ${base}`,
    `mkdir ${base}/upper ${base}/work ${root}`,
    `mount -t overlay overlay -o lowerdir=/,upperdir=${base}/upper,workdir=${base}/work ${root}`,
    // Whatever is called so, wherever this machine looks for programs.
    'for name in node npm npx nodejs; do',
    `find ${PROGRAMS.map(place => root + place).join(' ')} -name $name -not -type d -delete 2>/dev/null || true`,
    'done',
    `mkdir -p ${root}/given`,
    ...Object.entries(files).map(([name, file]) => `cp ${file} ${join(root, 'given', name)}`),
    ...[top, '/run', '/tmp'].map(place => `mount -t tmpfs tmpfs ${root}${place}`),
    `mount -t proc proc ${root}/proc`
  ]
}

/** A root file system on a host, made of that of this machine by `rootScript`. It is gone with the host. */
export class RootFs {
  readonly #host: Host
  readonly #base: string

  private constructor(host: Host, base: string) {
    this.#host = host
    this.#base = base
  }

  static create(scope: Scope, host: Host, files: Readonly<Record<string, string>>): RootFs {
    const base = scope.directory()
    const root = join(base, 'root')
    const script = [...rootScript({ base, files }), `mount --rbind /dev ${root}/dev`]
    host.run('/bin/sh', '-ec', script.join('\n'))
    return new RootFs(host, base)
  }

  /** The command line that runs `argv` in it. */
  enter(...argv: readonly string[]): string[] {
    return this.#host.enter(['chroot', join(this.#base, 'root'), ...CLEAN, ...argv])
  }

  /** Runs a command in it, and returns what it printed. Throws when it fails. */
  run(...argv: readonly string[]): string {
    return output(this.enter(...argv))
  }

  /** What there is here and not on this machine, in order, without what package managers and the database of users keep. */
  added(): string[] {
    const upper = join(this.#base, 'upper')
    // A character device stands for what was removed.
    const found = this.#host.run('find', upper, '-mindepth', '1', '-not', '-type', 'c', '-printf', '/%P\\n')
    const paths = found.trim().split('\n')
    return paths.filter(path => !existsSync(path) && !OF_THE_SYSTEM.test(path)).toSorted()
  }
}

const OF_THE_SYSTEM = /^\/(given|var\/(log|cache|lib\/(dpkg|rpm|dnf|zypp))|root\/\.rpm(db|macros)|etc\/[^/]*-$|etc\/\.)/

/** Runs a command, and returns what it printed. Throws when it fails. */
export function output([command = '', ...args]: readonly string[]): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 * 1024 * 1024
  })
}
