import type { Platform } from '../platform.ts'
import type { ProcessReader } from '../process-reader.ts'
import { HOST_VIEW, unknownView } from '../view.ts'
import type { BsdCalls, BsdSystem, ProcessInfo } from './system.ts'

const EVFILT_PROC = -5
const EV_ADD = 1
const NOTE_EXIT = 0x8000_0000
// (uid_t) -1 stands for nobody.
const NO_ID = 0xffff_ffff

/**
 * A BSD: peer credentials by a socket option, and a kqueue of its own for each process that is held.
 *
 * No BSD gives a descriptor of a peer, so the held process is checked by its user, as on Linux before 6.5.
 */
export function bsdPlatform(system: BsdSystem, calls: BsdCalls): Platform {
  return {
    credentialsOf(fd) {
      const { pid, uid, gid } = system.credentialsOf(fd, calls)
      if (pid <= 0 || uid === NO_ID || gid === NO_ID) throw new Error('the kernel does not name the peer')
      return { pid, uid, gid }
    },
    peerProcessFd: () => undefined,
    openProcess: pid => calls.kqueueWith(exitOf(pid, system.keventBytes)),
    userIdsOf: pid => infoOf(pid, system, calls).userIds,
    // A jail with its own network is recognized by its processes.
    sharesNetwork: () => true,
    ended: processFds => calls.readable(processFds),
    close: calls.close
  }
}

/**
 * The other facts about a process on a BSD. There are no cgroups and no user namespaces, and no way to open the very file that
 * a process runs, so entries that name an executable grant nothing there.
 */
export function bsdProcessReader(system: BsdSystem, calls: BsdCalls, ownPid: number = process.pid): ProcessReader {
  const sharesJail = (pid: number): boolean => infoOf(pid, system, calls).jail === infoOf(ownPid, system, calls).jail
  return {
    // The first is the effective one, which a setgid program has of its file.
    groupIdsOf: pid => infoOf(pid, system, calls).groupIds.slice(1),
    sharesUserIds: sharesJail,
    viewOf(pid) {
      try {
        return sharesJail(pid) ? HOST_VIEW : unknownView('is in a jail')
      } catch {
        return unknownView('could not be examined')
      }
    },
    overflowId: () => NO_ID,
    cgroupOf: () => undefined,
    labelsOf: () => ({}),
    runtimeOwnerOf: () => undefined,
    openExecutable: async pid => {
      throw new Error(`the executable of process ${pid} cannot be opened on this system`)
    }
  }
}

function infoOf(pid: number, system: BsdSystem, calls: BsdCalls): ProcessInfo {
  return system.processInfo(calls.sysctl(system.processName(pid), system.processBytes), pid)
}

/** The `struct kevent` that asks for the end of a process. */
function exitOf(pid: number, bytes: number): Buffer {
  const change = Buffer.alloc(bytes)
  change.writeBigUInt64LE(BigInt(pid), 0)
  change.writeInt16LE(EVFILT_PROC, 8)
  change.writeUInt16LE(EV_ADD, 10)
  change.writeUInt32LE(NOTE_EXIT, 12)
  return change
}
