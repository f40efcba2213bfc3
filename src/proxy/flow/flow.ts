import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import type { Address } from '../../identity/index.ts'
import type { Cut } from './cut.ts'
import type { DropReason } from './drops.ts'

export type Direction = 'outbound' | 'inbound' | 'local'
/** What a flow between two workloads of this host shows in place of a carrier. */
export const SAME_HOST = 'local'
/** What a flow beside its session shows: one of bytes with a connection of its own, and one whose datagrams go as packets. */
export const FAST_PATH = 'fastpath'
export const PACKETS = 'udp'

export interface Destination {
  readonly registrationId: string
  readonly address: Address
}

/** That a flow is about to be cut. */
export interface FlowAlarm {
  /** Why its session is not proved again; empty if nothing is wrong. */
  readonly problem: string
  /** When it is cut for that, unless it is proved before, wall milliseconds; zero if nothing is wrong. */
  readonly cutAtMs: number
}

/** A flow as it is shown to people. */
export interface FlowInfo extends FlowAlarm {
  readonly id: string
  readonly direction: Direction
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  readonly carrier: string
  /** From the destination to the source. */
  readonly bytesIn: number
  /** From the source to the destination. */
  readonly bytesOut: number
  /** Zero for TCP, as the next two. */
  readonly datagramsIn: number
  readonly datagramsOut: number
  /** Datagrams of either direction that were dropped here. */
  readonly dropped: number
  readonly openedAtMs: number
  readonly rule: string
}

export interface FlowOptions {
  readonly id: string
  readonly direction: Direction
  readonly source: Address
  /** Registration of the source, if it is of this host. */
  readonly sourceId: string | undefined
  /** Host of the source. */
  readonly sourceMachine: string
  readonly protocol: Protocol
  /** How its bytes travel, in words for people. */
  readonly carrier: string
  readonly openedAtMs: number
  readonly startedAtMs: number
}

/** One brokered connection at one agent, from before it is evaluated until both its directions ended. */
export class Flow {
  readonly id: string
  direction: Direction
  readonly source: Address
  readonly sourceId: string | undefined
  readonly sourceMachine: string
  readonly protocol: Protocol
  readonly openedAtMs: number
  readonly startedAtMs: number
  carrier: string
  /** Undefined until an instance is chosen; may change until the flow is open. */
  destination: Destination | undefined
  rule = ''
  bytesIn = 0
  bytesOut = 0
  datagramsIn = 0
  datagramsOut = 0
  /** Datagrams of either direction that were dropped here. */
  readonly drops: Record<DropReason, number> = { full: 0, gone: 0, 'too large': 0, rate: 0 }
  /** Whether its two ends were joined. */
  isOpen = false
  /** Whether it has a connection of its own between the agents. */
  isOnFastPath = false
  /** Bytes that wait in this process for an end of the flow that does not take them. Set while it is open. */
  waitingBytes: () => number = () => 0
  /** What its datagrams are counted against, one for each registration of this host that takes part: whether one more may pass. */
  buckets: ReadonlyArray<() => boolean> = []
  /** How many datagrams each of `meters` lets through in a second. */
  datagramsPerSecond = Number.POSITIVE_INFINITY
  /** The datagram path of its session. */
  packets: { readonly isUp: boolean } | undefined
  readonly #controller = new AbortController()
  #cut: Cut | undefined

  constructor(options: FlowOptions) {
    this.id = options.id
    this.direction = options.direction
    this.source = options.source
    this.sourceId = options.sourceId
    this.sourceMachine = options.sourceMachine
    this.protocol = options.protocol
    this.carrier = options.carrier
    this.openedAtMs = options.openedAtMs
    this.startedAtMs = options.startedAtMs
  }

  /** All that it dropped. */
  get dropped(): number {
    const { full, gone, rate, 'too large': tooLarge } = this.drops
    return full + gone + rate + tooLarge
  }

  /** Aborts when the flow is cut. Whoever opens or carries the flow must follow it. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Why it was cut here, if it was. */
  get cutBy(): Cut | undefined {
    return this.#cut
  }

  /** Ends the flow now, in whatever state it is. The first reason stays. */
  cut(cut: Cut): void {
    if (this.#cut !== undefined) return
    this.#cut = cut
    const code = cut.code ?? (cut.kind === 'policy' ? ErrorCode.Unauthorized : ErrorCode.FlowCut)
    this.#controller.abort(new WarrenError(code, cut.text))
  }
}
