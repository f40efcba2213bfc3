import type { Socket } from 'node:net'
import { DatagramParser, datagramFraming, FrameWriter, MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import type { Sent } from '../flow/index.ts'
import { abortSocket } from '../legs/index.ts'
import { type DatagramEvents, type DatagramLeg, MAX_BACKLOG_BYTES } from './leg.ts'

const NOTHING = Buffer.alloc(0)
/** Time for a workload to close a socket whose flow has ended. */
const CLOSE_MS = 5_000

/** A workload's stream socket with length-prefixed datagrams on it. */
export class FramedLeg implements DatagramLeg {
  readonly #socket: Socket
  readonly #frames: FrameWriter
  readonly #parser = new DatagramParser()
  #ended = false

  constructor(socket: Socket) {
    this.#socket = socket
    this.#frames = new FrameWriter(socket, datagramFraming)
  }

  start(events: DatagramEvents): void {
    const socket = this.#socket
    // Datagrams arrive whole or not at all: a workload that vanishes leaves no partial datagram.
    socket.on('error', () => events.closed())
    socket.once('close', () => events.closed())
    const each = (payload: Buffer): void => {
      if (payload.length > MAX_DATAGRAM_BYTES) events.oversized()
      else events.datagram(payload)
    }
    socket.on('data', (chunk: Buffer) => this.#parser.push(chunk, each))
    socket.once('end', () => {
      if (this.#parser.isInside) {
        events.failed({ kind: 'reset', text: 'the workload ended inside a datagram' })
        return
      }
      this.#ended = true
      // A closed socket looks like one that ended only its own direction, until a write fails: an empty write is
      // enough.
      socket.write(NOTHING, err => {
        if (err == null) events.ended()
        else events.closed()
      })
    })
    if (socket.destroyed) events.closed()
    else socket.resume()
  }

  send(payload: Buffer): Sent {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return 'gone'
    if (payload.length > MAX_DATAGRAM_BYTES) return 'too large'
    if (this.#frames.waitingBytes > MAX_BACKLOG_BYTES) return 'full'
    this.#frames.send(payload)
    return 'sent'
  }

  end(): void {
    this.#frames.flush()
    if (!this.#socket.writableEnded) this.#socket.end()
  }

  close(): void {
    const socket = this.#socket
    if (socket.destroyed) return
    this.end()
    socket.removeAllListeners('data').resume()
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS)
    socket.once('close', () => clearTimeout(timer))
    if (this.#ended) socket.destroySoon()
  }

  abort(): void {
    abortSocket(this.#socket)
  }
}
