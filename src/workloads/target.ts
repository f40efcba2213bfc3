import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { LocalUser, ProcessHandle } from '../attest/index.ts'
import { ErrorCode, type HostPort, MAX_SOCKET_PATH_BYTES, parseHostPort, WarrenError } from '../core/index.ts'
import type { Target } from './workload.ts'

/**
 * The address of a TCP or UDP server of this host. Throws INVALID_ARGUMENT for any other host: the agent must not reach, with its
 * own rights, a server that the workload could not reach.
 */
export function portTarget(text: string): HostPort {
  const { host, port } = parseHostPort(text)
  if (port === 0) throw new WarrenError(ErrorCode.InvalidArgument, `"${text}" has port 0`)
  if (!isLocal(host)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `target ${text.slice(0, 80)} is not on this host`, {
      hint: 'Run warren on the host where the server runs and expose it there.'
    })
  }
  // One family and not both: each may have a server of its own.
  return { host: host === 'localhost' ? '127.0.0.1' : host, port }
}

/** A unix socket that `owner` sees at `path`, and a process of the caller's uid serves. Throws INVALID_ARGUMENT. */
export function unixTarget(path: string, owner: ProcessHandle, { uid, view }: LocalUser): Target {
  requireSocketPath(path)
  return { kind: 'unix', path, owner, uid, outside: !view.isOfHost, hello: false, protocol: 'tcp' }
}

/** Throws INVALID_ARGUMENT unless it can be the path of a unix socket. */
export function requireSocketPath(path: string): void {
  if (!path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${path.slice(0, 120)}" cannot be the path of a unix socket`, {
      hint: `Give an absolute path of at most ${MAX_SOCKET_PATH_BYTES} bytes.`
    })
  }
}

function isLocal(host: string): boolean {
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))) return true
  return Object.values(networkInterfaces()).some(list => list?.some(entry => entry.address === host) === true)
}
