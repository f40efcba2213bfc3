import { MAX_WAITING_BYTES } from './leg.ts'
import type { Payers, WaitingAccounts } from './waiting-accounts.ts'

/** How much may wait in the legs of a flow now. */
export interface Room {
  /** Bytes that may wait for a leg before it takes no more; at least one. */
  readonly bytes: number
  /** Whether so much waits that memory is to be saved at the cost of processor time. */
  readonly isScarce: boolean
}

/** The room of a flow that nobody is charged for. */
export const AMPLE: Room = Object.freeze({ bytes: MAX_WAITING_BYTES, isScarce: false })

/** What a workload may always use, however much of the agent's budget others use. */
const RESERVE_BYTES = 1024 * 1024

export interface FlowRoomOptions {
  readonly accounts: WaitingAccounts
  /** Names the source and the destination; their flows share a session. */
  readonly session: () => string
  readonly workloads: readonly string[]
}

/** The room of one flow, and what it is charged for. `close` must follow. */
export class FlowRoom implements Room {
  readonly #accounts: WaitingAccounts
  readonly #options: FlowRoomOptions
  // Most flows need none: nothing waits, in them or in others.
  #payers: (Payers & { readonly name: string }) | undefined
  #measure: (() => number) | undefined
  #chargedBytes = 0
  #isClosed = false

  constructor(options: FlowRoomOptions) {
    this.#accounts = options.accounts
    this.#options = options
  }

  get bytes(): number {
    if (this.#accounts.isPlenty || this.#isClosed) return MAX_WAITING_BYTES
    const { session, workloads } = this.#paying()
    let bytes = session.roomBytes
    let isWithinReserve = true
    for (const { roomBytes, usedBytes } of workloads) {
      if (roomBytes < bytes) bytes = roomBytes
      if (usedBytes >= RESERVE_BYTES) isWithinReserve = false
    }
    const ofAgent = this.#accounts.agent.roomBytes
    return isWithinReserve || ofAgent >= bytes ? bytes : ofAgent
  }

  /** Bytes that wait in all flows of its session; zero while all flows have plenty. */
  get sessionBytes(): number {
    return this.#accounts.isPlenty || this.#isClosed ? 0 : this.#paying().session.usedBytes
  }

  get isScarce(): boolean {
    return this.bytes < MAX_WAITING_BYTES
  }

  /** A side takes no more: what waits is charged until `release`. `measure` returns the bytes. */
  hold(measure: () => number): void {
    if (this.#isClosed) return
    this.#measure = measure
    this.#accounts.held.add(this)
    this.measure()
  }

  measure(): void {
    if (this.#measure !== undefined) this.#charge(this.#measure())
  }

  /** The flow moves again, or has ended. */
  release(): void {
    if (this.#measure === undefined) return
    this.#measure = undefined
    this.#accounts.held.delete(this)
    this.#charge(0)
  }

  close(): void {
    this.release()
    this.#isClosed = true
    if (this.#payers !== undefined) this.#accounts.leave(this.#payers.name, this.#options.workloads)
    this.#payers = undefined
  }

  #paying(): Payers {
    if (this.#payers === undefined) {
      const name = this.#options.session()
      this.#payers = { name, ...this.#accounts.enter(name, this.#options.workloads) }
    }
    return this.#payers
  }

  #charge(bytes: number): void {
    const difference = bytes - this.#chargedBytes
    if (difference === 0) return
    this.#chargedBytes = bytes
    const { session, workloads } = this.#paying()
    session.charge(difference)
    for (const workload of workloads) workload.charge(difference)
    this.#accounts.agent.charge(difference)
  }
}
