import type { Socket } from 'node:dgram'
import { datagramDescriptorOf } from '../core/index.ts'
import type { UdpEndpoint } from './endpoint.ts'
import { linuxCalls, NativeEndpoint, NativeUdp } from './native/index.ts'
import { NodeEndpoint } from './node-endpoint.ts'

export { growBuffers, growPortBuffers } from './buffers.ts'
export type { DatagramListener, DropListener, Remote, UdpEndpoint } from './endpoint.ts'

/** `unknown`: not tried yet; undefined: unavailable. */
let native: NativeUdp | undefined | 'unknown' = 'unknown'

/** Returns the endpoint of a bound or connected socket: with system calls for many datagrams, if available. */
export function udpEndpoint(socket: Socket): UdpEndpoint {
  const fd = datagramDescriptorOf(socket)()
  if (fd === undefined) return new NodeEndpoint(socket)
  if (native === 'unknown') native = findNative(fd)
  return native === undefined ? new NodeEndpoint(socket) : new NativeEndpoint(native, socket)
}

function findNative(fd: number): NativeUdp | undefined {
  try {
    const calls = linuxCalls()
    return new NativeUdp(calls, calls.canSegment(fd))
  } catch {
    // The system or the processor is not supported.
    return undefined
  }
}
