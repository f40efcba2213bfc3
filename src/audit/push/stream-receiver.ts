import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { CONNECT_MS, type Receiver, readTlsFiles, SETTLE_MS, STALL_MS, type Take } from '../../collectors/index.ts'
import type { TlsFiles } from '../../config/index.ts'
import { raceAbort, sleep, within } from '../../core/index.ts'
import type { PushedLine } from './reader.ts'

/** Lines of one connection: so many have to be sent again if it fails. */
const MAX_LINES = 16_384

export interface StreamReceiverOptions {
  /** Opens a socket, whose event `ready` says that it can be written. */
  readonly open: () => { readonly socket: Socket; readonly ready: string }
  /** What begins a connection. @default nothing */
  readonly header?: Buffer
  /** Whether the receiver ends its side at once, as journald does: then nothing says that it has read all. @default false */
  readonly isOneWay?: boolean
  readonly frame: (line: PushedLine) => Buffer
}

/**
 * A receiver of a protocol without answers. So each connection is ended, and the lines have arrived when the receiver has ended it
 * too: it has read them then, since the system resets a connection of which something was not read.
 */
export class StreamReceiver implements Receiver<PushedLine> {
  readonly #options: StreamReceiverOptions

  constructor(options: StreamReceiverOptions) {
    this.#options = options
  }

  async deliver(take: Take<PushedLine>, signal: AbortSignal): Promise<void> {
    const { open, frame, header = Buffer.alloc(0), isOneWay = false } = this.#options
    const { socket, ready } = open()
    const over = endOf(socket, isOneWay)
    // Before this host ends it, the end is a failure.
    const lost = over.then((): never => {
      throw new Error('the receiver has closed the connection')
    })
    lost.catch(() => {})
    const unlessLost = async <T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
      await within(ms, [signal], inner => raceAbort(Promise.race([work(inner), lost]), inner))
    try {
      await unlessLost(CONNECT_MS, () => once(socket, ready))
      let unsent = header
      for (let count = 0; count < MAX_LINES; ) {
        const lines = await take()
        if (lines.length === 0) break
        const bytes = Buffer.concat([unsent, ...lines.map(frame)])
        await unlessLost(STALL_MS, () => written(socket, bytes))
        unsent = Buffer.alloc(0)
        count += lines.length
      }
      // A receiver that ended before the lines came to it has ended for that reason, and not because it has read all.
      await unlessLost(STALL_MS, inner => sleep(SETTLE_MS, inner))
      const closed = once(socket, 'close')
      socket.end()
      if (isOneWay) await unlessLost(STALL_MS, () => closed)
      else await within(STALL_MS, [signal], inner => raceAbort(over, inner))
    } finally {
      socket.destroy()
    }
  }

  close(): void {}
}

/** Opens TCP, or TLS with the files of a target. */
export function openSyslog(host: string, port: number, tls: TlsFiles | undefined): StreamReceiverOptions['open'] {
  if (tls === undefined) return () => ({ socket: connect({ host, port }), ready: 'connect' })
  let session: Buffer | undefined
  return () => {
    const resumed = session === undefined ? {} : { session }
    const socket = connectTls({ host, port, ...resumed, ...readTlsFiles(tls) })
    socket.on('session', (next: Buffer) => {
      session = next
    })
    return { socket, ready: 'secureConnect' }
  }
}

// One-way, only a failure is an end.
function endOf(socket: Socket, isOneWay: boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.on('error', reject)
  if (!isOneWay) socket.once('end', resolve)
  socket.once('close', () => {
    if (!socket.writableFinished || !isOneWay) reject(new Error('the connection was lost'))
  })
  promise.catch(() => {})
  // Whatever it says is not read.
  socket.resume()
  return promise
}

async function once(socket: Socket, event: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.once(event, () => resolve())
  await promise
}

async function written(socket: Socket, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.write(bytes, err => (err == null ? resolve() : reject(err)))
  await promise
}
