import type { Socket } from 'node:net'
import { descriptorOf, ErrorCode, WarrenError } from '../core/index.ts'
import type { KernelCredentials, Platform } from './platform.ts'
import { fromDescriptor, type ProcessHandle } from './process-handle.ts'
import type { ProcessReader } from './process-reader.ts'
import { platform, processReader } from './select.ts'
import type { LocalUser, ProcessView } from './view.ts'

/** The process at the other end of an accepted unix connection. */
export interface PeerCredentials extends KernelCredentials {
  /** Held from now on; the caller must close it. */
  readonly process: ProcessHandle
  /** Its view of the host when the connection was accepted. */
  readonly view: ProcessView
  /** Whether the ports of the agent's loopback interface are those of its own. */
  readonly sharesNetwork: boolean
}

/** The listener that a unix socket is connected to. */
export interface Listener {
  readonly uid: number
  /** Its view of the host; undefined if it has ended, and others hold its socket. Costs as much as `peerUser`. */
  readonly view: () => ProcessView | undefined
  /** It is this very process. */
  readonly isSelf: boolean
}

/**
 * Identifies the process that connected, by the kernel. Call it at accept, before a byte is read.
 *
 * Throws PERMISSION_DENIED if the kernel does not say, or the process has already ended: an unidentified caller has no
 * rights.
 */
export function peerCredentials(
  socket: Socket,
  system: Platform = platform(),
  reader: Pick<ProcessReader, 'viewOf'> = processReader()
): PeerCredentials {
  return readPeer(socket, system, (fd, credentials, process) => {
    const [view, sharesNetwork] = [reader.viewOf(process.pid), system.sharesNetwork(fd, process.pid)]
    return { ...credentials, process, view, sharesNetwork }
  })
}

function readPeer<T>(
  socket: Socket,
  system: Platform,
  look: (fd: number, credentials: KernelCredentials, process: ProcessHandle) => T
): T {
  try {
    const fd = descriptorOf(socket)
    const credentials = system.credentialsOf(fd)
    const process = hold(fd, credentials, system)
    const found = lookAt(process, () => look(fd, credentials, process))
    // Checked last: the facts read by its pid are those of this process only if it still lives.
    if (process.isAlive()) return found
    process.close()
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end cannot be identified', { cause })
  }
  throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end has ended')
}

function lookAt<T>(process: ProcessHandle, look: () => T): T {
  try {
    return look()
  } catch (err) {
    process.close()
    throw err
  }
}

// Before Linux 6.5 a socket gives no descriptor of its peer, and the pid may have gone to another process before it was
// opened. That process must then be of the same user, or a caller could end and be taken for a program of somebody else;
// processes of one user are not kept apart in any case.
function hold(fd: number, credentials: KernelCredentials, system: Platform): ProcessHandle {
  const { pid, uid } = credentials
  const own = system.peerProcessFd(fd)
  if (own !== undefined) return fromDescriptor(pid, own, system)
  const process = fromDescriptor(pid, system.openProcess(pid), system)
  try {
    if (system.userIdsOf(pid).includes(uid)) return process
  } catch (err) {
    process.close()
    throw err
  }
  process.close()
  throw new Error(`process ${pid} is not of user ${uid}`)
}

/**
 * The user that connected. Throws PERMISSION_DENIED, also when its process has ended: the kernel remembers its uid
 * and not its view of the host, so it may have been a container's.
 */
export function peerUser(socket: Socket): LocalUser {
  return userAt(socket, platform())
}

function userAt(socket: Socket, system: Platform): LocalUser {
  const { user, process } = readPeer(socket, system, (_fd, { uid }, process) => ({
    user: { uid, view: processReader().viewOf(process.pid) },
    process
  }))
  process.close()
  return user
}

/** The listener to whose unix socket `socket` is connected. Throws PERMISSION_DENIED. */
export function listenerOf(socket: Socket, system: Platform = platform()): Listener {
  try {
    const { uid, pid } = system.credentialsOf(descriptorOf(socket))
    return { uid, view: () => viewOfListener(socket, system), isSelf: pid === process.pid }
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the listener cannot be identified', { cause })
  }
}

function viewOfListener(socket: Socket, system: Platform): ProcessView | undefined {
  try {
    return userAt(socket, system).view
  } catch {
    return undefined
  }
}
