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

  /** The next datagram as text, or none within `ms`; one that comes later is still there for the next who asks. */
  async textWithin(ms: number): Promise<string | undefined> {
    const queued = this.#queue.shift()
    if (queued !== undefined) return queued.toString()
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    const waiter = (payload: Buffer): void => resolve(payload.toString())
    this.#waiting.push(waiter)
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
      resolve(undefined)
    }, ms)
    const text = await promise
    clearTimeout(timer)
    return text
  }

  /** Sends until `text` arrives at `other`, as programs over UDP do, and skips what else arrives there. */
  async sendUntilHeard(other: Framed, text: string): Promise<void> {
    for (;;) {
      this.send(text)
      for (let got = await other.textWithin(50); got !== undefined; got = await other.textWithin(0)) {
        if (got === text) return
      }
    }
  }

  /** Resolves at the end of what it receives: clean or not, for on a unix socket only a write tells. */
  async ended(): Promise<void> {
    if (!this.socket.readableEnded && !this.socket.destroyed) {
      await Promise.race([once(this.socket, 'end'), once(this.socket, 'close')])
    }
  }
}
