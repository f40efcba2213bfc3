import { connect, createServer, type Socket } from 'node:net'
import { FIRST_BYTE } from '../../../src/proxy/fastpath/format.ts'
import type { World } from './world.ts'

/** One fast-path connection as somebody sees it who carries it. */
export interface Carried {
  /** Towards the agent that connected it, and towards the other one. */
  readonly near: Socket
  readonly far: Socket
}

/** Gets each piece of a fast-path connection, and passes on what it likes. `up`: from the agent that connected it. */
export type Meddle = (piece: Buffer, way: 'up' | 'down', connection: Carried) => void

/**
 * Someone between two agents who does as he likes with fast-path connections, and lets sessions through unless `session` says
 * otherwise. Returns where he listens.
 */
export async function meddle(world: World, address: string, meddle: Meddle, session = pass): Promise<string> {
  const [host = '', port = ''] = address.split(':')
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, near => {
    const far = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true })
    let isFastPath: boolean | undefined
    for (const [from, to, way] of [
      [near, far, 'up'],
      [far, near, 'down']
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.on('data', (piece: Buffer) => {
        isFastPath ??= piece[0] === FIRST_BYTE
        const how = isFastPath ? meddle : session
        how(piece, way, { near, far })
      })
      from.on('end', () => to.end())
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound')
  world.defer(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `127.0.0.1:${bound.port}`
}

/** Passes a piece on as it is. */
export const pass: Meddle = (piece, way, { near, far }) => void (way === 'up' ? far : near).write(piece)
