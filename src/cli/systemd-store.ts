type Koffi = typeof import('koffi')['default']

// include/linux/socket.h
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_NOSIGNAL = 0x4000

// Structures of Linux on little-endian processors of 64 bits: `struct msghdr`, `struct iovec`, `struct cmsghdr` with one descriptor.
const VECTOR = 56
const CONTROL = VECTOR + 16
const CONTROL_BYTES = 24
const LENGTH_OF_ONE = 20
const NAME = CONTROL + CONTROL_BYTES
const NAME_BYTES = 112
const TEXT = NAME + NAME_BYTES
const TEXT_BYTES = 512
const SIZE = TEXT + TEXT_BYTES

/** Sends a text with a descriptor, and waits until there is room for it. Throws. */
export type SendDescriptor = (text: string, descriptor: number) => void

/** Sends from the socket `fd` to `address`, as `struct sockaddr_un` has it. */
export function descriptorSender(
  koffi: Koffi,
  libc: ReturnType<Koffi['load']>,
  fd: number,
  address: Buffer
): SendDescriptor {
  const sendmsg = libc.func('int64_t sendmsg(int fd, const void *header, int flags)')
  const pointer = koffi.alloc('uint8_t', SIZE)
  const bytes = Buffer.from(koffi.view(pointer, SIZE))
  const at = koffi.address(pointer)
  const put = (offset: number, value: bigint): void => void bytes.writeBigUInt64LE(value, offset)
  bytes.fill(0)
  put(0, at + BigInt(NAME))
  put(8, BigInt(address.length))
  put(16, at + BigInt(VECTOR))
  put(24, 1n)
  put(32, at + BigInt(CONTROL))
  put(40, BigInt(CONTROL_BYTES))
  put(VECTOR, at + BigInt(TEXT))
  put(CONTROL, BigInt(LENGTH_OF_ONE))
  bytes.writeInt32LE(SOL_SOCKET, CONTROL + 8)
  bytes.writeInt32LE(SCM_RIGHTS, CONTROL + 12)
  address.copy(bytes, NAME)
  return (text, descriptor) => {
    put(VECTOR + 8, BigInt(bytes.write(text, TEXT, TEXT_BYTES)))
    bytes.writeInt32LE(descriptor, CONTROL + 16)
    const sent = Number(sendmsg(fd, pointer, MSG_NOSIGNAL))
    if (sent < 0) throw new Error(`sendmsg failed: errno ${koffi.errno()}`)
  }
}
