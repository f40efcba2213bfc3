import { constants, endianness } from 'node:os'
import koffi from 'koffi'
import { Message } from './message.ts'

// include/uapi/asm-generic/socket.h, include/linux/socket.h, include/uapi/linux/fcntl.h
const SOL_SOCKET = 1
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x4000_0000
const F_DUPFD_CLOEXEC = 1030

/** The system calls that pass descriptors between processes, and that say what a descriptor is. None of them blocks. */
export interface PassingCalls {
  /** Sends copies of `descriptors`, `MAX_PASSED` at most, over a connected unix socket. Throws. */
  readonly send: (fd: number, descriptors: readonly number[]) => void
  /**
   * Takes the descriptors of the next message on a unix socket; the caller closes them. The kernel closes those beyond `MAX_PASSED`,
   * and then it is `tooMany`. Throws if no message is there.
   */
  readonly receive: (fd: number) => { readonly descriptors: readonly number[]; readonly tooMany: boolean }
  /** A copy that programs of this process do not inherit. Throws. */
  readonly duplicate: (fd: number) => number
  /** The value of an option of SOL_SOCKET; undefined if it is no socket or has no such option. */
  readonly option: (fd: number, name: number) => number | undefined
  /** The port that a socket of IPv4 or IPv6 is bound to. Throws. */
  readonly boundPort: (fd: number) => number
  /** Whether the socket is connected to another one. */
  readonly isConnected: (fd: number) => boolean
}

/** Throws where descriptors cannot be passed: another system, another processor. */
export function linuxCalls(): PassingCalls {
  if (process.platform !== 'linux' || endianness() !== 'LE' || koffi.sizeof('void *') !== 8) {
    throw new Error('only for Linux on little-endian processors of 64 bits')
  }
  const libc = koffi.load(null)
  const sendmsg = libc.func('long sendmsg(int fd, const void *header, int flags)')
  const recvmsg = libc.func('long recvmsg(int fd, void *header, int flags)')
  const fcntl = libc.func('int fcntl(int fd, int command, ...)')
  const getsockopt = libc.func(
    'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *size)'
  )
  const naming = '(int fd, _Out_ uint8_t *name, _Inout_ uint32_t *size)'
  const getsockname = libc.func(`int getsockname${naming}`)
  const getpeername = libc.func(`int getpeername${naming}`)

  const message = new Message()
  const checked = (call: string, result: unknown): number => {
    const outcome = Number(result)
    if (outcome >= 0) return outcome
    const errno = koffi.errno()
    const name = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`
    throw new Error(`${call} failed: ${name}`)
  }

  return {
    send(fd, descriptors) {
      message.fill(descriptors)
      checked('sendmsg', sendmsg(fd, message.pointer, MSG_DONTWAIT | MSG_NOSIGNAL))
    },

    receive(fd) {
      message.empty()
      const bytes = checked('recvmsg', recvmsg(fd, message.pointer, MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
      if (bytes === 0) throw new Error('the connection was closed')
      return { descriptors: message.descriptors(), tooMany: message.isTruncated }
    },

    duplicate: fd => checked('fcntl', fcntl(fd, F_DUPFD_CLOEXEC, 'int', 0)),

    option(fd, name) {
      const value = Buffer.alloc(4)
      return getsockopt(fd, SOL_SOCKET, name, value, [value.length]) === 0 ? value.readInt32LE(0) : undefined
    },

    boundPort(fd) {
      const name = Buffer.alloc(128)
      checked('getsockname', getsockname(fd, name, [name.length]))
      // The same place in `struct sockaddr_in` and `struct sockaddr_in6`.
      return name.readUInt16BE(2)
    },

    isConnected: fd => getpeername(fd, Buffer.alloc(128), [128]) === 0
  }
}
