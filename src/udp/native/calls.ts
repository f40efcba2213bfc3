import { constants, endianness } from 'node:os'
import koffi from 'koffi'

/**
 * System calls for many messages at once. Each returns the number of messages, or an errno below zero. They never
 * block.
 */
export interface MessageCalls {
  readonly send: (fd: number, headers: bigint, count: number) => number
  readonly receive: (fd: number, headers: bigint, count: number) => number
  /** Whether the kernel cuts one message into datagrams: UDP_SEGMENT, Linux 4.18 and later. */
  readonly canSegment: (fd: number) => boolean
}

// include/linux/socket.h, include/uapi/linux/udp.h
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
export const SOL_UDP = 17
export const UDP_SEGMENT = 103

/**
 * `sendmmsg` and `recvmmsg` of Linux. Throws if they are unavailable, or if structures in memory differ from
 * `layout.ts`.
 */
export function linuxCalls(): MessageCalls {
  if (process.platform !== 'linux' || endianness() !== 'LE' || koffi.sizeof('void *') !== 8) {
    throw new Error('only for Linux on little-endian processors of 64 bits')
  }
  const libc = koffi.load(null)
  const sendmmsg = libc.func('int sendmmsg(int fd, void *headers, unsigned int count, int flags)')
  const recvmmsg = libc.func('int recvmmsg(int fd, void *headers, unsigned int count, int flags, void *timeout)')
  const getsockopt = libc.func(
    'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *size)'
  )
  const outcome = (count: number): number => (count >= 0 ? count : -(koffi.errno() || constants.errno.EIO))
  return {
    send: (fd, headers, count) => outcome(sendmmsg(fd, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL)),
    receive: (fd, headers, count) => outcome(recvmmsg(fd, headers, count, MSG_DONTWAIT, null)),
    canSegment: fd => getsockopt(fd, SOL_UDP, UDP_SEGMENT, Buffer.alloc(4), [4]) === 0
  }
}
