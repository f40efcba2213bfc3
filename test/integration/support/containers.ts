import { chmodSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { at, type Place, type Scope } from '../../harness/index.ts'

export interface Container {
  /** Numeric user inside; there is no user namespace, so it is the same number outside. @default 0 */
  readonly uid?: number
  /** Of the host, and under the same path inside. What the container may write to is written to on the host. */
  readonly mounts: readonly string[]
  /** Of crun: its name, in the state that the system's own runtime has. @default one that nobody asks for */
  readonly name?: string
  /** Of crun: more mounts, of a directory at another path inside. */
  readonly binds?: ReadonlyArray<{ readonly from: string; readonly at: string; readonly readOnly?: boolean }>
  /** @default a network of its own, if the kind has one */
  readonly network?: 'host'
}

/** How to run a command as each kind of container does, without a user namespace. */
export const KINDS = {
  crun,
  bubblewrap,
  'unshare with a root of its own': rooted,
  'unshare -p alone': (_scope: Scope, { uid }: Container, argv: readonly string[]) => [
    'unshare',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    ...at(place(uid), argv)
  ]
} as const

export type Kind = keyof typeof KINDS

/** The program that each kind needs. */
export const PROGRAMS: Readonly<Record<Kind, string>> = {
  crun: 'crun',
  bubblewrap: 'bwrap',
  'unshare with a root of its own': 'unshare',
  'unshare -p alone': 'unshare'
}

/** What a program of Node needs to run, besides /proc. */
function system(): string[] {
  return ['/usr', '/bin', '/lib', '/lib64', dirname(realpathSync(process.execPath))]
}

function place(uid = 0): Place {
  return uid === 0 ? {} : { uid }
}

// As container engines run it by default: namespaces for pids, mounts, network, IPC and host name, few capabilities.
function crun(
  scope: Scope,
  { uid = 0, mounts, network, name, binds = [] }: Container,
  argv: readonly string[]
): string[] {
  const bundle = scope.directory()
  mkdirSync(join(bundle, 'rootfs'))
  const sets = ['bounding', 'effective', 'permitted', 'inheritable', 'ambient']
  const capabilities = uid === 0 ? DEFAULT_CAPABILITIES : []
  const namespaces = ['pid', 'mount', 'ipc', 'uts', ...(network === 'host' ? [] : ['network'])]
  writeFileSync(
    join(bundle, 'config.json'),
    JSON.stringify({
      ociVersion: '1.0.0',
      process: {
        terminal: false,
        user: { uid, gid: uid },
        args: argv,
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
        cwd: '/',
        capabilities: Object.fromEntries(sets.slice(0, uid === 0 ? 3 : 1).map(set => [set, capabilities])),
        noNewPrivileges: true
      },
      root: { path: 'rootfs' },
      hostname: 'inside',
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
        { destination: '/srv', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777'] },
        ...system().map(path => ({ destination: path, type: 'none', source: path, options: ['rbind', 'ro'] })),
        ...mounts.map(path => ({ destination: path, type: 'none', source: path, options: ['rbind'] })),
        ...binds.map(({ from, at, readOnly = false }) => ({
          destination: at,
          type: 'none',
          source: from,
          options: ['rbind', readOnly ? 'ro' : 'rw']
        }))
      ],
      linux: { namespaces: namespaces.map(type => ({ type })) }
    })
  )
  // It does not run where cgroups of both versions are mounted, as they may be here; it is not about cgroups.
  const setUp = `umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`
  const state = join(bundle, 'state')
  const root = name === undefined ? ['--root', state] : []
  const run = ['crun', '--cgroup-manager=disabled', ...root, 'run', '--bundle', bundle, name ?? `wt-${process.pid}`]
  return ['unshare', '--mount', '/bin/sh', '-c', setUp, 'sh', ...run]
}

/** Those that container engines leave to root. */
const DEFAULT_CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'NET_BIND_SERVICE',
  'KILL',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT'
].map(name => `CAP_${name}`)

function bubblewrap(_scope: Scope, { uid, mounts, network }: Container, argv: readonly string[]): string[] {
  const unshared = ['--unshare-pid', '--unshare-ipc', '--unshare-uts', ...(network === 'host' ? [] : ['--unshare-net'])]
  const bound = [
    ...system().flatMap(path => ['--ro-bind', path, path]),
    ...mounts.flatMap(path => ['--bind', path, path])
  ]
  const own = ['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/srv', '--chmod', '1777', '/srv']
  const kept = ['--cap-add', 'cap_setuid', '--cap-add', 'cap_setgid', '--cap-add', 'cap_dac_override']
  return ['bwrap', '--die-with-parent', ...unshared, ...bound, ...own, ...kept, '--', ...at(place(uid), argv)]
}

function rooted(scope: Scope, { uid, mounts, network }: Container, argv: readonly string[]): string[] {
  const root = scope.directory()
  chmodSync(root, 0o755)
  const bind = (path: string): string =>
    `if [ -d ${path} ]; then mkdir -p ${root}${path}; else mkdir -p ${root}${dirname(path)}; touch ${root}${path}; fi; ` +
    `mount --rbind ${path} ${root}${path}`
  const setUp = [
    `mount -t tmpfs -o mode=755 tmpfs ${root}`,
    ...[...system(), '/dev', ...mounts].map(bind),
    `mkdir ${root}/proc ${root}/srv ${root}/old`,
    `chmod 1777 ${root}/srv`,
    `mount -t proc proc ${root}/proc`,
    `cd ${root}`,
    'pivot_root . old',
    'umount -l /old',
    'exec "$@"'
  ].join(' && ')
  const unshared = ['--pid', '--fork', '--kill-child', '--mount', ...(network === 'host' ? [] : ['--net'])]
  return ['unshare', ...unshared, '/bin/sh', '-c', setUp, 'sh', ...at(place(uid), argv)]
}
