import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Host, Program, type Scope, waitFor } from '../../harness/index.ts'
import { CLEAN, output, rootScript } from './root-fs.ts'

const SYSTEMD = '/lib/systemd/systemd'
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty']
/** Of this machine, and not to be touched: the kernel is not the test's own. */
const MASKED = ['systemd-modules-load.service', 'systemd-sysctl.service', 'systemd-udevd.service']

/** Why systemd cannot run here, or undefined. */
export function whyNoSystemd(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, for namespaces'
  if (!existsSync(SYSTEMD)) return `needs ${SYSTEMD}, which is not installed`
  return cgroups() === undefined ? 'needs a file system of kind cgroup2' : undefined
}

/**
 * A host that systemd has booted, as process 1 of namespaces of its own: with a root file system made by `rootScript`, its own
 * /tmp, /run, /var and /etc, and its own cgroups. It is gone, with everything in it, at the end of the scope.
 */
export class SystemdRoot {
  readonly #pid: number

  private constructor(pid: number) {
    this.#pid = pid
  }

  static async boot(scope: Scope, host: Host, files: Readonly<Record<string, string>>): Promise<SystemdRoot> {
    const base = scope.directory()
    const cgroup = mkdtempSync(join(cgroups() ?? '', `warren-test-${host.name}-`))
    scope.defer(async () => await waitFor(() => removed(cgroup), 'the cgroups to be empty'))
    const inside = [
      ...rootScript({ base, files }),
      ...own(join(base, 'root')),
      `exec ${CLEAN.join(' ')} container=other`
    ]
    const boot = `${inside.join('\n')} ${SYSTEMD} --system --unit=basic.target --log-target=console --log-level=notice`
    const namespaces = ['--mount', '--pid', '--ipc', '--uts', '--cgroup', '--fork', '--kill-child']
    // It leaves the cgroup of the test before it gets a namespace for its own.
    const start = ['/bin/sh', '-ec', `echo $$ > ${cgroup}/cgroup.procs; exec "$@"`, 'sh']
    const unshared = ['unshare', ...namespaces, '/bin/sh', '-ec', boot]
    const holder = new Program(scope, host.enter([...start, ...unshared]))
    const pid = await waitFor(() => init(holder), `systemd on ${host.name}`, 240_000)
    const root = new SystemdRoot(pid)
    await waitFor(() => root.#state() === 'running', `systemd to run on ${host.name}`, 240_000)
    return root
  }

  /** The command line that runs `argv` in it. To enter another namespace of processes takes a child, which ends with its parent. */
  enter(...argv: readonly string[]): string[] {
    const child = [...CLEAN, 'setpriv', '--pdeathsig', 'KILL', '--', ...argv]
    return ['nsenter', '--target', String(this.#pid), '--all', '--', ...child]
  }

  /** Runs a command in it, and returns what it printed. Throws when it fails. */
  run(...argv: readonly string[]): string {
    return output(this.enter(...argv))
  }

  /** A property of a unit, as `systemctl show` prints it. */
  property(unit: string, name: string): string {
    return this.run('systemctl', 'show', '--value', '--property', name, unit).trim()
  }

  #state(): string {
    try {
      return this.run('systemctl', 'is-system-running').trim()
    } catch (err) {
      return (err as { stdout?: string }).stdout?.trim() ?? 'offline'
    }
  }
}

/** Where cgroups of version 2 are mounted; beside those of version 1 too. */
function cgroups(): string | undefined {
  const lines = readFileSync('/proc/mounts', 'utf8').split('\n')
  return lines.map(line => line.split(' ')).find(([, , kind]) => kind === 'cgroup2')?.[1]
}

/** Lines that give the root at `root` what is not to be shared, and go into it. */
function own(root: string): string[] {
  return [
    'mount --make-rprivate /',
    `mount -t sysfs -o ro sysfs ${root}/sys`,
    `mount -t cgroup2 cgroup2 ${root}/sys/fs/cgroup`,
    // As in a container: settings of the kernel are this machine's.
    `mount --bind ${root}/proc/sys ${root}/proc/sys`,
    `mount -o remount,bind,ro ${root}/proc/sys`,
    `mount -t tmpfs -o mode=755 tmpfs ${root}/dev`,
    ...DEVICES.map(name => `touch ${root}/dev/${name}; mount --bind /dev/${name} ${root}/dev/${name}`),
    `mkdir ${root}/dev/pts ${root}/dev/shm`,
    `mount -t devpts -o newinstance,ptmxmode=0666 devpts ${root}/dev/pts`,
    `ln -s pts/ptmx ${root}/dev/ptmx`,
    `mount -t tmpfs tmpfs ${root}/dev/shm`,
    // Nothing that this machine starts is started there, and none of its file systems is mounted.
    `rm -rf ${root}/etc/systemd/system/*.wants; : > ${root}/etc/fstab; hostname > ${root}/etc/hostname`,
    ...MASKED.map(unit => `ln -sf /dev/null ${root}/etc/systemd/system/${unit}`),
    `cd ${root}; mkdir -p mnt; pivot_root . mnt; umount -l /mnt`
  ]
}

/** The process of systemd, once it is that. */
function init(holder: Program): number | undefined {
  const [child] = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').trim().split(' ')
  if (child === undefined || child === '') return undefined
  return readFileSync(`/proc/${child}/comm`, 'utf8') === 'systemd\n' ? Number(child) : undefined
}

/** Removes a cgroup and those in it; false while a process is in one. */
function removed(cgroup: string): boolean {
  try {
    for (const entry of readdirSync(cgroup, { withFileTypes: true }))
      if (entry.isDirectory() && !removed(join(cgroup, entry.name))) return false
    rmdirSync(cgroup)
    return true
  } catch {
    return false
  }
}
