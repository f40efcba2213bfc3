import type { Http2Stream } from 'node:http2'
import { carrierOf, type RecordConnection, type UpgradePath, type UpgradeThresholds } from '../fastpath/index.ts'
import type { ByteLeg, Cut, Flow } from '../flow/index.ts'
import { joiningLeg, type Started } from '../legs/index.ts'
import { FAST_PATH_START_TIMEOUT_MS } from '../timing.ts'
import type { Relay } from './relay.ts'
import type { SideName } from './side.ts'

export interface UpgradeOptions {
  readonly flow: Flow
  readonly relay: Relay
  /** The other agent's side, which is on `stream`. */
  readonly side: SideName
  readonly stream: Http2Stream
  readonly path: UpgradePath
  /** The flow has moved to this leg. */
  readonly onMoved: (leg: ByteLeg) => void
  /** Settled when the stream carries the flow no more. */
  readonly over: Promise<Cut | undefined>
  /** Whether it is. */
  readonly isOver: () => boolean
}

/** Calls back once, when the flow has carried so much that a record connection is worth its cost. */
export function whenWorthIt(flow: Flow, relay: Relay, thresholds: UpgradeThresholds, callback: () => void): void {
  let reads = 0
  relay.onRead = () => {
    reads += 1
    if (reads < thresholds.chunks && flow.bytesIn + flow.bytesOut < thresholds.bytes) return
    relay.onRead = undefined
    callback()
  }
}

/** Moves a flow from its stream to a record connection of its own, when that is worth it or the other agent does so. */
export function upgrade(options: UpgradeOptions): void {
  const { path } = options
  if ('dial' in path) new Dialling(options, path).begin()
  else new Listening(options, path).begin()
}

/** A place in the budget of record connections of this agent, while the flow has one. */
class Place {
  readonly #budget: UpgradePath['budget']
  #isTaken = false

  constructor(budget: UpgradePath['budget']) {
    this.#budget = budget
  }

  take(): boolean {
    if (this.#isTaken) return false
    this.#isTaken = this.#budget.take()
    return this.#isTaken
  }

  give(): void {
    if (this.#isTaken) this.#budget.give()
    this.#isTaken = false
  }
}

function move({ flow, relay, side, onMoved }: UpgradeOptions, connection: RecordConnection, started?: Started): void {
  const leg = joiningLeg(connection, started)
  flow.isOnFastPath = true
  flow.carrier = carrierOf(connection) ?? flow.carrier
  relay.swap(side, leg, relay.sentTo(side))
  onMoved(leg)
}

/** The end that opened the session connects. */
class Dialling {
  readonly #options: UpgradeOptions
  readonly #path: Extract<UpgradePath, { dial: unknown }>
  readonly #place: Place

  constructor(options: UpgradeOptions, path: Extract<UpgradePath, { dial: unknown }>) {
    this.#options = options
    this.#path = path
    this.#place = new Place(path.budget)
  }

  begin(): void {
    const { flow, relay, over } = this.#options
    whenWorthIt(flow, relay, this.#path.thresholds, () => this.#ask())
    void over.then(() => this.#place.give())
  }

  #ask(): void {
    const { flow, relay, stream, isOver } = this.#options
    const isFinal = (): boolean => stream.readableEnded || isOver()
    // A flow that is about to end stays where it is.
    if (isFinal()) return
    // Where memory is scarce a stream needs less of it.
    const isScarce = flow.room?.isScarce === true
    if (!isScarce && !this.#place.take()) return
    const dialled = isScarce ? undefined : this.#path.budget.dial(() => this.#path.dial(isFinal))
    if (dialled === undefined) {
      // Or too many dials are in progress: it tries again with the next read.
      this.#place.give()
      relay.onRead = () => {
        relay.onRead = undefined
        this.#ask()
      }
      return
    }
    dialled.then(
      connection => {
        if (!isOver() && !connection.isClosed) {
          move(this.#options, connection)
          return
        }
        connection.destroy()
        this.#place.give()
      },
      () => {
        this.#place.give()
        this.#askLater()
      }
    )
  }

  /** With a read after the pause, if another attempt may work. */
  #askLater(): void {
    const { relay, isOver } = this.#options
    if (isOver()) return
    const fromMs = performance.now() + this.#path.retryMs()
    relay.onRead = () => {
      if (performance.now() < fromMs) return
      relay.onRead = undefined
      this.#ask()
    }
  }
}

/** The other end waits for it. */
class Listening {
  readonly #options: UpgradeOptions
  readonly #path: Extract<UpgradePath, { listen: unknown }>
  readonly #place: Place
  #stopListening: () => void = () => {}
  /** Drops the connection that has not begun yet. */
  #giveUp: (() => void) | undefined

  constructor(options: UpgradeOptions, path: Extract<UpgradePath, { listen: unknown }>) {
    this.#options = options
    this.#path = path
    this.#place = new Place(path.budget)
  }

  begin(): void {
    this.#listen()
    void this.#options.over.then(cut => {
      this.#stopListening()
      // A connection that has not begun when the flow ends in order may yet begin: its opener cannot know that, and
      // gets an answer.
      if (this.#giveUp === undefined) this.#place.give()
      else if (cut !== undefined) this.#giveUp()
    })
  }

  #listen(): void {
    this.#stopListening = this.#path.listen(connection => this.#expectStart(connection))
  }

  #expectStart(connection: RecordConnection): void {
    const { flow, isOver } = this.#options
    if (isOver() || flow.room?.isScarce === true || !this.#place.take()) {
      connection.destroy()
      return
    }
    // One at a time: a further connection for this stream, such as a replayed one, gets no answer.
    this.#stopListening()
    const giveUp = (): void => {
      clearTimeout(timer)
      this.#giveUp = undefined
      connection.destroy()
      this.#place.give()
      if (!isOver()) this.#listen()
    }
    const timer = setTimeout(giveUp, FAST_PATH_START_TIMEOUT_MS)
    this.#giveUp = giveUp
    connection.subscribe({
      started: offset => {
        clearTimeout(timer)
        this.#giveUp = undefined
        if (isOver()) this.#stay(connection)
        else move(this.#options, connection, { offset })
      },
      closed: giveUp
    })
  }

  /** Both directions have ended on the stream: this is reported, and nothing else follows. */
  #stay(connection: RecordConnection): void {
    connection.stay()
    connection.finish()
    this.#place.give()
  }
}
