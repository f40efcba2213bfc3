import { closeSync, readFileSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import koffi from 'koffi'
import type { KernelCredentials, Platform } from './platform.ts'
import { readable } from './poll.ts'

// include/uapi/asm-generic/socket.h; the same on x86, ARM and RISC-V.
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SO_PEERPIDFD = 77
const SO_NETNS_COOKIE = 71
const AF_UNIX = 1
const SOCK_STREAM_CLOEXEC = 0o2000001
const COOKIE_BYTES = 8
// The same number on every architecture: it came after their tables were joined.
const SYS_PIDFD_OPEN = 434
const CREDENTIAL_BYTES = 12
// (uid_t) -1: an unconnected or foreign socket reports it.
const NO_ID = 0xffff_ffff

/** Linux: SO_PEERCRED, SO_PEERPIDFD (6.5 and later), SO_NETNS_COOKIE (5.14 and later), pidfd_open (5.3 and later), and poll over pidfds. */
export function linuxPlatform(): Platform {
  const libc = koffi.load(null)
  const getsockopt = libc.func(
    'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *size)'
  )
  const syscall = libc.func('long syscall(long number, long first, long second)')
  const socket = libc.func('int socket(int family, int type, int protocol)')
  const poll = libc.func('int poll(_Inout_ uint8_t *fds, unsigned long count, int timeout)')

  // One buffer for all calls, and a size that is no array, which koffi would convert: each connection asks three times, and
  // each call takes half as long so. The value must be read before the next call.
  const value = Buffer.alloc(CREDENTIAL_BYTES)
  const size = new Uint32Array(1)
  const option = (fd: number, name: number, bytes: number): Buffer | undefined => {
    size[0] = bytes
    return getsockopt(fd, SOL_SOCKET, name, value, size) === 0 && size[0] === bytes ? value : undefined
  }

  // An accepted socket is in the network of the one that connected, and so was its maker.
  const networkOf = (fd: number): bigint | undefined => option(fd, SO_NETNS_COOKIE, COOKIE_BYTES)?.readBigUInt64LE(0)
  let ownNetwork: { readonly cookie: bigint | undefined } | undefined
  const own = (): bigint | undefined => {
    if (ownNetwork !== undefined) return ownNetwork.cookie
    const fd: unknown = socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0)
    if (typeof fd !== 'number' || fd < 0) return undefined
    ownNetwork = { cookie: networkOf(fd) }
    closeSync(fd)
    return ownNetwork.cookie
  }

  return {
    credentialsOf(fd): KernelCredentials {
      const value = option(fd, SO_PEERCRED, CREDENTIAL_BYTES)
      if (value === undefined) throw new Error(`SO_PEERCRED failed with errno ${koffi.errno()}`)
      const [pid, uid, gid] = [value.readInt32LE(0), value.readUInt32LE(4), value.readUInt32LE(8)]
      if (pid <= 0 || uid === NO_ID || gid === NO_ID) throw new Error('the kernel does not name the peer')
      return { pid, uid, gid }
    },

    peerProcessFd(fd) {
      const value = option(fd, SO_PEERPIDFD, 4)
      if (value !== undefined) return value.readInt32LE(0)
      // Not every kernel that has the option has a descriptor for a peer that has ended. Its pid may belong to another
      // process by now, and must not be used for a lookup.
      const errno = koffi.errno()
      if (errno !== constants.errno.ENOPROTOOPT) throw new Error(`SO_PEERPIDFD failed with errno ${errno}`)
      return undefined
    },

    openProcess(pid) {
      const fd: unknown = syscall(SYS_PIDFD_OPEN, pid, 0)
      if (typeof fd !== 'number' || fd < 0) throw new Error(`pidfd_open(${pid}) failed with errno ${koffi.errno()}`)
      return fd
    },

    userIdsOf(pid) {
      const ids = /^Uid:((?:\s+\d+)+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      return (ids ?? '').trim().split(/\s+/).map(Number)
    },

    sharesNetwork(fd, pid) {
      const theirs = networkOf(fd)
      if (theirs !== undefined) return theirs === own()
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net')
      } catch {
        return false
      }
    },

    ended(processFds) {
      return readable(processFds, { call: (fds, count) => poll(fds, count, 0), errno: () => koffi.errno() })
    },

    close: closeSync
  }
}
