import type { Socket } from 'node:dgram'
import { datagramDescriptorOf } from '../core/index.ts'
import { forceReceiveBuffer } from './native/index.ts'

/** Requests kernel buffers that hold a burst. The kernel may grant less; datagrams that do not fit are lost. */
export function growBuffers(socket: Socket, bytes: number): void {
  try {
    socket.setRecvBufferSize(bytes)
    socket.setSendBufferSize(bytes)
  } catch {
    // The default buffers suffice, with more loss in bursts.
  }
}

/**
 * Same, for a port that many flows share, of which there are few: root gets the requested size, even above the system's
 * limit for all programs.
 */
export function growPortBuffers(socket: Socket, bytes: number): void {
  growBuffers(socket, bytes)
  const fd = datagramDescriptorOf(socket)()
  if (fd !== undefined) forceReceiveBuffer(fd, bytes)
}
