import { closeSync } from 'node:fs'
import type { Server } from 'node:net'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { adoptUdp, bindUdp, bindUnix, type LocalDatagrams } from './datagram/index.ts'
import type { Endpoint } from './endpoint.ts'
import { type Listening, listenAtBoth, listenOn } from './listen-at.ts'
import type { PassedSocket } from './passing/index.ts'

/** The sockets that a listener takes its clients from. One of the two functions is called, once. */
export interface ListenerSockets {
  /** Makes servers listen. Rejects as `listenAt`. */
  readonly streams: (makeServer: () => Server) => Promise<Listening>
  /** `onFailure` receives the errors of the network about single datagrams. Rejects as `bindUdp` and `bindUnix`. */
  readonly datagrams: (onFailure: (err: unknown) => void) => Promise<LocalDatagrams>
}

/** Sockets that are bound when they are asked for. */
export function socketsAt(endpoint: Endpoint): ListenerSockets {
  return {
    streams: makeServer => listenAtBoth(makeServer, endpoint),
    datagrams: onFailure =>
      endpoint.kind === 'unix' ? bindUnix(endpoint.path, { onFailure }) : bindUdp(endpoint, onFailure)
  }
}

/** Sockets that another process has bound. Whoever listens on them closes their descriptors. */
export function passedSockets(passed: readonly PassedSocket[]): ListenerSockets {
  return {
    streams: makeServer => listenOnPassed(makeServer, passed),
    datagrams: onFailure => adoptUdp(passed, onFailure)
  }
}

async function listenOnPassed(makeServer: () => Server, passed: readonly PassedSocket[]): Promise<Listening> {
  const servers: Server[] = []
  const bound: string[] = []
  try {
    for (const { fd } of passed) {
      const server = makeServer()
      bound.push(await listenOn(server, fd))
      servers.push(server)
    }
  } catch (cause) {
    for (const server of servers) server.close()
    for (const { fd } of passed.slice(servers.length)) closeSync(fd)
    throw new WarrenError(ErrorCode.InvalidArgument, 'cannot listen on the socket that was passed', { cause })
  }
  return { bound: bound[0] ?? '', remove: () => {} }
}
