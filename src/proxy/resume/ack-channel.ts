import type { Http2Stream } from 'node:http2'
import { ByteQueue } from '../../wire/index.ts'
import { REASON_GRACE_MS } from '../timing.ts'

/** Path of the request for such a stream, the first of a session. */
export const RESUME_PATH = '/warren/resume'
/** Id, number, position. */
const ACK_BYTES = 16
/** What arrives within this time is acknowledged together. */
const ACK_DELAY_MS = 50
/** When so much of a flow has arrived, it is acknowledged at once: its sender may wait for it. */
const PROMPT_BYTES = 1024 * 1024
/** From this version of the protocol on. */
const PROMPT_VERSION = 2
/** Most that waits for an agent that does not read: acknowledgements wait for the next time. */
const MAX_WAITING_BYTES = 256 * 1024

/** Names what carries a flow in its session: a stream, or a flow of a pooled fast-path connection. */
export interface FlowRef {
  /** An odd number for a stream, an even one for a pooled connection. */
  readonly id: number
  /** Number of the flow among those that the connection has carried; zero for a stream. */
  readonly number: number
}

export function refText({ id, number }: FlowRef): string {
  return `${id}.${number}`
}

export interface AckReceiver {
  /** The other end has received everything up to this position. */
  readonly onAck: (position: number) => void
  /** No acknowledgement comes any more. */
  readonly onLost: () => void
  /** What has been received here; asked for when it is acknowledged. */
  readonly position: () => number
}

/** A flow in a channel. */
export interface AckEntry {
  readonly ref: FlowRef
  readonly receiver: AckReceiver
  /** Something has arrived that is not acknowledged yet. */
  isDue: boolean
  /** That much, without the end. */
  dueBytes: number
}

/** Reports on a session which bytes of its flows have arrived. On the paths of the bytes a report would wait behind them. */
export class AckChannel {
  readonly #entries = new Map<string, AckEntry>()
  readonly #due: AckEntry[] = []
  readonly #onIdle: () => void
  #stream: Http2Stream | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  #isPrompt = false

  /** `onIdle` is called when nothing waits for an acknowledgement any more. */
  constructor(onIdle: () => void = () => {}) {
    this.#onIdle = onIdle
  }

  /** Whether no flow needs it. */
  get isIdle(): boolean {
    return this.#entries.size === 0
  }

  /** Whether the other end acknowledges at once when much has arrived. */
  get isPrompt(): boolean {
    return this.#isPrompt
  }

  /** Sends and receives on this stream. `version`: of the protocol, as both ends speak it. */
  bind(stream: Http2Stream, version: number): void {
    this.#stream = stream
    this.#isPrompt = version >= PROMPT_VERSION
    const queue = new ByteQueue()
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => {
      queue.push(chunk)
      while (queue.length >= ACK_BYTES) {
        const ack = queue.take(ACK_BYTES)
        const ref = { id: ack.readUInt32BE(0), number: ack.readUInt32BE(4) }
        this.#entries.get(refText(ref))?.receiver.onAck(Number(ack.readBigUInt64BE(8)))
      }
    })
    stream.once('close', () => this.#lose())
    if (this.#due.length > 0) this.#schedule()
  }

  /** Reports what the other end has received to `receiver`, until `detach`. */
  attach(ref: FlowRef, receiver: AckReceiver): AckEntry {
    const entry = { ref, receiver, isDue: false, dueBytes: 0 }
    this.#entries.set(refText(ref), entry)
    if (this.#stream?.destroyed === true) this.#lose()
    return entry
  }

  /** What is due is still sent. */
  detach(entry: AckEntry): void {
    const text = refText(entry.ref)
    if (this.#entries.get(text) !== entry) return
    this.#entries.delete(text)
    if (this.isIdle) this.#onIdle()
  }

  /** So many bytes have arrived, or the end. */
  note(entry: AckEntry, size: number): void {
    // Each read comes here.
    entry.dueBytes += size
    if (this.#isClosed || (entry.isDue && entry.dueBytes < PROMPT_BYTES)) return
    if (!entry.isDue) this.#due.push(entry)
    entry.isDue = true
    if (entry.dueBytes >= PROMPT_BYTES) this.#flush()
    else this.#schedule()
  }

  /** Sends nothing more, so that the session can end. */
  close(): void {
    if (this.#isClosed) return
    this.#flush()
    this.#isClosed = true
    clearTimeout(this.#timer)
    const stream = this.#stream
    if (stream !== undefined && !stream.destroyed && !stream.writableEnded) stream.end()
  }

  // What carries a flow reports the loss itself, with its reason. Only a flow whose bytes have all left waits for this.
  #lose(): void {
    setTimeout(() => {
      for (const { receiver } of [...this.#entries.values()]) receiver.onLost()
    }, REASON_GRACE_MS)
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#flush()
    }, ACK_DELAY_MS)
  }

  #flush(): void {
    const stream = this.#stream
    if (stream === undefined || this.#due.length === 0 || stream.destroyed || stream.closed || stream.writableEnded)
      return
    if (stream.writableLength > MAX_WAITING_BYTES) {
      this.#schedule()
      return
    }
    const bytes = Buffer.alloc(this.#due.length * ACK_BYTES)
    let at = 0
    for (const entry of this.#due.splice(0)) {
      const { ref, receiver } = entry
      entry.isDue = false
      entry.dueBytes = 0
      bytes.writeUInt32BE(ref.id, at)
      bytes.writeUInt32BE(ref.number, at + 4)
      bytes.writeBigUInt64BE(BigInt(receiver.position()), at + 8)
      at += ACK_BYTES
    }
    stream.write(bytes)
  }
}
