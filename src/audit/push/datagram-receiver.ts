import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { CONNECT_MS, type Receiver, SETTLE_MS, STALL_MS, type Take } from '../../collectors/index.ts'
import { raceAbort, sleep, within } from '../../core/index.ts'
import type { PushedLine } from './reader.ts'

/** Datagrams that leave together: a receiver that is busy loses those that find no room. */
const BURST = 64
const MAX_LINES = 1_024

/** A receiver that says nothing. What gets lost on the way is not noticed; only that nobody listens is. */
export class DatagramReceiver implements Receiver<PushedLine> {
  readonly #host: string
  readonly #port: number
  readonly #message: (line: PushedLine) => Buffer

  constructor(host: string, port: number, message: (line: PushedLine) => Buffer) {
    this.#host = host
    this.#port = port
    this.#message = message
  }

  async deliver(take: Take<PushedLine>, signal: AbortSignal): Promise<void> {
    const { address, family } = await within(CONNECT_MS, [signal], inner => raceAbort(lookup(this.#host), inner))
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    const { promise: failed, reject } = Promise.withResolvers<never>()
    failed.catch(() => {})
    socket.on('error', reject)
    try {
      await within(STALL_MS, [signal], inner =>
        raceAbort(Promise.race([this.#send(socket, address, take, inner), failed]), inner)
      )
    } finally {
      socket.close()
    }
  }

  async #send(socket: Socket, address: string, take: Take<PushedLine>, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    // To a connected socket the system reports that nobody listens.
    socket.connect(this.#port, address, resolve)
    await promise
    for (let count = 0; count < MAX_LINES; ) {
      const lines = await take(BURST)
      if (lines.length === 0) break
      for (const line of lines) await sent(socket, this.#message(line))
      count += lines.length
    }
    await sleep(SETTLE_MS, signal)
  }

  close(): void {}
}

async function sent(socket: Socket, message: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.send(message, err => (err === null ? resolve() : reject(err)))
  await promise
}
