import { type BsdSystem, idsAt, requireProcess } from './system.ts'

// sys/un.h
const SOL_LOCAL = 0
const LOCAL_PEERCRED = 1
/** `struct xucred`: version, uid, number of groups, 16 groups of which the first is the effective one, pid. */
const XUCRED_BYTES = 88
const PROCESS_BYTES = 1_088

/** FreeBSD 13 and later, on amd64 and arm64; before, the kernel did not name the pid of a peer. Laid out by its headers. */
export const freebsd: BsdSystem = Object.freeze<BsdSystem>({
  credentialsOf(fd, calls) {
    const peer = calls.option(fd, SOL_LOCAL, LOCAL_PEERCRED, XUCRED_BYTES)
    if (peer.readUInt32LE(0) !== 0) throw new Error('struct xucred has another version')
    const [gid] = idsAt(peer, 12, peer.readInt16LE(8))
    if (gid === undefined) throw new Error('the kernel names no group of the peer')
    return { pid: peer.readInt32LE(80), uid: peer.readUInt32LE(4), gid }
  },

  // CTL_KERN, KERN_PROC, KERN_PROC_PID
  processName: pid => [1, 14, 1, pid],
  processBytes: PROCESS_BYTES,
  processInfo(info, pid) {
    requireProcess(info, PROCESS_BYTES, 72, pid)
    return {
      userIds: [info.readUInt32LE(172), info.readUInt32LE(168), info.readUInt32LE(176)],
      groupIds: idsAt(info, 192, info.readInt16LE(188)),
      jail: info.readInt32LE(592)
    }
  },
  keventBytes: 64
})
