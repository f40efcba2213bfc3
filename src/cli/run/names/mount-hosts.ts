import { execFile } from 'node:child_process'
import { constants } from 'node:os'
import { promisify } from 'node:util'
import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { HOSTS } from './hosts-file.ts'

// include/uapi/linux/{sched,mount}.h; the same on every processor on which the agent runs.
const CLONE_NEWNS = 0x2_0000
const MS_BIND = 0x1000
const MS_REC = 0x4000
const MS_SLAVE = 0x8_0000
const TRY_MS = 5_000

/** A user namespace with this user alone, in which a mount is allowed; the command itself has no privilege of it. */
const NAMESPACE = ['unshare', '--user', '--map-current-user', '--keep-caps', '--mount', '--'] as const
// The last shell gives the exit code of a command that is not there.
const MOUNT_AND_RUN = `mount --bind "$0" ${HOSTS} && exec setpriv --ambient-caps=-all --inh-caps=-all -- /bin/sh -c 'exec "$@"' sh "$@"`

/** Puts what stands before a command, so that it finds the other file. */
export type Wrap = (argv: readonly string[]) => readonly string[]

/**
 * Lets a command find the file `path` in the place of /etc/hosts, which stays as it is for everybody else.
 *
 * As root, this process and what it starts have a mount namespace of their own from now on. For other users the command is started in a
 * user namespace, by the commands of util-linux. Rejects with UNSUPPORTED where neither is allowed.
 */
export async function mountHosts(path: string): Promise<Wrap> {
  if (process.getuid?.() === 0) {
    await mountHere(path)
    return argv => argv
  }
  const wrap: Wrap = argv => [...NAMESPACE, '/bin/sh', '-c', MOUNT_AND_RUN, path, ...argv]
  const [command = '', ...args] = wrap(['true'])
  try {
    await promisify(execFile)(command, args, { timeout: TRY_MS })
  } catch (cause) {
    throw unsupported(whyOf(cause), cause)
  }
  return wrap
}

async function mountHere(path: string): Promise<void> {
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const unshare = libc.func('int unshare(int flags)')
  const mount = libc.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)'
  )
  const steps: [what: string, act: () => number][] = [
    ['a mount namespace needs CAP_SYS_ADMIN', () => unshare(CLONE_NEWNS)],
    // Else the mount would be one of the host as well.
    ['its mounts cannot be kept apart', () => mount('none', '/', null, MS_REC | MS_SLAVE, null)],
    [`${HOSTS} cannot be mounted`, () => mount(path, HOSTS, null, MS_BIND, null)]
  ]
  for (const [what, act] of steps) {
    if (act() === 0) continue
    const errno = koffi.errno()
    throw unsupported(errno === constants.errno.EPERM ? what : `${what}: errno ${errno}`, undefined)
  }
}

function whyOf(cause: unknown): string {
  if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return 'unshare of util-linux is not installed'
  const { stderr = '' } = cause as { stderr?: string }
  return stderr.split('\n', 1)[0] || 'a user namespace cannot be made'
}

/** The error where a command cannot be given names. */
export function unsupported(why: string, cause: unknown): WarrenError {
  return new WarrenError(ErrorCode.Unsupported, `the command finds no names of the mesh: ${why}`, {
    hint: 'Use --forward ADDRESS=PORT, let root run `warren dns`, or give --no-names.',
    cause
  })
}
