import type { Http2Stream } from 'node:http2'
import type { Lane, LaneWay, LaneWorth } from '../fastpath/index.ts'
import type { ByteLeg, Flow } from '../flow/index.ts'
import { joiningLeg, type Started } from '../legs/index.ts'
import { LANE_START_TIMEOUT_MS } from '../timing.ts'
import type { Relay } from './relay.ts'
import type { SideName } from './side.ts'

export interface UpgradeOptions {
  readonly flow: Flow
  readonly relay: Relay
  /** The other agent's side, which is on `stream`. */
  readonly side: SideName
  readonly stream: Http2Stream
  readonly way: LaneWay
  /** The flow has moved to this leg. */
  readonly onMoved: (leg: ByteLeg) => void
}

/** Calls back once, when the flow has carried so much that a record connection is worth what it costs. */
export function whenWorth(flow: Flow, relay: Relay, worth: LaneWorth, callback: () => void): void {
  let reads = 0
  relay.onRead = () => {
    reads += 1
    if (reads < worth.chunks && flow.bytesIn + flow.bytesOut < worth.bytes) return
    relay.onRead = undefined
    callback()
  }
}

/** Moves a flow from its stream to a record connection of its own, when that is worth it or the other agent does so. */
export function upgrade(options: UpgradeOptions): void {
  const { way } = options
  if ('dial' in way) new Dialling(options, way).begin()
  else new Listening(options, way).begin()
}

/** A place among the record connections of this agent, while the flow has one. */
class Place {
  readonly #budget: LaneWay['budget']
  #isTaken = false

  constructor(budget: LaneWay['budget']) {
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

function move({ flow, relay, side, onMoved }: UpgradeOptions, lane: Lane, started?: Started): void {
  const leg = joiningLeg(lane, started)
  flow.isOnLane = true
  relay.swap(side, leg, relay.sentTo(side))
  onMoved(leg)
}

/** The end that opened the session connects. */
class Dialling {
  readonly #options: UpgradeOptions
  readonly #way: Extract<LaneWay, { dial: unknown }>
  readonly #place: Place

  constructor(options: UpgradeOptions, way: Extract<LaneWay, { dial: unknown }>) {
    this.#options = options
    this.#way = way
    this.#place = new Place(way.budget)
  }

  begin(): void {
    const { flow, relay } = this.#options
    whenWorth(flow, relay, this.#way.worth, () => this.#ask())
    void relay.over.then(() => this.#place.give())
  }

  #ask(): void {
    const { relay, stream } = this.#options
    // A flow that is about to end is better left where it is.
    if (stream.readableEnded || !this.#place.take()) return
    const dialled = this.#way.budget.dial(this.#way.dial)
    if (dialled === undefined) {
      // Many are under way: it asks again with the next read.
      this.#place.give()
      relay.onRead = () => {
        relay.onRead = undefined
        this.#ask()
      }
      return
    }
    dialled.then(
      lane => {
        if (!relay.isOver && !lane.isOver) {
          move(this.#options, lane)
          return
        }
        lane.destroy()
        this.#place.give()
      },
      () => this.#place.give()
    )
  }
}

/** The other end waits for it. */
class Listening {
  readonly #options: UpgradeOptions
  readonly #way: Extract<LaneWay, { listen: unknown }>
  readonly #place: Place
  #stopListening: () => void = () => {}
  /** Gives up the one that has not begun yet. */
  #giveUp: (() => void) | undefined

  constructor(options: UpgradeOptions, way: Extract<LaneWay, { listen: unknown }>) {
    this.#options = options
    this.#way = way
    this.#place = new Place(way.budget)
  }

  begin(): void {
    this.#listen()
    void this.#options.relay.over.then(cut => {
      this.#stopListening()
      // One that has not begun when the flow ends in order may yet begin: its opener cannot know that, and is answered.
      if (this.#giveUp === undefined) this.#place.give()
      else if (cut !== undefined) this.#giveUp()
    })
  }

  #listen(): void {
    this.#stopListening = this.#way.listen(lane => this.#expectStart(lane))
  }

  #expectStart(lane: Lane): void {
    const { relay } = this.#options
    if (relay.isOver || !this.#place.take()) {
      lane.destroy()
      return
    }
    // One at a time: what comes for this stream meanwhile, a repeated one say, is not answered.
    this.#stopListening()
    const giveUp = (): void => {
      clearTimeout(timer)
      this.#giveUp = undefined
      lane.destroy()
      this.#place.give()
      if (!relay.isOver) this.#listen()
    }
    const timer = setTimeout(giveUp, LANE_START_TIMEOUT_MS)
    this.#giveUp = giveUp
    lane.attend({
      started: offset => {
        clearTimeout(timer)
        this.#giveUp = undefined
        if (relay.isOver) this.#stay(lane)
        else move(this.#options, lane, { offset })
      },
      closed: giveUp
    })
  }

  /** Both directions have ended on the stream: so it is said, and nothing else is to come. */
  #stay(lane: Lane): void {
    lane.stay()
    lane.finish()
    this.#place.give()
  }
}
