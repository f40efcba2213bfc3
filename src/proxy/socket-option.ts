import type { Socket } from 'node:net'
import koffi from 'koffi'
import { descriptorOf } from '../core/index.ts'

type SetOption = (fd: number, level: number, name: number, value: Uint8Array, size: number) => number

let setOption: SetOption | undefined

/**
 * Sets an option that Node does not offer, of one C `int` or of several. Returns false if the socket is not connected
 * or has no such option.
 */
export function setSocketOption(socket: Socket, level: number, name: number, ...ints: readonly number[]): boolean {
  setOption ??= koffi
    .load(null)
    .func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t size)')
  const value = new Uint8Array(Int32Array.from(ints).buffer)
  try {
    return setOption(descriptorOf(socket), level, name, value, value.length) === 0
  } catch {
    return false
  }
}
