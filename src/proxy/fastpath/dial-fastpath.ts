import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { type HostPort, raceAbort } from '../../core/index.ts'
import type { Exporter } from '../aead/index.ts'
import { encodePreamble, FIRST_BYTES_VERSION, isPooled, SALT_BYTES } from './format.ts'
import { boundKernelBuffers } from './kernel-buffers.ts'
import { sessionTag } from './keys.ts'
import { type OnBytes, onread, takeOver } from './raw-socket.ts'
import { RecordConnection } from './record-connection.ts'
import { RecordReader } from './record-reader.ts'
import { RecordWriter } from './record-writer.ts'

/** Where a connection leads, and the address of this host that it begins at. */
export interface TcpEnd extends HostPort {
  /** @default the kernel chooses it */
  readonly localAddress?: string
}

export interface FastPathDialOptions {
  /** The exporter of the session of the stream, which this end opened. */
  readonly exporter: Exporter
  /** An even number for a pooled fast-path connection, which has no stream. */
  readonly streamId: number
  /** The version that both ends of the session agreed on. */
  readonly version: number
  /** Where the session's own connection leads, or how to get another connection that leads there. */
  readonly to: TcpEnd | ((signal: AbortSignal) => Promise<Socket>)
}

const KEEP_ALIVE_MS = 15_000

/**
 * Connects a fast-path connection for a stream of a session, or for the pool. Resolves once the other end has proved
 * that it knows the session's keys; no byte of the flow is sent before. Rejects with the first failure or the signal's
 * reason.
 */
export async function dialFastPath(options: FastPathDialOptions, signal: AbortSignal): Promise<RecordConnection> {
  signal.throwIfAborted()
  const { to } = options
  if (typeof to !== 'function') return await proved(options, onBytes => connecting(to, onBytes), signal)
  const former = await to(signal)
  try {
    return await proved(options, onBytes => continued(former, onBytes), signal)
  } catch (err) {
    former.destroy()
    throw err
  }
}

async function proved(
  { exporter, streamId, version }: FastPathDialOptions,
  open: (onBytes: OnBytes) => Socket,
  signal: AbortSignal
): Promise<RecordConnection> {
  const salt = randomBytes(SALT_BYTES)
  const answer = Promise.withResolvers<void>()
  const writer = new RecordWriter(exporter, { sender: 'client', streamId, salt })
  const reader = new RecordReader(exporter, { sender: 'server', streamId, salt })
  const takesFirstBytes = version >= FIRST_BYTES_VERSION
  const options = { end: 'opener', isPooled: isPooled(streamId), takesFirstBytes } as const
  const connection = new RecordConnection({ writer, reader }, options, { hello: answer.resolve, closed: answer.reject })
  const preamble = encodePreamble({ version, sessionTag: sessionTag(exporter), streamId, salt })
  const socket = open(bytes => connection.received(bytes))
  connection.bind(socket)
  socket.write(preamble)
  connection.hello()
  try {
    await raceAbort(answer.promise, signal)
    return connection
  } catch (err) {
    answer.promise.catch(() => {})
    connection.destroy()
    throw err
  }
}

function connecting(to: TcpEnd, onBytes: OnBytes): Socket {
  const socket = connect({
    ...to,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    onread: onread(onBytes)
  })
  socket.once('connect', () => boundKernelBuffers(socket))
  return socket
}

function continued(former: Socket, onBytes: OnBytes): Socket {
  const { socket, remaining } = takeOver(former, onBytes)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  boundKernelBuffers(socket)
  if (remaining.length > 0) socket.destroy(new Error('the other end has sent bytes before the preamble'))
  return socket.resume()
}
