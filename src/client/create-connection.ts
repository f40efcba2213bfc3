import { Duplex } from 'node:stream'
import { type ConnectOptions, connect, type MeshSocket } from './connect.ts'
import type { Peer } from './peer.ts'

export interface ConnectionOptions extends ConnectOptions {
  /** Whether it stays open for writing after the end of the other direction, as in `net.createConnection`. @default false */
  readonly allowHalfOpen?: boolean | undefined
}

type Done = (err?: Error | null) => void

/**
 * A connection that exists before it is connected, for client libraries that take a stream from a function: `connect` and
 * `ready` are events, and what is written before waits. Every failure of `connect` is its `error`.
 */
export class MeshConnection extends Duplex {
  readonly #destination: string
  readonly #options: ConnectionOptions
  readonly #abort = new AbortController()
  #socket: MeshSocket | undefined
  #holdsProcess = true
  #idleMs = 0
  #idle: NodeJS.Timeout | undefined

  /** @internal `createConnection` makes it. */
  constructor(destination: string, options: ConnectionOptions) {
    super({ allowHalfOpen: options.allowHalfOpen ?? false })
    this.#destination = destination
    this.#options = options
  }

  /** Whether it is not connected yet. */
  get connecting(): boolean {
    return this.#socket === undefined && !this.destroyed
  }

  /** Who is at the other end. Undefined until it is connected. */
  get peer(): Peer | undefined {
    return this.#socket?.peer
  }

  /** Has no effect, whatever the arguments: it connects as it was made. For libraries that call it. */
  connect(): this {
    return this
  }

  /** Has no effect: nothing waits for more to be written. */
  setNoDelay(): this {
    return this
  }

  /** Has no effect: both agents watch the way between them. */
  setKeepAlive(): this {
    return this
  }

  /** Emits `timeout` after so many milliseconds without a byte in either direction; 0: never. */
  setTimeout(idleMs: number, onTimeout?: () => void): this {
    this.#idleMs = idleMs
    if (onTimeout !== undefined) {
      if (idleMs === 0) this.off('timeout', onTimeout)
      else this.once('timeout', onTimeout)
    }
    this.#touch()
    return this
  }

  /** Makes the process stay while it is open, as at first. */
  ref(): this {
    this.#holdsProcess = true
    this.#socket?.ref()
    return this
  }

  /** Lets the process end while it is open. */
  unref(): this {
    this.#holdsProcess = false
    this.#socket?.unref()
    return this
  }

  /** Destroys it once all that was written has left. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  override destroy(err?: Error): this {
    this.#abort.abort()
    return super.destroy(err)
  }

  override _construct(done: Done): void {
    const { signal } = this.#options
    const giveUp = (): void => this.#abort.abort(signal?.reason)
    signal?.addEventListener('abort', giveUp, { once: true })
    if (signal?.aborted === true) giveUp()
    const connecting = connect(this.#destination, { ...this.#options, signal: this.#abort.signal })
    connecting
      .finally(() => signal?.removeEventListener('abort', giveUp))
      .then(
        socket => {
          this.#take(socket)
          done()
          if (this.destroyed) return
          this.emit('connect')
          this.emit('ready')
        },
        // A stream that was destroyed meanwhile has no failure to tell.
        (err: Error) => done(this.destroyed ? null : err)
      )
  }

  override _read(): void {
    this.#socket?.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#touch()
    this.#socket?.write(chunk, done)
  }

  override _final(done: Done): void {
    this.#socket?.end(() => done())
  }

  override _destroy(err: Error | null, done: (err: Error | null) => void): void {
    clearTimeout(this.#idle)
    this.#socket?.destroy()
    done(err)
  }

  #take(socket: MeshSocket): void {
    this.#socket = socket
    if (!this.#holdsProcess) socket.unref()
    socket.on('error', err => this.destroy(err))
    socket.on('data', (chunk: Buffer) => {
      this.#touch()
      if (!this.push(chunk)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    // Nothing to read until somebody asks for it.
    socket.pause()
    socket.on('close', () => {
      if (!socket.readableEnded) this.destroy()
    })
  }

  #touch(): void {
    clearTimeout(this.#idle)
    if (this.#idleMs === 0 || this.destroyed) return
    this.#idle = setTimeout(() => this.emit('timeout'), this.#idleMs)
    this.#idle.unref()
  }
}

/**
 * Returns a connection to an instance of `destination` at once, and makes it then: for client libraries that want a stream from a
 * function that cannot wait. Same options as `connect`.
 */
export function createConnection(destination: string, options: ConnectionOptions = {}): MeshConnection {
  return new MeshConnection(destination, options)
}
