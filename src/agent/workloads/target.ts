import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { ProcessHandle } from '../../identity/attest/index.ts'
import type { HostPort } from '../config.ts'
import type { Protocol, Target } from './workload.ts'

// sun_path holds 108 bytes on Linux and 104 on the BSDs, with the terminating zero.
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103

/** Parses "host:port", "[v6]:port" or ":port". Throws INVALID_ARGUMENT that shows the right form. */
export function parseHostPort(text: string, defaultHost = '127.0.0.1'): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" is not HOST:PORT`, {
      hint: 'Write it as 127.0.0.1:8080 or [::1]:8080.'
    })
  }
  const host = match[1] ?? match[2] ?? ''
  return { host: host === '' ? defaultHost : host, port }
}

/**
 * A TCP or UDP target on this host. Throws INVALID_ARGUMENT for any other host: the agent must not become a way to reach, with
 * its own rights, what the workload could not.
 */
export function portTarget(kind: Protocol, text: string): Target {
  const { host, port } = parseHostPort(text)
  if (port === 0) throw new WarrenError(ErrorCode.InvalidArgument, `"${text}" has port 0`)
  if (!isLocal(host)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `target ${text.slice(0, 80)} is not on this host`, {
      hint: 'Run warren on the host where the server runs and expose it there.'
    })
  }
  return { kind, host: host === 'localhost' ? '127.0.0.1' : host, port }
}

/** A unix socket that `owner` sees at `path`, and a process of `uid` serves. Throws INVALID_ARGUMENT. */
export function unixTarget(path: string, owner: ProcessHandle, uid: number): Target {
  requireSocketPath(path)
  return { kind: 'unix', path, owner, uid, hello: false, protocol: 'tcp' }
}

/** Throws INVALID_ARGUMENT for what cannot be the path of a unix socket. */
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
