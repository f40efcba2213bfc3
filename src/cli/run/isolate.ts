import { constants } from 'node:os'
import { ErrorCode, WarrenError } from '../../core/index.ts'

// include/uapi/linux/{sched,sockios,if}.h; the same on every processor on which the agent runs.
const CLONE_NEWNET = 0x4000_0000
const AF_INET = 2
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000
const SIOCSIFFLAGS = 0x8914
const IFF_UP = 1
/** `struct ifreq`: the name of the device, then its flags. */
const REQUEST_BYTES = 40
const FLAGS_AT = 16

/**
 * Moves this process, and what it starts from now on, into a network of its own that has a loopback interface and nothing else. Unix
 * sockets, as those of the agent, work as before.
 *
 * Call it before there is any listener. Throws UNSUPPORTED, or PERMISSION_DENIED without CAP_SYS_ADMIN.
 */
export async function isolateNetwork(): Promise<void> {
  if (process.platform !== 'linux') {
    throw new WarrenError(ErrorCode.Unsupported, `--isolated does not exist on ${process.platform}`, {
      hint: 'Run the command in a container or a jail without a network.'
    })
  }
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const unshare = libc.func('int unshare(int flags)')
  const socket = libc.func('int socket(int family, int type, int protocol)')
  const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)')
  const close = libc.func('int close(int fd)')
  if (unshare(CLONE_NEWNET) !== 0) {
    const isDenied = koffi.errno() === constants.errno.EPERM
    throw new WarrenError(
      isDenied ? ErrorCode.PermissionDenied : ErrorCode.Unsupported,
      isDenied ? '--isolated needs CAP_SYS_ADMIN' : `no network of its own can be made: errno ${koffi.errno()}`,
      { hint: 'Run it as root, or leave --isolated out.' }
    )
  }
  const request = Buffer.alloc(REQUEST_BYTES)
  request.write('lo')
  request.writeUInt16LE(IFF_UP, FLAGS_AT)
  const fd: unknown = socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0)
  const isUp = ioctl(fd, SIOCSIFFLAGS, request) === 0
  close(fd)
  if (!isUp) throw new WarrenError(ErrorCode.Internal, 'the loopback interface of the new network does not come up')
}
