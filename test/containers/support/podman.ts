import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Program, programsForOthers, type Scope } from '../../harness/index.ts'
import { Probe } from '../../integration/support/probe.ts'

const SYSTEM = ['/usr', '/bin', '/lib', '/lib64'] as const
/** For the first container of a pod: limits that this machine may not raise. */
const LIMITS = '[containers]\ndefault_ulimits=["nofile=1024:1024", "nproc=1000:1000"]\n'
const IMAGE = 'localhost/empty:1'
/** Numbers that a user without root gives to the users of its containers. */
const SUBORDINATE = 700_000

/** A podman with a store of its own: of root, or of a user who has no other rights. */
export class Podman {
  readonly #scope: Scope
  readonly #uid: number
  readonly #home: string
  #made: Promise<unknown> | undefined

  constructor(scope: Scope, uid = 0) {
    this.#scope = scope
    this.#uid = uid
    this.#home = scope.directory()
    if (uid === 0) return
    chownSync(this.#home, uid, uid)
    const runtime = `/run/user/${uid}`
    mkdirSync(runtime, { recursive: true, mode: 0o700 })
    chownSync(runtime, uid, uid)
    scope.defer(() => rmSync(runtime, { recursive: true, force: true }))
  }

  /** What podman prints. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await new Program(this.#scope, this.command(args)).outcome()
    if (code !== 0) throw new Error(`podman ${args.join(' ')} failed: ${stderr}`)
    return stdout.trim()
  }

  /** Makes a pod for containers of root. Resolves with its id. */
  async pod(name: string): Promise<string> {
    this.#made ??= this.#make()
    await this.#made
    const system = SYSTEM.flatMap(path => ['-v', `${path}:${path}:ro`])
    const infra = ['--infra-image', IMAGE, '--infra-command', '/bin/sleep 600']
    return await this.run('pod', 'create', '--name', name, '--network', 'none', '--share', 'ipc', ...infra, ...system)
  }

  /** A probe in a new container of this name, with paths of the host under the same paths, or FROM:AT:ro. */
  async probe(name: string, mounts: readonly string[], more: readonly string[] = []): Promise<Probe> {
    this.#made ??= this.#make()
    await this.#made
    const { node } = programsForOthers()
    // Those of a pod are in all of its containers.
    const paths = [...(more.includes('--pod') ? [] : SYSTEM), dirname(node)]
    const system = paths.flatMap(path => ['-v', `${path}:${path}:ro`])
    const bound = mounts.flatMap(path => ['-v', path.includes(':') ? path : `${path}:${path}`])
    // Limits that this machine may not raise.
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000']
    const options = ['-i', '--rm', '--name', name, '--network', 'none', '--tmpfs', '/srv:mode=1777', ...limits, ...more]
    return await Probe.start(this.#scope, ([, ...argv]) =>
      this.command(['run', ...options, ...system, ...bound, IMAGE, node, ...argv])
    )
  }

  /** A probe started in a container that runs, by a command that may change where it is. */
  async exec(name: string, by: readonly string[] = []): Promise<Probe> {
    const { node } = programsForOthers()
    return await Probe.start(this.#scope, ([, ...argv]) => this.command(['exec', '-i', name, ...by, node, ...argv]))
  }

  command(args: readonly string[]): string[] {
    const store = ['--root', join(this.#home, 'store'), '--runroot', join(this.#home, 'run'), '--storage-driver', 'vfs']
    const podman = [
      'podman',
      ...(this.#uid === 0 ? store : ['--storage-driver', 'vfs']),
      '--cgroup-manager=cgroupfs',
      ...args
    ]
    // crun refuses cgroups of both versions.
    const setUp = ['if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi']
    if (this.#uid !== 0) setUp.push(...this.#accounts())
    const as = this.#uid === 0 ? [] : ['setpriv', `--reuid=${this.#uid}`, `--regid=${this.#uid}`, '--clear-groups']
    const env = [`HOME=${this.#home}`, `XDG_RUNTIME_DIR=/run/user/${this.#uid}`, `PATH=${process.env['PATH'] ?? ''}`]
    const limits = join(this.#home, 'containers.conf')
    writeFileSync(limits, LIMITS)
    const asUser =
      this.#uid === 0 ? ['env', `CONTAINERS_CONF=${limits}`, ...podman] : [...as, 'env', '-i', ...env, ...podman]
    return ['unshare', '--mount', '/bin/sh', '-c', `${setUp.join(' && ')} && cd / && exec "$@"`, 'sh', ...asUser]
  }

  // Only for what it runs, this machine has such a user.
  #accounts(): string[] {
    const line = `wt-podman:${SUBORDINATE}:65536\n`
    const files: Readonly<Record<string, string>> = {
      passwd: `wt-podman:x:${this.#uid}:${this.#uid}::${this.#home}:/bin/sh\n`,
      group: `wt-podman:x:${this.#uid}:\n`,
      subuid: line,
      subgid: line
    }
    const accounts = `${this.#home}-accounts`
    if (!existsSync(accounts)) {
      mkdirSync(accounts)
      this.#scope.defer(() => rmSync(accounts, { recursive: true }))
      for (const [name, text] of Object.entries(files)) {
        const present = existsSync(`/etc/${name}`) ? readFileSync(`/etc/${name}`, 'utf8') : ''
        writeFileSync(join(accounts, name), `${present}${text}`)
      }
    }
    return Object.keys(files).map(name => `touch /etc/${name} && mount --bind ${accounts}/${name} /etc/${name}`)
  }

  async #make(): Promise<void> {
    this.#scope.defer(async () => {
      if (this.#uid === 0) await this.run('pod', 'rm', '--all', '--force', '--time', '0')
      await this.run('rm', '--all', '--force')
    })
    const root = join(this.#home, 'root')
    for (const path of ['usr', 'bin', 'lib', 'lib64', 'tmp', 'srv', 'etc'])
      mkdirSync(join(root, path), { recursive: true })
    const archive = join(this.#home, 'image.tar')
    await new Program(this.#scope, ['tar', '-C', root, '-cf', archive, '.']).outcome()
    if (this.#uid !== 0) chownSync(archive, this.#uid, this.#uid)
    await this.run('import', archive, IMAGE)
  }

  /** The id of the image of its containers. */
  async imageId(): Promise<string> {
    return `sha256:${(await this.run('image', 'inspect', '--format', '{{.Id}}', IMAGE)).replace(/^sha256:/, '')}`
  }
}
