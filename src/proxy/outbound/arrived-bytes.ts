import type { Socket } from 'node:net'
import { constants } from 'node:os'
import koffi from 'koffi'
import { descriptorOf } from '../../core/index.ts'
import { FirstBytes } from '../flow/index.ts'

// sys/socket.h of each system.
const MSG_PEEK = 0x2
const MSG_DONTWAIT: Partial<Record<NodeJS.Platform, number>> = {
  linux: 0x40,
  darwin: 0x80,
  freebsd: 0x80,
  openbsd: 0x80,
  netbsd: 0x80
}

/** Nothing has arrived yet. */
const PASSING: readonly number[] = [constants.errno.EAGAIN, constants.errno.EWOULDBLOCK, constants.errno.EINTR]

/** Returns the number of bytes, or the number of the error below zero. */
type Receive = (fd: number, bytes: Buffer, size: number, flags: number) => number

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
    peek: size => {
      // Else Node holds earlier bytes already, or has closed the descriptor, whose number may be another's.
      if (socket.destroyed || socket.readableLength > 0 || socket.readableEnded || !socket.isPaused()) return undefined
      if (space.length < size) space = Buffer.allocUnsafeSlow(size)
      const found = take(descriptorOf(socket), space, size, MSG_PEEK)
      // The system tells a reset once: Node would find an end in its place.
      if (found < 0 && !PASSING.includes(-found)) socket.destroy()
      // Nothing yet, or the end: Node will find that again.
      return found > 0 ? Buffer.from(space.subarray(0, found)) : undefined
    },
    drop: size => {
      if (!socket.destroyed) take(descriptorOf(socket), space, size, 0)
    }
  })
}

function make(): Receive | undefined {
  const dontWait = MSG_DONTWAIT[process.platform]
  if (dontWait === undefined) return undefined
  const recv = koffi.load(null).func('intptr_t recv(int fd, uint8_t *bytes, size_t size, int flags)')
  return (fd, bytes, size, flags) => {
    const found = Number(recv(fd, bytes, size, flags | dontWait))
    return found < 0 ? -koffi.errno() : found
  }
}
