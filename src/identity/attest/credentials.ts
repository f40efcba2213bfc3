import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { descriptorOf, type KernelCredentials, type Platform } from './platform.ts'
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
    const process = fromDescriptor(
      credentials.pid,
      system.peerProcessFd(fd) ?? system.openProcess(credentials.pid),
      system
    )
    // Without a descriptor from the socket itself, the pid may have changed hands before it was opened; a process that
    // connected and is gone is refused in either case.
    if (process.isAlive()) return { ...credentials, process }
    process.close()
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end cannot be identified', { cause })
  }
  throw new WarrenError(ErrorCode.PermissionDenied, 'the process at the other end has ended')
}

/** The uid of the listener to whose unix socket `socket` is connected. Throws PERMISSION_DENIED. */
export function listenerUid(socket: Socket, system: Platform = platform()): number {
  try {
    return system.credentialsOf(descriptorOf(socket)).uid
  } catch (cause) {
    throw new WarrenError(ErrorCode.PermissionDenied, 'the listener cannot be identified', { cause })
  }
}
