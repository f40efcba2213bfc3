import type { Socket } from 'node:net'
import type { Metrics } from '../../core/index.ts'
import type { Exporter } from '../aead/index.ts'
import type { HandshakeGate } from '../handshake-limiter.ts'
import { HANDSHAKE_TIMEOUT_MS } from '../timing.ts'
import { decodePreamble, isKept, PREAMBLE_BYTES } from './format.ts'
import { boundKernelBuffers } from './kernel-buffers.ts'
import { sessionTag } from './keys.ts'
import { takeOver } from './raw-socket.ts'
import { Lane } from './record-connection.ts'
import { RecordReader } from './record-reader.ts'
import { RecordWriter } from './record-writer.ts'

/** A session that others opened to this host, to whose streams lanes may come. */
export interface LaneHost {
  readonly exporter: Exporter
  /** Who takes a lane of this stream, or a kept one of this even number; undefined if nobody does. */
  readonly takerOf: (id: number) => ((lane: Lane) => void) | undefined
}

/** The side of the data port where lanes arrive. To who does not know a session's keys it answers nothing. */
export class LaneDoor {
  readonly #hosts = new Map<string, LaneHost>()
  readonly #gate: HandshakeGate

  readonly #metrics: Metrics

  /** `gate` bounds how many have not proved themselves, as for TLS. */
  constructor(gate: HandshakeGate, metrics: Metrics) {
    this.#gate = gate
    this.#metrics = metrics
  }

  /** Lets lanes come to a session. The function returned takes that back. Throws once the session is gone. */
  open(host: LaneHost): () => void {
    const tag = sessionTag(host.exporter).toString('latin1')
    this.#hosts.set(tag, host)
    return () => this.#hosts.delete(tag)
  }

  /** Serves a connection whose first byte is that of a lane, and is still in it. */
  enter(socket: Socket, remote: string): void {
    const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS)
    const place = this.#gate.enter(socket, remote)
    if (place === undefined) socket.destroy()
    const take = (): void => {
      const bytes: Buffer | null = socket.read(PREAMBLE_BYTES)
      if (bytes === null) return
      socket.off('readable', take)
      try {
        this.#admit(socket, bytes, remote)
      } catch {
        socket.destroy()
      }
    }
    socket.on('error', () => {})
    socket.once('close', () => clearTimeout(timer))
    socket.on('readable', take)
    take()
  }

  #admit(former: Socket, bytes: Buffer, remote: string): void {
    const preamble = decodePreamble(bytes)
    const host = preamble === undefined ? undefined : this.#hosts.get(preamble.sessionTag.toString('latin1'))
    if (preamble === undefined || host === undefined || host.takerOf(preamble.streamId) === undefined) {
      former.destroy()
      return
    }
    const { streamId, salt } = preamble
    const { exporter } = host
    const writer = new RecordWriter(exporter, { sender: 'server', streamId, salt })
    const reader = new RecordReader(exporter, { sender: 'client', streamId, salt })
    const lane = new Lane(
      writer,
      reader,
      { end: 'other', isKept: isKept(streamId) },
      {
        hello: () => {
          clearTimeout(timer)
          place?.release()
          const taker = host.takerOf(streamId)
          if (taker === undefined) lane.destroy()
          else taker(lane)
          // Who had no place for it has closed it: an opener without an answer waits, one with an answer would try again at once.
          if (!lane.isOver) lane.hello()
          this.#metrics.count('warren_lanes_total', { role: 'server', result: lane.isOver ? 'failed' : 'ok' })
        },
        closed: () => {
          clearTimeout(timer)
          this.#metrics.count('warren_lanes_total', { role: 'server', result: 'failed' })
        }
      }
    )
    const { socket, rest } = takeOver(former, read => lane.received(read))
    lane.bind(socket)
    const place = this.#gate.enter(socket, remote)
    const timer = setTimeout(() => lane.fail(new Error('no proof in time')), HANDSHAKE_TIMEOUT_MS)
    if (place === undefined) {
      lane.fail(new Error('too many at once'))
      return
    }
    socket.setNoDelay(true)
    boundKernelBuffers(socket)
    socket.setKeepAlive(true, 15_000)
    if (rest.length === 0 || lane.received(rest)) lane.resume()
  }
}
