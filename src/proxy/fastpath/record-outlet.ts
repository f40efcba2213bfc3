import type { Socket } from 'node:net'
import type { Keeper, Room } from '../flow/index.ts'
import { flowBytesIn, type Kind, RECORD_OVERHEAD_BYTES } from './format.ts'
import { bufferPool } from './pool.ts'
import type { RecordWriter } from './record-writer.ts'
import { KEPT_SEALED_BYTES, WaitingWrites } from './waiting-writes.ts'

/** Receives what becomes of the records that were written. */
export interface OutletEvents {
  /** Nothing can be written any more. */
  readonly failed: (err: Error) => void
  /** More bytes of flows have left this process. */
  readonly passed: () => void
  /** There is room again, after `send` returned false. */
  readonly drained: () => void
}

/** Seals the records of one direction of a fast-path connection, and writes them to its socket. */
export class RecordOutlet {
  /** Nothing is written before there is one. */
  socket: Socket | undefined
  readonly #writer: RecordWriter
  readonly #events: OutletEvents
  readonly #writes = new WaitingWrites()
  #sentBytes = 0
  #passedBytes = 0
  #isFull = false
  #isClosed = false

  constructor(writer: RecordWriter, events: OutletEvents) {
    this.#writer = writer
    this.#events = events
  }

  /** Bytes of flows that were given to it. */
  get sentBytes(): number {
    return this.#sentBytes
  }

  /** The number of them that have left this process. */
  get passedBytes(): number {
    return this.#passedBytes
  }

  /** Memory of the records that wait. */
  get waitingBytes(): number {
    return this.#writes.bytes
  }

  get waitingCount(): number {
    return this.#writes.count
  }

  /** Bounds what waits. */
  get room(): Room {
    return this.#writes.room
  }

  set room(room: Room) {
    this.#writes.room = room
  }

  /** Writes bytes of a flow. Returns false when enough waits: `drained` is called later. Gives the bytes to `keeper`. */
  send(kind: Kind, bytes: Buffer, keeper: Keeper | undefined): boolean {
    const isSealed = keeper !== undefined && bytes.length >= KEPT_SEALED_BYTES && this.#isWritable
    const place = isSealed ? keeper.place(bytes.length + RECORD_OVERHEAD_BYTES) : undefined
    const isWritten = this.write(kind, bytes, place?.left, place?.memory)
    keeper?.keep(bytes, isWritten && place !== undefined ? this.#writer.reopen() : undefined)
    this.#isFull ||= this.#writes.isFull(this.socket?.writableLength ?? 0)
    return !this.#isFull
  }

  /** Writes a record, to `place` if there is one. Returns whether it is being written; `sent` is called when it has left. */
  write(kind: Kind, content: Buffer, sent?: (err?: Error) => void, place?: Buffer): boolean {
    const flowBytes = flowBytesIn(kind, content)
    this.#sentBytes += flowBytes
    const { socket } = this
    if (socket === undefined || !this.#isWritable) {
      if (sent !== undefined) process.nextTick(sent, new Error('the connection is closed'))
      return false
    }
    const size = content.length + RECORD_OVERHEAD_BYTES
    const out = place ?? this.#writes.bufferFor(size, socket.writableLength)
    try {
      this.#writer.write(kind, content, out)
    } catch (err) {
      bufferPool.give(out)
      this.#events.failed(err instanceof Error ? err : new Error(String(err)))
      return false
    }
    this.#writes.add(out)
    socket.write(out.subarray(0, size), err => {
      this.#writes.left(out)
      if (flowBytes > 0 && err == null) {
        this.#passedBytes += flowBytes
        this.#events.passed()
      }
      if (this.#isFull && this.#writes.count === 0) {
        this.#isFull = false
        this.#events.drained()
      }
      sent?.(err ?? undefined)
    })
    return true
  }

  /** Writes nothing from now on. */
  close(): void {
    this.#isClosed = true
    this.#writer.close()
  }

  get #isWritable(): boolean {
    return !this.#isClosed && this.socket?.destroyed === false
  }
}
