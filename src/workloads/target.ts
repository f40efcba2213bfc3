import { networkInterfaces } from 'node:os'
import type { FileId, LocalUser, ProcessHandle, ProcessView } from '../attest/index.ts'
import {
  ErrorCode,
  formatHostPort,
  gatewayName,
  type HostPort,
  isLocalhost,
  isLoopback,
  MAX_SOCKET_PATH_BYTES,
  type Protocol,
  parseHostPort,
  WarrenError
} from '../core/index.ts'

/** Who has a port at one moment. */
export interface PortLook {
  /** Somebody who may. */
  readonly ok: boolean
  readonly text: string
  /** The same as other hosts may read it: without the user. */
  readonly textForOthers: string
  /** Connections of TCP that the server has not accepted yet. */
  readonly waiting: number
}

/** The user who may serve the port of one registration, and the one who does. */
export interface PortServer {
  /** Why the last connection, or the last look, was refused, for people of this host; undefined if it was not. */
  readonly problem: string | undefined
  /** The same as other hosts may read it: without the user. */
  readonly refusal: string | undefined
  /** The literal address at which to connect to the server now. */
  readonly host: () => string
  /**
   * The cookie of the socket that gets what is sent to the port now, a number that no other socket has; undefined if there
   * is none. `from` is where it is sent from, if known; literal addresses.
   *
   * Throws DESTINATION_UNREACHABLE when it is a socket of a user who may not serve the port, or the kernel does not say.
   */
  readonly holder: (from?: HostPort) => bigint | undefined
  /**
   * Whether the connection from `from` to `to`, the addresses that its own end has, has its other end on this host as well:
   * address translation may lead it past a listener that lives. Throws DESTINATION_UNREACHABLE when it cannot be told.
   */
  readonly meets: (from: HostPort, to: HostPort) => boolean
  /** The error for a port whose listener lives, but past which a connection was led; it is also noted. */
  readonly bypassed: () => WarrenError
  /** The error for a port that answers though no socket of this host has it, of which note is taken. */
  readonly hidden: () => WarrenError
  /** Asks now, and says what is found. */
  readonly look: () => PortLook
  /** Calls back after each change of `problem`; the returned function ends that. */
  readonly onChange: (listener: () => void) => () => void
}

/** Where the agent delivers connections for a registration. */
export type Target =
  | {
      readonly kind: 'unix'
      readonly path: string
      /** The process that sees the socket at this path. @default the agent, which made the directory for it */
      readonly owner?: Pick<ProcessHandle, 'pid' | 'isAlive'>
      /** The directory of the agent's making; without an owner, no other is served from. */
      readonly made?: FileId
      readonly uid: number
      /** The server must also be in this view. @default any view: the process that named the path knows its writers */
      readonly view?: ProcessView
      /** Named by a process that is not of the host, so that no server of the host may be reached by it. @default false */
      readonly outside?: boolean
      readonly hello: boolean
      /** With `udp`, each connection carries length-prefixed datagrams. */
      readonly protocol: Protocol
      /** Begin each connection with a PROXY protocol v2 header. */
      readonly proxy?: boolean
    }
  | ({
      readonly kind: 'tcp'
      /** Begin each connection with a PROXY protocol v2 header. */
      readonly proxy?: boolean
      /** It is a server of another host, whose name is looked up for each connection. @default false */
      readonly gateway?: boolean
    } & ServedPort)
  | ({ readonly kind: 'udp' } & ServedPort)

/** The host is literal, or `localhost`, which means both families. */
interface ServedPort extends HostPort {
  /** Undefined: whoever has the port is taken for the server. */
  readonly server: PortServer | undefined
}

/** The server of another host, HOST:PORT in lower case, for which a registration with this target stands; undefined for none. */
export function gatewayOf(target: Target | undefined): string | undefined {
  return target?.kind === 'tcp' && target.gateway === true ? formatHostPort(target) : undefined
}

/** As a target. Throws INVALID_ARGUMENT for a server of this host: whose it is would not be asked. */
export function gatewayTarget(text: string): Target {
  const { host, port } = parseHostPort(gatewayName(text))
  if (!isLocal(host)) return { kind: 'tcp', host, port, server: undefined, gateway: true }
  throw new WarrenError(ErrorCode.InvalidArgument, `target ${text.slice(0, 80)} is on this host`, {
    hint: 'Leave out --gateway: it is for servers of other hosts.'
  })
}

/** The check of the port of a target, if it has one. */
export function serverOf(target: Target | undefined): PortServer | undefined {
  return target === undefined || target.kind === 'unix' ? undefined : target.server
}

/**
 * The address of a TCP or UDP server of this host. Throws INVALID_ARGUMENT for any other host: the agent must not reach, with its
 * own rights, a server that the workload could not reach.
 */
export function portTarget(text: string): HostPort {
  const { host, port } = parseHostPort(text)
  if (port === 0) throw new WarrenError(ErrorCode.InvalidArgument, `"${text}" has port 0`)
  if (host.includes('%')) {
    throw new WarrenError(ErrorCode.InvalidArgument, `target ${text.slice(0, 80)} has a zone`, {
      hint: 'Give another address at which the server listens, as in [::1]:8080.'
    })
  }
  if (!isLocal(host)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `target ${text.slice(0, 80)} is not on this host`, {
      hint: 'Run warren on the host where the server runs and expose it there, or stand for that server: --gateway.'
    })
  }
  return { host: isLocalhost(host) ? 'localhost' : host, port }
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
  if (isLoopback(host)) return true
  return Object.values(networkInterfaces()).some(list => list?.some(entry => entry.address === host) === true)
}
