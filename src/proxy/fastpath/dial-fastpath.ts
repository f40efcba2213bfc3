import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { type HostPort, raceAbort } from '../../core/index.ts'
import type { Exporter } from '../aead/index.ts'
import { encodePreamble, isPooled, SALT_BYTES } from './format.ts'
import { boundKernelBuffers } from './kernel-buffers.ts'
import { sessionTag } from './keys.ts'
import { onread } from './raw-socket.ts'
import { RecordConnection } from './record-connection.ts'
import { RecordReader } from './record-reader.ts'
import { RecordWriter } from './record-writer.ts'

/** With where the session's own connection leads. */
export interface FastPathDialOptions extends HostPort {
  /** The exporter of the session of the stream, which this end opened. */
  readonly exporter: Exporter
  /** An even number for a pooled fast-path connection, which has no stream. */
  readonly streamId: number
  /** The version that both ends of the session agreed on. */
  readonly version: number
}

/**
 * Connects a fast-path connection for a stream of a session, or for the pool. Resolves once the other end has proved
 * that it knows the session's keys; no byte of the flow is sent before. Rejects with the first failure or the signal's
 * reason.
 */
export async function dialFastPath(
  { exporter, streamId, version, host, port }: FastPathDialOptions,
  signal: AbortSignal
): Promise<RecordConnection> {
  signal.throwIfAborted()
  const salt = randomBytes(SALT_BYTES)
  const proved = Promise.withResolvers<void>()
  const writer = new RecordWriter(exporter, { sender: 'client', streamId, salt })
  const reader = new RecordReader(exporter, { sender: 'server', streamId, salt })
  const options = { end: 'opener', isPooled: isPooled(streamId) } as const
  const connection = new RecordConnection({ writer, reader }, options, { hello: proved.resolve, closed: proved.reject })
  const preamble = encodePreamble({ version, sessionTag: sessionTag(exporter), streamId, salt })
  const socket = connect({
    host,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 15_000,
    onread: onread(bytes => connection.received(bytes))
  })
  socket.once('connect', () => boundKernelBuffers(socket))
  connection.bind(socket)
  socket.write(preamble)
  connection.hello()
  try {
    await raceAbort(proved.promise, signal)
    return connection
  } catch (err) {
    proved.promise.catch(() => {})
    connection.destroy()
    throw err
  }
}
