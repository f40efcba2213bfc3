import koffi from 'koffi'

// include/uapi/asm-generic/socket.h
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33

type SetOption = (fd: number, level: number, name: number, value: Uint8Array, size: number) => number

let setOption: SetOption | undefined

/**
 * Sets the receive buffer of a socket beyond `net.core.rmem_max`. Returns false if unavailable: it needs CAP_NET_ADMIN
 * on Linux.
 */
export function forceReceiveBuffer(fd: number, bytes: number): boolean {
  if (process.platform !== 'linux') return false
  try {
    setOption ??= koffi
      .load(null)
      .func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t size)')
    const value = new Uint8Array(Int32Array.of(bytes).buffer)
    return setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, value, value.length) === 0
  } catch {
    return false
  }
}
