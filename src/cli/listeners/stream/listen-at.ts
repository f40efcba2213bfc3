import type { Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { ErrorCode, formatHostPort, type HostPort, WarrenError } from '../../../core/index.ts'
import type { Endpoint } from '../../options/index.ts'

/**
 * Makes `server` listen, and answers where, as a person would type it.
 *
 * A unix socket is for this user only (mode 0600), and replaces one that nobody serves any more. Throws PORT_IN_USE,
 * PERMISSION_DENIED or INVALID_ARGUMENT.
 */
export async function listenAt(server: Server, endpoint: Endpoint): Promise<string> {
  if (endpoint.kind === 'unix' && (await isStale(endpoint.path))) unlinkSync(endpoint.path)
  // The socket comes into being closed to other users; a chmod afterwards would leave a moment.
  const umask = process.umask(0o177)
  try {
    if (endpoint.kind === 'unix') server.listen(endpoint.path)
    else server.listen({ host: endpoint.host, port: endpoint.port })
  } finally {
    process.umask(umask)
  }
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw failure(endpoint, cause)
  }
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

async function isStale(path: string): Promise<boolean> {
  const probe = connect({ path })
  try {
    await once(probe, 'connect')
    return false
  } catch (err) {
    return codeOf(err) === 'ECONNREFUSED'
  } finally {
    probe.destroy()
  }
}

function failure(endpoint: Endpoint, cause: unknown): WarrenError {
  const name = endpoint.kind === 'unix' ? endpoint.path : formatHostPort(endpoint)
  switch (codeOf(cause)) {
    case 'EADDRINUSE':
      return new WarrenError(ErrorCode.PortInUse, `another program listens on ${name}`, {
        hint: 'Choose another with --listen; port 0 picks a free one.',
        cause
      })
    case 'EACCES':
      return new WarrenError(ErrorCode.PermissionDenied, `this user may not listen on ${name}`, {
        hint: 'Ports below 1024 need root.',
        cause
      })
    default:
      return new WarrenError(ErrorCode.InvalidArgument, `cannot listen on ${name}: ${codeOf(cause) || String(cause)}`, {
        hint: 'Give an address of this host, as in 127.0.0.1:8080, or unix:PATH in a directory that exists.',
        cause
      })
  }
}

function codeOf(err: unknown): string {
  return err instanceof Error && 'code' in err ? String(err.code) : ''
}
