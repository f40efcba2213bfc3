import { ErrorCode, type Protocol, ShortSignal, WarrenError } from '../../core/index.ts'
import type { ProcessFields } from '../../events/index.ts'
import { type Address, formatAddress } from '../../identity/index.ts'
import type { RuleLimits } from '../../policy/index.ts'
import type { Pace } from './byte-rates.ts'
import type { Cut, CutKind } from './cut.ts'
import type { DropReason } from './drops.ts'
import type { FlowRoom } from './room.ts'
import type { FlowTrace } from './trace.ts'

export type Direction = 'outbound' | 'inbound' | 'local'
/** Carrier name of a flow between two workloads of this host. */
export const SAME_HOST = 'local'
/** Carrier name of a flow whose session is a connection to the other data port. */
export const DIRECT = 'direct'
/** The carriers that are displayed for flows beside their session: bytes on a connection of their own, datagrams in packets. */
export const FAST_PATH = 'fastpath'
export const PACKETS = 'udp'
/** The same, each packet on two paths. */
export const DOUBLED_PACKETS = 'udp x2'
/** The same for a flow that waits for another path. */
export const WAITING = 'waiting'

export interface Destination {
  readonly registrationId: string
  readonly address: Address
}

/** Warning that a flow will be cut. */
export interface FlowAlarm {
  /** Reason why its session is not proved again; empty if nothing is wrong. */
  readonly problem: string
  /** Time of that cut, unless its session is proved before; wall clock, milliseconds; zero if nothing is wrong. */
  readonly cutAtMs: number
}

/** A flow as people see it. */
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
  /** Zero for TCP, as the next two fields. */
  readonly datagramsIn: number
  readonly datagramsOut: number
  /** Datagrams of either direction that were dropped here. */
  readonly dropped: number
  readonly openedAtMs: number
  readonly rule: string
}

/** A flow that lost what carried it. */
export interface Interruption {
  /** The certificate that the other end had proved, and its host. */
  readonly leafDer: Uint8Array
  readonly machine: string
  readonly isWaiting: boolean
  /** Until then, by the monotonic clock, a host that is only silent still counts as registered. */
  readonly untilMs: number
}

export interface FlowOptions {
  readonly id: string
  readonly direction: Direction
  readonly source: Address
  /** Registration of the source, if it is on this host. */
  readonly sourceId: string | undefined
  /** Host of the source. */
  readonly sourceMachine: string
  readonly protocol: Protocol
  /** Carrier of its bytes, in words for people. */
  readonly carrier: string
  readonly openedAtMs: number
  readonly startedAtMs: number
}

/** One brokered connection at one agent, from before it is evaluated until both its directions have ended. */
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
  /** The limits of the rules that allow it. */
  ruleLimits: readonly RuleLimits[] = []
  /** Counts its bytes where they are limited. Undefined: they are not. */
  pace: Pace | undefined
  /** Undefined: nobody wants a trace of its opening. */
  trace: FlowTrace | undefined
  /** The processes of its ends that are on this host, once an event has named them. */
  sourceProcess: ProcessFields | undefined
  destinationProcess: ProcessFields | undefined
  bytesIn = 0
  bytesOut = 0
  datagramsIn = 0
  datagramsOut = 0
  /** Datagrams of either direction that were dropped here. */
  readonly drops: Record<DropReason, number> = { full: 0, gone: 0, 'too large': 0, oversize: 0, rate: 0 }
  /** Whether its two ends have been joined. */
  isOpen = false
  /** How it ended, if it was open: in order, idle (for datagrams), or cut. */
  endedAs: CutKind | 'ended' | undefined
  /** Set while it waits for another path, and stays when it continues. */
  interruption: Interruption | undefined
  /** Whether it has a fast-path connection of its own. */
  isOnFastPath = false
  /**
   * Returns the bytes that wait in this process for an end of the flow that does not accept them. Set while it is open.
   */
  waitingBytes: () => number = () => 0
  /** The room of its waiting bytes. Undefined until it is charged. */
  room: FlowRoom | undefined
  /**
   * Limits of its datagrams, one for each registration of this host that takes part: each returns whether one more may
   * pass.
   */
  buckets: ReadonlyArray<() => boolean> = []
  /** Datagrams that each of `buckets` lets through in a second. */
  datagramsPerSecond = Number.POSITIVE_INFINITY
  /** The datagram path of its session. */
  packets: { readonly isUp: boolean; readonly isDoubled: boolean } | undefined
  /** Each of its packets is sent on two paths, while there are two. */
  multipath = false
  readonly #controller = new ShortSignal()
  #cut: Cut | undefined
  #sourceText: string | undefined
  #destinationText: { readonly of: Destination; readonly text: string } | undefined

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

  get sourceText(): string {
    this.#sourceText ??= formatAddress(this.source)
    return this.#sourceText
  }

  /** Empty until an instance is chosen. */
  get destinationText(): string {
    const { destination } = this
    if (destination === undefined) return ''
    if (this.#destinationText?.of !== destination) {
      this.#destinationText = { of: destination, text: formatAddress(destination.address) }
    }
    return this.#destinationText.text
  }

  /** All datagrams that it dropped. */
  get dropped(): number {
    const { full, gone, rate, oversize, 'too large': tooLarge } = this.drops
    return full + gone + rate + oversize + tooLarge
  }

  /** Aborts when the flow is cut. Code that opens or carries the flow must follow it. */
  get signal(): AbortSignal {
    return this.#controller
  }

  /** Reason why it was cut here, if it was. */
  get cutBy(): Cut | undefined {
    return this.#cut
  }

  /** Ends the flow now, in any state. The first reason stays. */
  cut(cut: Cut): void {
    if (this.#cut !== undefined) return
    this.#cut = cut
    const code = cut.code ?? (cut.kind === 'policy' ? ErrorCode.Unauthorized : ErrorCode.FlowCut)
    this.#controller.abort(new WarrenError(code, cut.text))
  }
}
