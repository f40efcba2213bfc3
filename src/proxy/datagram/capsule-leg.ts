import type { Http2Stream } from 'node:http2'
import { FrameWriter, MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import { type CutKind, codeOf, cutOf, isDone, type Sent } from '../flow/index.ts'
import { abortStream } from '../legs/index.ts'
import { CapsuleParser, capsuleFraming } from './capsules.ts'
import { type DatagramEvents, type DatagramLeg, MAX_BACKLOG_BYTES } from './leg.ts'
import type { PacketChannel } from './packet/index.ts'

/** A `connect-udp` stream to the other agent: DATAGRAM capsules on it, or packets beside it while packets arrive. */
export class CapsuleLeg implements DatagramLeg {
  readonly #stream: Http2Stream
  readonly #capsules: FrameWriter
  readonly #packets: PacketChannel | undefined
  readonly #multipath: boolean

  /** `multipath`: each packet is sent on two paths, while there are two. */
  constructor(stream: Http2Stream, packets: PacketChannel | undefined, multipath = false) {
    this.#stream = stream
    this.#packets = packets
    this.#multipath = multipath
    this.#capsules = new FrameWriter(stream, capsuleFraming)
  }

  start(events: DatagramEvents): void {
    const stream = this.#stream
    const onClosed = (): void => {
      if (isDone(stream.rstCode)) events.closed()
      else events.failed(cutOf(stream.rstCode))
    }
    const parser = new CapsuleParser(events)
    const detach = stream.id === undefined ? undefined : this.#packets?.attach(stream.id, events, this.#multipath)
    if (detach !== undefined) stream.once('close', detach)
    stream.on('error', onClosed)
    stream.once('close', onClosed)
    stream.on('data', (chunk: Buffer) => parser.push(chunk))
    stream.once('end', () => {
      // The streams of a lost session, and those that are reset, end as if they were complete.
      if (!stream.aborted && stream.rstCode === 0 && !stream.destroyed) events.ended()
    })
    if (stream.destroyed) onClosed()
    else stream.resume()
  }

  send(payload: Buffer): Sent {
    const stream = this.#stream
    if (stream.destroyed || stream.closed || stream.writableEnded) return 'gone'
    if (payload.length > MAX_DATAGRAM_BYTES) return 'too large'
    const sent = stream.id === undefined ? undefined : this.#packets?.send(stream.id, payload)
    if (sent !== undefined) return sent
    if (this.#capsules.waitingBytes > MAX_BACKLOG_BYTES) return 'full'
    this.#capsules.send(payload)
    return 'sent'
  }

  end(): void {
    this.#capsules.flush()
    if (!this.#stream.writableEnded && !this.#stream.closed) this.#stream.end()
  }

  close(): void {
    const stream = this.#stream
    this.#capsules.flush()
    if (stream.destroyed || stream.closed) return
    const done = (): void => {
      if (!stream.closed) stream.close(codeOf('done'))
    }
    // The datagrams sent last must leave before the reset does.
    if (stream.writableFinished) done()
    else stream.once('finish', done).end()
  }

  abort(kind: CutKind): void {
    abortStream(this.#stream, kind)
  }
}
