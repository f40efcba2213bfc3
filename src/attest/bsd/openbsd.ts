import { type BsdSystem, idsAt, requireProcess } from './system.ts'

// sys/socket.h
const SOL_SOCKET = 0xffff
const SO_PEERCRED = 0x1022
/** `struct sockpeercred`: uid, gid, pid. */
const PEER_BYTES = 12
const PROCESS_BYTES = 616

/** OpenBSD on amd64 and arm64. Laid out by its headers. */
export const openbsd: BsdSystem = Object.freeze<BsdSystem>({
  credentialsOf(fd, calls) {
    const peer = calls.option(fd, SOL_SOCKET, SO_PEERCRED, PEER_BYTES)
    return { uid: peer.readUInt32LE(0), gid: peer.readUInt32LE(4), pid: peer.readInt32LE(8) }
  },

  // CTL_KERN, KERN_PROC, KERN_PROC_PID, pid, bytes of a structure, how many of them
  processName: pid => [1, 66, 1, pid, PROCESS_BYTES, 1],
  processBytes: PROCESS_BYTES,
  processInfo(info, pid) {
    requireProcess(info, PROCESS_BYTES, 108, pid)
    return {
      userIds: [info.readUInt32LE(132), info.readUInt32LE(128), info.readUInt32LE(568)],
      groupIds: [info.readUInt32LE(136), ...idsAt(info, 144, info.readInt16LE(208))],
      jail: 0
    }
  },
  keventBytes: 32
})
