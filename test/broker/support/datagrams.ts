import { once } from 'node:events'
import type { Socket } from 'node:net'
import { DatagramParser, encodeDatagram } from '../../../src/wire/index.ts'
import { dial } from './sockets.ts'

/** A framed stream socket as a workload without the library uses it. */
export class Framed {
  readonly socket: Socket
  readonly #queue: Buffer[] = []
  readonly #waiting: ((payload: Buffer) => void)[] = []
  readonly #parser = new DatagramParser()
  received = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) =>
      this.#parser.push(chunk, payload => {
        this.received += 1
        const waiter = this.#waiting.shift()
        if (waiter === undefined) this.#queue.push(payload)
        else waiter(payload)
      })
    )
  }

  static async dial(path: string): Promise<Framed> {
    return new Framed(await dial(path))
  }

  send(payload: string | Uint8Array): void {
    this.socket.write(encodeDatagram(Buffer.from(payload)))
  }

  next(): Promise<Buffer> {
    const queued = this.#queue.shift()
    return queued === undefined ? new Promise(resolve => this.#waiting.push(resolve)) : Promise.resolve(queued)
  }

  async text(): Promise<string> {
    return (await this.next()).toString()
  }

  /** Resolves at the end of what it receives: clean or not, for on a unix socket only a write tells. */
  async ended(): Promise<void> {
    if (!this.socket.readableEnded && !this.socket.destroyed) {
      await Promise.race([once(this.socket, 'end'), once(this.socket, 'close')])
    }
  }
}
