import { connect, createServer, type Socket } from 'node:net'
import type { World } from './world.ts'

/** A network between a client and a data port that can be taken away. */
export interface Proxy {
  readonly address: string
  /** Lets no byte through any more, and tells nobody. */
  readonly blackHole: () => void
  /** Closes what goes through it, as a host does whose agent is killed. */
  readonly sever: () => void
}

export async function proxyTo(world: World, address: string): Promise<Proxy> {
  const [host = '', port = ''] = address.split(':')
  const sockets = new Set<Socket>()
  let dark = false
  const server = createServer(inner => {
    if (dark) {
      sockets.add(inner.pause().on('error', () => {}))
      return
    }
    const outer = connect({ host, port: Number(port) })
    for (const socket of [inner, outer]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    }
    inner.on('data', chunk => void outer.write(chunk)).on('close', () => outer.destroy())
    outer.on('data', chunk => void inner.write(chunk)).on('close', () => inner.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound')
  const sever = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  world.defer(() => {
    server.close()
    sever()
  })
  return {
    address: `127.0.0.1:${bound.port}`,
    blackHole: () => {
      dark = true
      for (const socket of sockets) socket.removeAllListeners('data').pause()
    },
    sever
  }
}
