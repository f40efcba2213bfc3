import { type BsdSystem, idsAt, requireProcess } from './system.ts'

// sys/un.h
const SOL_LOCAL = 0
const LOCAL_PEERCRED = 1
const LOCAL_PEERPID = 2
/** `struct xucred`: version, uid, number of groups, 16 groups of which the first is the effective one. */
const XUCRED_BYTES = 76
const PROCESS_BYTES = 648

/** macOS on x86-64 and ARM. Laid out by xnu's headers. */
export const macos: BsdSystem = Object.freeze<BsdSystem>({
  credentialsOf(fd, calls) {
    const peer = calls.option(fd, SOL_LOCAL, LOCAL_PEERCRED, XUCRED_BYTES)
    const pid = calls.option(fd, SOL_LOCAL, LOCAL_PEERPID, 4).readInt32LE(0)
    if (peer.readUInt32LE(0) !== 0) throw new Error('struct xucred has another version')
    const [gid] = idsAt(peer, 12, peer.readInt16LE(8))
    if (gid === undefined) throw new Error('the kernel names no group of the peer')
    return { pid, uid: peer.readUInt32LE(4), gid }
  },

  // CTL_KERN, KERN_PROC, KERN_PROC_PID
  processName: pid => [1, 14, 1, pid],
  processBytes: PROCESS_BYTES,
  processInfo(info, pid) {
    requireProcess(info, PROCESS_BYTES, 40, pid)
    return {
      userIds: [info.readUInt32LE(392), info.readUInt32LE(420), info.readUInt32LE(396)],
      groupIds: idsAt(info, 428, info.readInt16LE(424)),
      jail: 0
    }
  },
  keventBytes: 32
})
