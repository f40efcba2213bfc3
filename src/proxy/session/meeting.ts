import type { IncomingHttpHeaders } from 'node:http2'
import { ErrorCode, formatHostPort, type HostPort, parseHostPort, WarrenError } from '../../core/index.ts'
import { HEADER } from './headers.ts'

/** The request in which the ends of a session tell each other where their datagrams come from. */
export const MEETING_PATH = '/warren/datagram-meeting'

/** Where the datagrams of one end come from, and the port that it has bound: for people only. */
export interface Whereabouts {
  readonly end: HostPort
  readonly localPort: number
}

export function whereaboutsHeaders({ end, localPort }: Whereabouts): Record<string, string> {
  return { [HEADER.datagramsFrom]: formatHostPort(end), [HEADER.datagramsPort]: String(localPort) }
}

/** Throws INVALID_ARGUMENT. */
export function whereaboutsIn(headers: IncomingHttpHeaders | Readonly<Record<string, unknown>>): Whereabouts {
  const { [HEADER.datagramsFrom]: from, [HEADER.datagramsPort]: port } = headers
  if (typeof from === 'string' && typeof port === 'string' && /^\d{1,5}$/.test(port)) {
    const end = parseHostPort(from, { defaultHost: '' })
    if (end.port !== 0) return { end, localPort: Number(port) }
  }
  throw new WarrenError(ErrorCode.InvalidArgument, 'it does not say where its datagrams come from')
}
