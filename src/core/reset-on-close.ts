import type { Socket } from 'node:net'
import { descriptorOf } from './node-internals.ts'

type SetOption = (fd: number, level: number, name: number, value: Uint8Array, size: number) => number

// sys/socket.h of each system.
const [SOL_SOCKET, SO_LINGER] = process.platform === 'linux' ? [1, 13] : [0xffff, 0x80]

/** Makes every close of a TCP connection a reset or, with false, an end again. Has no effect on a unix socket. */
export type ResetOnClose = (socket: Socket, reset: boolean) => void

/**
 * Loads the native code that sets it. The kernel does what was set even for a process that is killed: without it the
 * other end would take half an answer for a whole one.
 */
export async function loadResetOnClose(): Promise<ResetOnClose> {
  const { default: koffi } = await import('koffi')
  const setOption: SetOption = koffi
    .load(null)
    .func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t size)')
  return (socket, reset) => {
    if (socket.remoteAddress === undefined) return
    const value = new Uint8Array(Int32Array.of(reset ? 1 : 0, 0).buffer)
    try {
      setOption(descriptorOf(socket), SOL_SOCKET, SO_LINGER, value, value.length)
    } catch {
      // It has been closed.
    }
  }
}
