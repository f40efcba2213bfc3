import type { Socket } from 'node:dgram'
import { datagramDescriptorOf } from '../core/index.ts'
import { forceReceiveBuffer } from './native/index.ts'

/** Asks the kernel for buffers that hold a burst. It may give less; what does not fit is lost. */
export function growBuffers(socket: Socket, bytes: number): void {
  try {
    socket.setRecvBufferSize(bytes)
    socket.setSendBufferSize(bytes)
  } catch {
    // What the kernel gives without asking does, with more loss in bursts.
  }
}

/**
 * The same for a port that many flows share, of which there are few: as root it is given what was asked for, whatever the
 * system's limit for all programs is.
 */
export function growPortBuffers(socket: Socket, bytes: number): void {
  growBuffers(socket, bytes)
  const fd = datagramDescriptorOf(socket)()
  if (fd !== undefined) forceReceiveBuffer(fd, bytes)
}
