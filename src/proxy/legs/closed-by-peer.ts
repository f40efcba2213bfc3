import type { Socket } from 'node:net'
import koffi from 'koffi'
import { descriptorOf } from '../../core/index.ts'

type Send = (fd: number, bytes: Uint8Array, size: number, flags: number) => number

const NOTHING = new Uint8Array(1)
let send: Send | undefined

/**
 * Whether the process at the other end of a unix socket has closed it, and not only ended its direction. False if that
 * cannot be told: on a socket of another kind, or once our own direction has ended.
 *
 * A reader sees the same end in both cases. A writer does not: a write of no bytes fails if nobody can read any more.
 */
export function isClosedByPeer(socket: Socket): boolean {
  if (socket.writableFinished || socket.remoteAddress !== undefined) return false
  try {
    send ??= koffi.load(null).func('long send(int fd, const uint8_t *bytes, size_t size, int flags)')
    return send(descriptorOf(socket), NOTHING, 0, 0) < 0
  } catch {
    return false
  }
}
