import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { resetSocket } from '../../../src/proxy/legs/reset-socket.ts'
import type { World } from './world.ts'

/** A network between a client and a data port that can be taken away. */
export interface Proxy {
  readonly address: string
  /** Lets no byte through any more, and tells nobody. */
  readonly blackHole: () => void
  /** Closes what goes through it, as a host does whose agent is killed. */
  readonly sever: () => void
}

/** How a proxy passes on what it gets. `rough`: in pieces of any size, late, and now and then nothing for a while. */
export type Manner = 'smooth' | 'rough'

const MAX_PIECE = 16 * 1024
const STALL_EVERY_BYTES = 16 * 1024 * 1024
/** Longer than a session may be silent before new flows avoid it, shorter than its flows wait. */
const STALL_MS = 1_300

export async function proxyTo(world: World, address: string, manner: Manner = 'smooth'): Promise<Proxy> {
  const [host = '', port = ''] = address.split(':')
  const sockets = new Set<Socket>()
  let dark = false
  const server = createServer({ allowHalfOpen: true }, inner => {
    if (dark) {
      sockets.add(inner.pause().on('error', () => {}))
      return
    }
    const outer = connect({ host, port: Number(port), allowHalfOpen: true })
    for (const socket of [inner, outer]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    }
    for (const [from, to] of [
      [inner, outer],
      [outer, inner]
    ] as const) {
      // What is under way when one end closes in order still arrives, as on any network.
      from.on('close', hadError => {
        if (hadError || !from.readableEnded) to.destroy()
      })
      if (manner === 'smooth') from.on('data', chunk => void to.write(chunk)).on('end', () => to.end())
      else void passRoughly(from, to)
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
  return {
    address: `127.0.0.1:${bound.port}`,
    blackHole: () => {
      dark = true
      for (const socket of sockets) socket.removeAllListeners('data').pause()
    },
    sever
  }
}

async function passRoughly(from: Socket, to: Socket): Promise<void> {
  let untilStall = STALL_EVERY_BYTES
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) {
        const piece = chunk.subarray(at, at + 1 + Math.floor(Math.random() ** 2 * MAX_PIECE))
        at += piece.length
        untilStall -= piece.length
        if (!to.write(piece)) await once(to, 'drain')
        if (untilStall <= 0) {
          untilStall = STALL_EVERY_BYTES
          await pause(STALL_MS)
        } else if (Math.random() < 0.01) await pause(1 + Math.random() * 10)
      }
    }
    to.end()
  } catch {
    to.destroy()
  }
}
