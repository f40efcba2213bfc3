import type { Socket } from 'node:net'
import type { Identification } from './caller.ts'
import type { LocalLimits } from './limits.ts'

type Phase =
  | { readonly name: 'idle' }
  | { readonly name: 'serving'; readonly calls: number }
  | { readonly name: 'draining'; readonly calls: number }

/** A connection of the reserve serves one command, and is gone. */
const RESERVED = Object.freeze({ firstRequestMs: 2_000, idleMs: 1_000 })

/**
 * One accepted unix connection, with its caller and its idle timeout.
 *
 * It is closed if its first request does not come in time, or after a while without any call, even if bytes trickle in.
 */
export class Connection {
  readonly identification: Identification
  /** Whether it is one of those that are kept for the operator. */
  readonly isReserved: boolean
  readonly #limits: Pick<LocalLimits, 'firstRequestMs' | 'idleMs'>
  readonly #socket: Socket
  #phase: Phase = { name: 'idle' }
  #timer: NodeJS.Timeout
  #hangUp: (busy: boolean) => void = () => this.#socket.destroy()

  constructor(socket: Socket, identification: Identification, limits: LocalLimits, isReserved = false) {
    this.identification = identification
    this.isReserved = isReserved
    this.#limits = isReserved ? RESERVED : limits
    this.#socket = socket
    this.#timer = setTimeout(() => socket.destroy(), limits.firstRequestMs)
    socket.once('close', () => clearTimeout(this.#timer))
  }

  get isBusy(): boolean {
    return this.#phase.name !== 'idle' && this.#phase.calls > 0
  }

  /**
   * How to end the connection, once its protocol is known.
   *
   * Called with `busy` when no further call may begin on it, and without when none is left.
   */
  onHangUp(hangUp: (busy: boolean) => void): void {
    this.#hangUp = hangUp
  }

  /** Notes the beginning of a call; the function returned notes its end. */
  begin(): () => void {
    clearTimeout(this.#timer)
    const phase = this.#phase
    this.#phase = phase.name === 'idle' ? { name: 'serving', calls: 1 } : { name: phase.name, calls: phase.calls + 1 }
    return () => this.#end()
  }

  /** Ends the connection once the calls under way have ended; at once if there are none. */
  close(): void {
    const phase = this.#phase
    const calls = phase.name === 'idle' ? 0 : phase.calls
    this.#phase = { name: 'draining', calls }
    this.#hangUp(calls > 0)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #end(): void {
    const phase = this.#phase
    if (phase.name === 'idle') return
    const calls = phase.calls - 1
    if (phase.name === 'draining') {
      this.#phase = { name: 'draining', calls }
      if (calls === 0) this.#hangUp(false)
    } else if (calls > 0) {
      this.#phase = { name: 'serving', calls }
    } else {
      this.#phase = { name: 'idle' }
      if (!this.#socket.destroyed) this.#timer = setTimeout(() => this.close(), this.#limits.idleMs)
    }
  }
}
