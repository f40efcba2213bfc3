import {
  MAX_CONTENT_BYTES,
  type PooledConnection,
  type RecordConnection,
  type RecordConnectionEvents
} from '../fastpath/index.ts'
import {
  type ByteLeg,
  type Cut,
  type CutKind,
  type JoiningLeg,
  type Keeper,
  type LegEvents,
  LINK_LOST,
  type Room
} from '../flow/index.ts'
import { REASON_GRACE_MS } from '../timing.ts'
import { Milestones } from './milestones.ts'

/**
 * The owner of a record connection: one flow, which continues on it, or a session, which pools it for the next flow.
 */
interface Owner {
  /**
   * Sends events to `events`, and the reason to `onCut` when the other end has cut the flow, if that is reported
   * elsewhere.
   */
  subscribe(events: RecordConnectionEvents, onCut: (cut: Cut) => void): void
  abort(kind: CutKind): void
  /** Both directions have ended. */
  close(): void
}

class OneFlow implements Owner {
  readonly #connection: RecordConnection

  constructor(connection: RecordConnection) {
    this.#connection = connection
  }

  subscribe(events: RecordConnectionEvents): void {
    this.#connection.subscribe(events)
  }

  abort(): void {
    this.#connection.destroy()
  }

  close(): void {
    this.#connection.finish()
  }
}

class Pool implements Owner {
  readonly #pooled: PooledConnection
  readonly #number: number

  constructor(pooled: PooledConnection) {
    this.#pooled = pooled
    this.#number = pooled.number
  }

  subscribe(events: RecordConnectionEvents, onCut: (cut: Cut) => void): void {
    this.#pooled.subscribe(events, onCut)
  }

  abort(kind: CutKind): void {
    this.#pooled.abort(kind)
  }

  close(): void {
    this.#pooled.detach(this.#number)
  }
}

/**
 * Offset from which the other end's direction continues on a record connection, if it has reported one; undefined if it
 * does not continue there.
 */
export interface Started {
  readonly offset: number | undefined
}

/** A record connection for a flow that began on a stream. The reason of a cut comes on the stream. */
export function joiningLeg(connection: RecordConnection, started?: Started): JoiningLeg {
  return new RecordLeg(connection, new OneFlow(connection), started)
}

/** A pooled record connection on which the flow was granted. `sentFirst`: bytes of it that went with the request. */
export function pooledLeg(pooled: PooledConnection, sentFirst = 0): ByteLeg {
  return new RecordLeg(pooled.connection, new Pool(pooled), undefined, sentFirst)
}

/** A leg that is a TCP connection of sealed records to the other agent. */
class RecordLeg implements JoiningLeg, RecordConnectionEvents {
  readonly copies = true
  readonly #connection: RecordConnection
  readonly #owner: Owner
  readonly #theirs: Started | undefined
  readonly #sentBefore: number
  #events: LegEvents | undefined
  #sentBytes = 0
  #milestones: Milestones | undefined
  #hasEnded = false
  /** All of our direction has left this process. */
  #isSent = false
  /** All of their direction has arrived. */
  #isReceived = false
  /** It carries another flow, or may. */
  #isFree = false
  /** No more events are sent. */
  #isClosed = false
  #hasLeft = false
  #grace: NodeJS.Timeout | undefined

  constructor(connection: RecordConnection, owner: Owner, theirs?: Started, sentFirst = 0) {
    this.#connection = connection
    this.#owner = owner
    this.#theirs = theirs
    this.#sentBefore = connection.counted.sentBytes - sentFirst
    this.#sentBytes = sentFirst
  }

  get deliveredBytes(): number {
    if (this.#isSent) return this.#sentBytes
    return Math.min(this.#sentBytes, Math.max(0, this.#connection.counted.passedBytes - this.#sentBefore))
  }

  get waitingBytes(): number {
    return this.#isFree ? 0 : this.#connection.waitingBytes
  }

  limit(room: Room): void {
    this.#connection.limit(room)
  }

  subscribe(events: LegEvents): void {
    const isFirst = this.#events === undefined
    this.#events = events
    if (!isFirst) return
    if (this.#theirs !== undefined) this.started(this.#theirs.offset)
    this.#owner.subscribe(this, cut => {
      if (!this.#isDone) this.#fail(cut)
    })
  }

  start(offset: number | undefined): void {
    if (offset !== undefined) {
      this.#connection.start(offset)
      return
    }
    this.#hasEnded = true
    this.#isSent = true
    this.#connection.stay()
  }

  send(bytes: Buffer, release?: () => void): boolean {
    const hasRoom = this.#send(bytes)
    release?.()
    return hasRoom
  }

  sendKept(bytes: Buffer, keeper: Keeper): boolean {
    return this.#send(bytes, keeper)
  }

  end(): void {
    if (this.#hasEnded || this.#isClosed) return
    this.#hasEnded = true
    this.#connection.end(err => {
      // The connection is lost then; the reason may still follow.
      if (err !== undefined) {
        this.#lose()
        return
      }
      this.#isSent = true
      this.passed()
      if (!this.#isClosed) this.#events?.finished()
    })
  }

  pause(): void {
    if (!this.#isFree && !this.#isClosed) this.#connection.pause()
  }

  resume(): void {
    if (!this.#isFree && !this.#isClosed) this.#connection.resume()
  }

  delivered(offset: number, then: () => void): void {
    if (this.deliveredBytes >= offset) {
      then()
      return
    }
    this.#milestones ??= new Milestones()
    this.#milestones.add(offset, then)
  }

  abort(kind: CutKind): void {
    if (!this.#leave()) return
    // Another flow may be on it by now; ours has ended there in order.
    if (this.#isFree) this.#owner.close()
    else this.#owner.abort(kind)
  }

  close(): void {
    if (this.#leave()) this.#owner.close()
  }

  started(offset: number | undefined): void {
    if (offset === undefined) this.#isReceived = true
    this.#events?.started?.(offset)
  }

  data(bytes: Buffer, done: () => void): boolean {
    if (this.#events !== undefined && !this.#isClosed) return this.#events.data(bytes, done)
    done()
    return true
  }

  ended(): void {
    this.#isReceived = true
    if (!this.#isClosed) this.#events?.ended()
  }

  onIdle(): void {
    this.#isFree = true
  }

  drained(): void {
    if (!this.#isClosed) this.#events?.drained()
  }

  passed(): void {
    this.#milestones?.reach(this.deliveredBytes)
  }

  closed(): void {
    if (!this.#isDone) this.#lose()
  }

  /**
   * The other end has all our bytes, and we have all of its bytes: only our workload may not have accepted them yet.
   */
  get #isDone(): boolean {
    return this.#isReceived && this.#isSent
  }

  #send(bytes: Buffer, keeper?: Keeper): boolean {
    const connection = this.#connection
    if (this.#isClosed || this.#hasEnded || connection.isClosed) {
      keeper?.keep(bytes)
      return false
    }
    this.#sentBytes += bytes.length
    let hasRoom = false
    for (let at = 0; at < bytes.length; at += MAX_CONTENT_BYTES) {
      const part = bytes.length <= MAX_CONTENT_BYTES ? bytes : bytes.subarray(at, at + MAX_CONTENT_BYTES)
      hasRoom = connection.send(part, keeper)
    }
    return hasRoom
  }

  /** The reason comes on the session, and the end of this connection may overtake it, so this waits for it. */
  #lose(): void {
    if (!this.#isClosed) this.#grace ??= setTimeout(() => this.#fail(LINK_LOST), REASON_GRACE_MS)
  }

  #fail(cut: Cut): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#grace)
    this.#events?.failed(cut)
  }

  /** Returns false if it has left before. */
  #leave(): boolean {
    this.#isClosed = true
    clearTimeout(this.#grace)
    const isFirst = !this.#hasLeft
    this.#hasLeft = true
    return isFirst
  }
}
