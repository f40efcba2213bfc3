import type { Socket } from 'node:net'
import { setSocketOption } from '../socket-option.ts'

// include/uapi/linux/tcp.h
const IPPROTO_TCP = 6
const TCP_WINDOW_CLAMP = 10
const TCP_NOTSENT_LOWAT = 25
/** The same amount as a stream of a session may have in flight. */
const WINDOW_BYTES = 1024 * 1024
const UNSENT_BYTES = 256 * 1024

/**
 * Bounds the kernel buffers of a fast-path connection with a stalled reader to about 1.3 MB in both hosts together, as long as it
 * was not read fast before: Linux raises the clamp of such a connection, up to `tcp_rmem`. Without this they grow up to
 * `tcp_rmem` and `tcp_wmem`, which may be 32 MB and 4 MB. Other systems keep their own bounds.
 */
export function boundKernelBuffers(socket: Socket): void {
  if (process.platform !== 'linux') return
  setSocketOption(socket, IPPROTO_TCP, TCP_WINDOW_CLAMP, WINDOW_BYTES)
  setSocketOption(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)
}
