import { EventEmitter, once } from 'node:events'
import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { DatagramParser, datagramFraming, datagramTooLarge, FrameWriter, MAX_DATAGRAM_BYTES } from '../wire/index.ts'
import { backlogShares } from './backlog-shares.ts'
import type { Peer } from './peer.ts'

/** Datagrams that may wait for a reader of the async iterator before reading from the socket stops. */
const MAX_UNREAD = 256

interface Events {
  message: [Buffer]
  /** The other end sends no more. */
  end: []
  close: []
  error: [Error]
}

/**
 * A flow of datagrams with one other workload.
 *
 * Boundaries are kept; order and arrival are not guaranteed. Received datagrams wait until there is a listener for
 * `message` or an iteration. A flow without a datagram for two minutes ends. A flow that is cut emits `error` with
 * FLOW_CUT, then `close`; as with any emitter, an `error` without a listener is thrown.
 */
export class MeshDatagramSocket extends EventEmitter<Events> implements AsyncDisposable, AsyncIterable<Buffer> {
  /** The workload at the other end. */
  readonly peer: Peer
  readonly #socket: Socket
  readonly #parser = new DatagramParser()
  #dropped = 0
  readonly #frames: FrameWriter
  #reading = false
  #failure: Error | undefined

  /** @internal `connect` and `listen` make it, from a half-open socket after its hello. */
  constructor(socket: Socket, peer: Peer) {
    super()
    this.peer = peer
    this.#socket = socket
    this.#frames = new FrameWriter(socket, datagramFraming)
    socket.on('error', cause => {
      if (socket.writableEnded) return
      this.#failure = new WarrenError(ErrorCode.FlowCut, reasonOf(cause), { cause })
      this.emit('error', this.#failure)
    })
    socket.once('end', () => {
      this.emit('end')
      this.#frames.flush()
      socket.end()
    })
    if (!socket.closed) {
      backlogShares.join()
      socket.once('close', () => backlogShares.leave())
    }
    socket.once('close', () => this.emit('close'))
    this.on('newListener', name => {
      if (name === 'message') this.#read()
    })
  }

  /** Number of datagrams that `send` has dropped. */
  get dropped(): number {
    return this.#dropped
  }

  get closed(): boolean {
    return this.#socket.closed
  }

  /**
   * Sends one datagram. Returns false if it was dropped, because the agent accepts no more now or the flow has ended;
   * true guarantees nothing, as with UDP. Throws MESSAGE_TOO_LARGE above 65,507 bytes.
   */
  send(data: string | Uint8Array): boolean {
    const payload = typeof data === 'string' ? Buffer.from(data) : data
    if (payload.length > MAX_DATAGRAM_BYTES) throw datagramTooLarge(payload.length)
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded || this.#frames.waitingBytes > backlogShares.shareBytes) {
      this.#dropped += 1
      return false
    }
    this.#frames.send(payload)
    return true
  }

  /** Declares that this end sends no more. Answers still arrive; without one for five seconds the flow ends. */
  end(): void {
    this.#frames.flush()
    this.#socket.end()
  }

  /** Ends the flow once all sent datagrams have left. Idempotent, never rejects. */
  async close(): Promise<void> {
    const socket = this.#socket
    if (socket.closed) return
    const closed = once(socket, 'close').catch(() => {})
    this.#frames.flush()
    // Unread data would cause a reset at the agent.
    this.#reading = true
    socket.removeAllListeners('data').resume()
    socket.destroySoon()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Iterates over the datagrams as they arrive, until the flow ends. Throws FLOW_CUT when it is cut. Leaving the loop
   * does not close the flow.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const unread: Buffer[] = []
    let wake = Promise.withResolvers<void>()
    const onMessage = (payload: Buffer): void => {
      unread.push(payload)
      if (unread.length >= MAX_UNREAD) this.#socket.pause()
      wake.resolve()
    }
    const onOver = (): void => wake.resolve()
    this.on('message', onMessage).on('close', onOver).on('error', onOver)
    try {
      for (;;) {
        const payload = unread.shift()
        if (payload !== undefined) {
          yield payload
        } else if (this.#failure !== undefined) {
          throw this.#failure
        } else if (this.closed) {
          return
        } else {
          if (this.#socket.isPaused()) this.#socket.resume()
          wake = Promise.withResolvers()
          await wake.promise
        }
      }
    } finally {
      this.off('message', onMessage).off('close', onOver).off('error', onOver)
      if (this.#socket.isPaused()) this.#socket.resume()
    }
  }

  // Reading starts with the first listener: until then datagrams wait in the kernel, and none is lost.
  #read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#socket.on('data', (chunk: Buffer) => this.#parser.push(chunk, payload => this.emit('message', payload)))
  }
}

function reasonOf(cause: Error): string {
  const [, reason] = cause instanceof WarrenError ? cause.reason.split(/: (.*)/s) : []
  return reason === undefined ? 'the flow was cut' : `the flow was cut: ${reason}`
}
