import type { Socket } from 'node:net'
import { descriptorOf, ErrorCode, WarrenError } from '../core/index.ts'
import type { KernelCredentials, Platform } from './platform.ts'
import { fromDescriptor, type ProcessHandle } from './process-handle.ts'
import { platform } from './select.ts'

/** Who is at the other end of an accepted unix connection. */
export interface PeerCredentials extends KernelCredentials {
  /** Held from now on; the caller must close it. */
  readonly process: ProcessHandle
}

/**
 * Identifies the process that connected, by the kernel. To be called at accept, before a byte is read.
 *
 * Throws PERMISSION_DENIED when the kernel does not say, or the process has already ended: whoever cannot be identified
 * is nobody.
 */
export function peerCredentials(socket: Socket, system: Platform = platform()): PeerCredentials {
  try {
    const fd = descriptorOf(socket)
    const credentials = system.credentialsOf(fd)
    const process = hold(fd, credentials, system)
    if (process.isAlive()) return { ...credentials, process }
    process.close()
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end cannot be identified', { cause })
  }
  throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end has ended')
}

// Before Linux 6.5 a socket gives no descriptor of its peer, and the pid may have gone to another process before it was
// opened. Then that must be one of the same user, or a caller could end and be taken for a program of somebody else;
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
 * The uid of who connected, which the kernel noted then. Throws PERMISSION_DENIED.
 *
 * Unlike `peerCredentials` it knows one that has ended since: what it wrote before is in the socket.
 */
export function peerUid(socket: Socket, system: Platform = platform()): number {
  try {
    return system.credentialsOf(descriptorOf(socket)).uid
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end cannot be identified', { cause })
  }
}

/** The uid of the listener to whose unix socket `socket` is connected. Throws PERMISSION_DENIED. */
export function listenerUid(socket: Socket, system: Platform = platform()): number {
  try {
    return system.credentialsOf(descriptorOf(socket)).uid
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the listener cannot be identified', { cause })
  }
}
