import type { Socket } from 'node:net'
import koffi from 'koffi'
import { descriptorOf } from '../../core/index.ts'
import { FirstBytes } from '../flow/index.ts'

// sys/socket.h of each system.
const MSG_DONTWAIT: Partial<Record<NodeJS.Platform, number>> = {
  linux: 0x40,
  darwin: 0x80,
  freebsd: 0x80,
  openbsd: 0x80,
  netbsd: 0x80
}

type Receive = (fd: number, bytes: Buffer, size: number) => number

let receive: Receive | undefined | null = null
let space = Buffer.alloc(0)

/**
 * What has arrived at a paused socket from which nothing was read. Node reads when its loop comes to that; this asks the
 * kernel at once. Undefined if the system is not known.
 */
export function firstBytesOf(socket: Socket): FirstBytes | undefined {
  if (receive === null) receive = make()
  const take = receive
  if (take === undefined) return undefined
  return new FirstBytes({
    read: size => {
      // Else Node holds earlier bytes already, or has closed the descriptor, whose number may be another's.
      if (socket.destroyed || socket.readableLength > 0 || socket.readableEnded || !socket.isPaused()) return undefined
      if (space.length < size) space = Buffer.allocUnsafeSlow(size)
      const taken = take(descriptorOf(socket), space, size)
      // Nothing yet, the end, or an error: Node will find it again.
      return taken > 0 ? Buffer.from(space.subarray(0, taken)) : undefined
    },
    unread: bytes => socket.unshift(bytes)
  })
}

function make(): Receive | undefined {
  const flags = MSG_DONTWAIT[process.platform]
  if (flags === undefined) return undefined
  const recv = koffi.load(null).func('intptr_t recv(int fd, uint8_t *bytes, size_t size, int flags)')
  return (fd, bytes, size) => Number(recv(fd, bytes, size, flags))
}
