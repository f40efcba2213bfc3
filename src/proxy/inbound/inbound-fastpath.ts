import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Lane, LaneDoor } from '../fastpath/index.ts'
import {
  canTakeOver,
  isKept,
  KeptLane,
  type LaneBudget,
  LaneCuts,
  type LaneWay,
  MAX_KEPT_PER_SESSION,
  Once
} from '../fastpath/index.ts'
import { KEPT_LANE_INBOUND_IDLE_MS } from '../timing.ts'
import { givenUp } from './responder.ts'

/** Of numbers that only grow by two, and of which as many are under way as an opener dials at once. */
const ID_WINDOW = 8 * MAX_KEPT_PER_SESSION

type Taker = (lane: Lane) => void

export interface InboundLanesOptions {
  readonly socket: TLSSocket
  readonly door: LaneDoor
  readonly budget: LaneBudget
  /** A flow is asked for on a kept lane: `grant` or `refuse` on it is to follow. */
  readonly onAsked: (lane: KeptLane, open: Buffer, gone: AbortSignal) => void
}

/** The lanes beside a session, at the end to which both were opened. */
export class InboundLanes {
  readonly #options: InboundLanesOptions
  /** By the stream of a flow. */
  readonly #takers = new Map<number, Taker>()
  readonly #kept = new Map<number, KeptLane>()
  // A lane that is repeated from a capture has the keys of the former: what it says would be taken for true, and what we say would
  // be sealed with nonces that were used.
  readonly #ids = new Once(ID_WINDOW)
  #cuts: LaneCuts | undefined
  #closeDoor: (() => void) | undefined

  constructor(options: InboundLanesOptions) {
    this.#options = options
  }

  /** How the opener gets a lane for the flow on `stream`, which costs no more than an entry here until it does. */
  wayFor({ id: streamId }: ServerHttp2Stream): LaneWay | undefined {
    if (streamId === undefined || !canTakeOver()) return undefined
    return {
      budget: this.#options.budget,
      listen: taker => {
        this.#open()
        this.#takers.set(streamId, taker)
        return () => this.#takers.delete(streamId)
      }
    }
  }

  /** From now on the opener may keep lanes; `stream` says which flows on them are cut. Throws UNSUPPORTED or LIMIT_EXCEEDED. */
  keep(stream: ServerHttp2Stream): void {
    if (!canTakeOver()) throw new WarrenError(ErrorCode.Unsupported, 'this agent keeps no lanes')
    if (this.#cuts?.isOpen === true) throw new WarrenError(ErrorCode.LimitExceeded, 'the session has its lanes already')
    this.#open()
    const cuts = new LaneCuts(stream, (laneId, number, code) => this.#kept.get(laneId)?.cutBy(number, code))
    this.#cuts = cuts
    stream.once('end', () => cuts.close())
    stream.respond({ ':status': 200 })
  }

  /** The session is over. */
  lost(): void {
    this.#closeDoor?.()
    for (const kept of [...this.#kept.values()]) kept.lost()
  }

  #open(): void {
    this.#closeDoor ??= this.#openDoor()
  }

  #openDoor(): () => void {
    const { door, socket } = this.#options
    try {
      return door.open({
        exporter: (...args) => socket.exportKeyingMaterial(...args),
        takerOf: id => (isKept(id) ? this.#keeper(id) : this.#takers.get(id))
      })
    } catch {
      // The session has just ended, and its flows with it.
      return () => {}
    }
  }

  #keeper(id: number): Taker | undefined {
    const cuts = this.#cuts
    if (cuts?.isOpen !== true || !this.#ids.isNew(id) || this.#kept.size >= MAX_KEPT_PER_SESSION) return undefined
    return lane => this.#keep(id, lane, cuts)
  }

  #keep(id: number, lane: Lane, cuts: LaneCuts): void {
    const { budget, onAsked } = this.#options
    this.#ids.see(id)
    if (!budget.takeKept()) {
      lane.destroy()
      return
    }
    const kept = new KeptLane(lane, id, cuts)
    this.#kept.set(id, kept)
    const idle = setTimeout(() => {
      if (lane.isAtRest) lane.destroy()
    }, KEPT_LANE_INBOUND_IDLE_MS)
    const events = {
      asked: (open: Buffer) => {
        const gone = new AbortController()
        kept.begin(() => gone.abort(givenUp()))
        onAsked(kept, open, gone.signal)
      },
      rested: () => {
        kept.freed()
        idle.refresh()
      },
      closed: () => {}
    }
    lane.rest(events, () => {
      clearTimeout(idle)
      budget.giveKept()
      kept.over(() => this.#kept.delete(id))
    })
  }
}
