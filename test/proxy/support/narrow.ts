import { connect, createServer, type Socket } from 'node:net'
import { resetSocket } from '../../../src/proxy/legs/reset-socket.ts'
import { setSocketOption } from '../../../src/proxy/socket-option.ts'
import type { World } from './world.ts'

// include/uapi/linux/tcp.h
const IPPROTO_TCP = 6
const TCP_WINDOW_CLAMP = 10
const TCP_NOTSENT_LOWAT = 25
const HELD_BYTES = 64 * 1024

/** A network between two hosts that holds little, as a wire does. `sever` resets what goes through it. */
export async function narrow(world: World, address: string): Promise<{ address: string; sever: () => void }> {
  const [host = '', port = ''] = address.split(':')
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, inner => {
    const outer = connect({ host, port: Number(port), allowHalfOpen: true })
    outer.once('connect', () => holdLittle(outer))
    holdLittle(inner)
    for (const [from, to] of [
      [inner, outer],
      [outer, inner]
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound')
  const sever = (): void => {
    for (const socket of sockets) resetSocket(socket)
  }
  world.defer(() => {
    server.close()
    sever()
  })
  return { address: `127.0.0.1:${bound.port}`, sever }
}

function holdLittle(socket: Socket): void {
  if (process.platform !== 'linux') return
  setSocketOption(socket, IPPROTO_TCP, TCP_WINDOW_CLAMP, HELD_BYTES)
  setSocketOption(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, HELD_BYTES)
}
