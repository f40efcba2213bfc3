import type { Socket } from 'node:net'
import type { Metrics, UnprovenPlace } from '../../core/index.ts'
import type { Exporter } from '../aead/index.ts'
import { HANDSHAKE_TIMEOUT_MS } from '../timing.ts'
import { noteCarrier } from './carrier-of.ts'
import { decodePreamble, FIRST_BYTES_VERSION, isPooled, PREAMBLE_BYTES } from './format.ts'
import { boundKernelBuffers } from './kernel-buffers.ts'
import { sessionTag } from './keys.ts'
import { takeOver } from './raw-socket.ts'
import { RecordConnection } from './record-connection.ts'
import { RecordReader } from './record-reader.ts'
import { RecordWriter } from './record-writer.ts'

/** A session that another agent opened to this host. Fast-path connections may join its streams. */
export interface FastPathHost {
  readonly exporter: Exporter
  /** The version that both ends of the session agreed on. */
  readonly version: number
  /**
   * Returns the receiver of a fast-path connection for this stream, or of a pooled one for this even number; undefined
   * if there is none.
   */
  readonly takerOf: (id: number) => ((connection: RecordConnection) => void) | undefined
}

/**
 * The side of the data port where fast-path connections arrive. It answers nothing to a peer that does not know a
 * session's keys.
 */
export class FastPathAcceptor {
  readonly #hosts = new Map<string, FastPathHost>()
  readonly #metrics: Metrics

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /**
   * Accepts fast-path connections for a session. The returned function undoes that. Throws once the session has closed.
   */
  open(host: FastPathHost): () => void {
    const tag = sessionTag(host.exporter).toString('latin1')
    this.#hosts.set(tag, host)
    return () => this.#hosts.delete(tag)
  }

  /**
   * Serves a connection whose first byte is that of a fast-path connection and has not been consumed. It keeps `place`, that of
   * a peer that has not proved itself, until it has. `carrier`: its path.
   */
  enter(socket: Socket, place: UnprovenPlace, carrier: string): void {
    const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS)
    const take = (): void => {
      const bytes: Buffer | null = socket.read(PREAMBLE_BYTES)
      if (bytes === null) return
      socket.off('readable', take)
      try {
        this.#admit(socket, bytes, place, carrier)
      } catch {
        socket.destroy()
      }
    }
    socket.on('error', () => {})
    socket.once('close', () => clearTimeout(timer))
    socket.on('readable', take)
    take()
  }

  #admit(former: Socket, bytes: Buffer, place: UnprovenPlace, carrier: string): void {
    const preamble = decodePreamble(bytes)
    const host = preamble === undefined ? undefined : this.#hosts.get(preamble.sessionTag.toString('latin1'))
    // The version is in the clear, so another one than agreed is somebody's who changed it on the way.
    const isAgreed = host !== undefined && host.version === preamble?.version
    if (preamble === undefined || !isAgreed || host.takerOf(preamble.streamId) === undefined) {
      former.destroy()
      return
    }
    const { streamId, salt } = preamble
    const { exporter } = host
    const writer = new RecordWriter(exporter, { sender: 'server', streamId, salt })
    const reader = new RecordReader(exporter, { sender: 'client', streamId, salt })
    const connection = new RecordConnection(
      { writer, reader },
      { end: 'other', isPooled: isPooled(streamId), takesFirstBytes: host.version >= FIRST_BYTES_VERSION },
      {
        hello: () => {
          clearTimeout(timer)
          place.release()
          const taker = host.takerOf(streamId)
          if (taker === undefined) connection.destroy()
          else taker(connection)
          // A receiver without room has closed it: an opener without an answer waits, one with an answer would try
          // again at once.
          if (!connection.isClosed) connection.hello()
          this.#metrics.count('warren_fastpath_connections_total', {
            role: 'server',
            result: connection.isClosed ? 'failed' : 'ok'
          })
        },
        closed: () => {
          clearTimeout(timer)
          place.release()
          this.#metrics.count('warren_fastpath_connections_total', { role: 'server', result: 'failed' })
        }
      }
    )
    noteCarrier(connection, carrier)
    const { socket, remaining } = takeOver(former, read => connection.received(read))
    // The former socket closes now; the place stays with the connection.
    former.off('close', place.release)
    connection.bind(socket)
    place.onLoss(() => connection.fail(new Error('too many at once')))
    const timer = setTimeout(() => connection.fail(new Error('no proof in time')), HANDSHAKE_TIMEOUT_MS)
    socket.setNoDelay(true)
    boundKernelBuffers(socket)
    socket.setKeepAlive(true, 15_000)
    if (remaining.length === 0 || connection.received(remaining)) connection.resume()
  }
}
