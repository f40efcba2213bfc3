import type { Socket } from 'node:net'
import type { Path } from '../carriers/index.ts'
import type { TcpEnd } from '../fastpath/index.ts'
import { boundTo, type Dialled } from '../tls/index.ts'

/** How another TCP connection is made that leads to the agent at the other end of a session. */
export interface Beside {
  readonly to: TcpEnd | ((signal: AbortSignal) => Promise<Socket>)
  /** The path of that connection. */
  readonly carrier: string
}

/** Finds a path of TCP to the agent of a session that is on none. Rejects if there is none now. */
export type FindBeside = (signal: AbortSignal) => Promise<Beside>

/** How a connection is made to where that of a session leads. Throws once it is closed, and for a session that is not on TCP. */
export function besideOf({ connectBeside, socket, at }: Dialled, { name: carrier }: Path): Beside {
  if (connectBeside !== undefined) return { to: connectBeside, carrier }
  const { remoteAddress: host, remotePort: port } = socket
  if (host === undefined || port === undefined) throw new Error('the session has ended')
  return { to: { host, port, ...boundTo(at) }, carrier }
}
