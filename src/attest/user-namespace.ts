import { closeSync, openSync } from 'node:fs'
import koffi from 'koffi'

// include/uapi/linux/nsfs.h: _IO(0xb7, 4), whose upper bits are not zero on these.
const NS_GET_OWNER_UID = ['ppc64', 'mips', 'mipsel'].includes(process.arch) ? 0x2000_b704 : 0xb704
const UID_BYTES = 4

let call: ((fd: number, request: number, value: Buffer) => number) | undefined

/** The user who made the user namespace of a process, in the agent's own numbers. Throws if the kernel does not say. */
export function userNamespaceOwner(pid: number): number {
  call ??= koffi.load(null).func('int ioctl(int fd, unsigned long request, _Out_ uint8_t *value)')
  const fd = openSync(`/proc/${pid}/ns/user`, 'r')
  try {
    const uid = Buffer.alloc(UID_BYTES)
    if (call(fd, NS_GET_OWNER_UID, uid) !== 0) throw new Error(`NS_GET_OWNER_UID failed with errno ${koffi.errno()}`)
    return uid.readUInt32LE(0)
  } finally {
    closeSync(fd)
  }
}
