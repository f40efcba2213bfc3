import { randomBytes } from 'node:crypto'
import type { Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { linkSync, renameSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { dirname, join } from 'node:path'
import {
  acceptsConnections,
  ErrorCode,
  fileFault,
  formatHostPort,
  type HostPort,
  identityOf,
  isLocalhost,
  LOOPBACK,
  listenFault,
  MAX_SOCKET_PATH_BYTES,
  occupySocketPath,
  parseHostPort,
  removeIfSame,
  standsAt,
  systemCode,
  WarrenError
} from '../core/index.ts'
import type { Endpoint } from './endpoint.ts'

/** Where a server listens. */
export interface Listening {
  /** As a person would type it. */
  readonly bound: string
  /** Removes the path of a unix socket, unless something else has replaced it. Call it before the server is closed. */
  readonly remove: () => void
}

/**
 * Makes `server` listen.
 *
 * A unix socket is for this user only (mode 0600), and replaces one that nobody serves any more and nothing else. Rejects with
 * PORT_IN_USE, PERMISSION_DENIED or INVALID_ARGUMENT.
 */
export async function listenAt(server: Server, endpoint: Endpoint): Promise<Listening> {
  if (endpoint.kind === 'unix') return await listenAtPath(server, endpoint.path)
  await begin(server, endpoint, () => server.listen({ host: endpoint.host, port: endpoint.port }))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new WarrenError(ErrorCode.Internal, 'no address was bound')
  return { bound: formatHostPort({ host: address.address, port: address.port }), remove: () => {} }
}

/**
 * As `listenAt`, with a server of its own for each family of `localhost`, where the machine has both. If the second one cannot
 * listen, the first one is closed.
 */
export async function listenAtBoth(makeServer: () => Server, endpoint: Endpoint): Promise<Listening> {
  if (endpoint.kind === 'unix') return await listenAt(makeServer(), endpoint)
  const bind = async (at: HostPort) => {
    const server = makeServer()
    return { server, ...(await listenAt(server, { kind: 'tcp', ...at })) }
  }
  const { bound } = await bindEachFamily(endpoint, bind, ({ server }) => void server.close())
  return { bound, remove: () => {} }
}

/**
 * Calls `bind` for both families of `localhost`, where the machine has both, with one port; else once. If the second one fails, the
 * first one is closed.
 */
export async function bindEachFamily<T extends { readonly bound: string }>(
  at: HostPort,
  bind: (at: HostPort) => Promise<T>,
  close: (one: T) => void
): Promise<{ readonly bound: string; readonly all: readonly [T, ...T[]] }> {
  const [host, second] = isLocalhost(at.host) ? LOOPBACK : []
  if (host === undefined || second === undefined) {
    const only = await bind(at)
    return { bound: only.bound, all: [only] }
  }
  const first = await bind({ ...at, host })
  const { port } = parseHostPort(first.bound)
  try {
    const other = await bind({ host: second, port })
    return { bound: formatHostPort({ host: at.host, port }), all: [first, other] }
  } catch (err) {
    if (isWithoutFamily(err)) return { bound: first.bound, all: [first] }
    close(first)
    throw err
  }
}

async function listenAtPath(server: Server, path: string): Promise<Listening> {
  const identity = await occupySocketPath(path, acceptsConnections, async () => {
    const staged = stagedName(path)
    // If the path is too long for a temporary name beside it, the socket is bound there directly.
    const at = isStaged(path) ? staged : path
    // The socket is created closed to other users; before a later chmod, they could use it.
    const umask = process.umask(0o177)
    let begun: Promise<void>
    try {
      begun = begin(server, { kind: 'unix', path }, () => server.listen(at))
    } finally {
      process.umask(umask)
    }
    await begun
    if (at === staged) appear(server, staged, path)
    return identityOf(path)
  })
  return { bound: `unix:${path}`, remove: () => removeIfSame(path, identity) }
}

function stagedName(path: string): string {
  return join(dirname(path), `.${randomBytes(6).toString('base64url')}`)
}

/** Whether a unix socket gets its name only when it listens. If not, Node removes the path when its server is closed. */
export function isStaged(path: string): boolean {
  return Buffer.byteLength(stagedName(path)) <= MAX_SOCKET_PATH_BYTES
}

/**
 * Gives a socket that already listens its name. So nobody finds the socket before it accepts connections, and takes it for a
 * stale one. And Node removes at the end the temporary name that it bound, not the path, which may be another's by then.
 */
function appear(server: Server, staged: string, path: string): void {
  try {
    try {
      linkSync(staged, path)
      unlinkSync(staged)
    } catch (err) {
      if (systemCode(err) === 'EEXIST' || standsAt(path) !== undefined) throw err
      // A file system without links.
      renameSync(staged, path)
    }
  } catch (cause) {
    server.close()
    throw failure({ kind: 'unix', path }, cause)
  }
}

async function begin(server: Server, endpoint: Endpoint, listen: () => void): Promise<void> {
  const listening = once(server, 'listening')
  listen()
  try {
    await listening
  } catch (cause) {
    throw failure(endpoint, cause)
  }
}

/** Makes `server` listen on a listening socket whose descriptor it gets, and closes. Returns where, as a person would type it. */
export async function listenOn(server: Server, fd: number): Promise<string> {
  const listening = once(server, 'listening')
  server.listen({ fd, exclusive: true })
  await listening
  const address = server.address()
  if (address === null || typeof address === 'string') return `unix:${address ?? ''}`
  return formatHostPort({ host: address.address, port: address.port })
}

/** As `listenAt`, for a UDP socket, which is closed if it fails. */
export async function bindAt(socket: UdpSocket, at: HostPort): Promise<string> {
  socket.bind(at.port, at.host)
  try {
    await once(socket, 'listening')
  } catch (cause) {
    socket.close()
    throw failure({ kind: 'tcp', ...at }, cause)
  }
  const { address: host, port } = socket.address()
  return formatHostPort({ host, port })
}

/** Whether a failure to listen is that this machine lacks the family of the address. */
export function isWithoutFamily(err: unknown): boolean {
  const code = err instanceof Error ? systemCode(err.cause) : undefined
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT'
}

function failure(endpoint: Endpoint, cause: unknown): WarrenError {
  const code = systemCode(cause)
  const name = endpoint.kind === 'unix' ? endpoint.path : formatHostPort(endpoint)
  if (code === 'EADDRINUSE' || code === 'EEXIST') {
    return new WarrenError(ErrorCode.PortInUse, `another program listens on ${name}`, {
      hint: 'Choose another with --listen; port 0 picks a free one.',
      cause
    })
  }
  const { why, hint } = endpoint.kind === 'unix' ? fileFault(name, cause) : listenFault(endpoint, code)
  const kind = code === 'EACCES' || code === 'EPERM' ? ErrorCode.PermissionDenied : ErrorCode.InvalidArgument
  return new WarrenError(kind, `cannot listen on ${name}: ${why}`, { hint, cause })
}
