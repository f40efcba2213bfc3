import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { TakenFrames } from './frames.ts'

/**
 * The connection of a client of HTTP/2, for Node's server. Clients of gRPC in Java send the path of a unix socket as the authority,
 * which Node refuses. `first` is what has come so far, and is not consumed.
 *
 * A client whose first call has come and has another authority gets its connection unchanged: that is faster.
 */
export function forNodesHttp2(socket: Socket, first: Buffer): Duplex {
  const frames = new TakenFrames()
  frames.next(first)
  return frames.hasHeaders && !frames.hasReplaced ? socket : new Taken(socket)
}

class Taken extends Duplex {
  readonly #socket: Socket
  readonly #frames = new TakenFrames()

  constructor(socket: Socket) {
    super()
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      for (const part of this.#frames.next(chunk)) if (!this.push(part)) socket.pause()
    })
    socket.once('end', () => this.push(null))
    socket.on('error', err => this.destroy(err))
    socket.once('close', () => this.destroy())
    socket.pause()
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
