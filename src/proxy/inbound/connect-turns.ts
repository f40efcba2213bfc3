import { LruMap, type Metrics, type WarrenError } from '../../core/index.ts'
import type { RuleLimits } from '../../policy/index.ts'
import { limitExceeded } from '../limits.ts'
import { ConnectRate } from './connect-rate.ts'
import { DialSlots } from './dial-slots.ts'

/** Rules of one registration whose connections are counted: as many as a policy may have. */
const MAX_RULES = 4_096

/** A connection that is about to be opened to a target. */
export interface ConnectTurn {
  readonly registrationId: string
  /** The workload that opens it, by its proven identity. */
  readonly source: string
  /** Connections in a second by the limits of the registration, if it has one. */
  readonly own: number | undefined
  readonly rules: readonly RuleLimits[]
}

interface Turns {
  readonly own: ConnectRate
  readonly rules: LruMap<string, ConnectRate>
  readonly slots: DialSlots
}

/** When connections are opened to the registrations of this host: at which rate, and whose turn it is. */
export class ConnectTurns {
  readonly #perSecond: number
  readonly #metrics: Metrics
  readonly #nowMs: () => number
  readonly #turns = new Map<string, Turns>()

  /** `perSecond` is for registrations without a limit of their own, and the most for the others. */
  constructor(perSecond: number, metrics: Metrics, nowMs: () => number) {
    this.#perSecond = perSecond
    this.#metrics = metrics
    this.#nowMs = nowMs
  }

  /**
   * Counts a connection against each limit. Returns undefined if it may be opened at once, else a promise of its turn. Throws or
   * rejects with LIMIT_EXCEEDED, or with the signal's reason.
   */
  pass(turn: ConnectTurn, signal: AbortSignal): Promise<void> | undefined {
    const { registrationId, own = this.#perSecond, rules } = turn
    const turns = this.#turnsOf(registrationId)
    turns.own.set(Math.min(own, this.#perSecond))
    const limited = rules.filter(({ maxConnects }) => maxConnects !== undefined)
    // Nearly all: a promise would cost more than the rest of this.
    if (limited.length === 0) return turns.own.pass(turn.source, signal, () => this.#beyondOwn(turn))
    return this.#passAll(turn, turns, limited, signal)
  }

  /** The places of the connections that are being opened to a registration. */
  slotsOf(registrationId: string): DialSlots {
    return this.#turnsOf(registrationId).slots
  }

  /** Forgets a registration that ended; without an argument, all. */
  forget(registrationId?: string): void {
    if (registrationId === undefined) this.#turns.clear()
    else this.#turns.delete(registrationId)
  }

  async #passAll(turn: ConnectTurn, turns: Turns, limited: readonly RuleLimits[], signal: AbortSignal): Promise<void> {
    for (const { rule, maxConnects = this.#perSecond } of limited) {
      const rate = turns.rules.get(rule) ?? new ConnectRate(maxConnects, this.#nowMs)
      turns.rules.set(rule, rate)
      await rate.pass(turn.source, signal, () => this.#beyondRule(turn, rule, maxConnects))
    }
    await turns.own.pass(turn.source, signal, () => this.#beyondOwn(turn))
  }

  #turnsOf(registrationId: string): Turns {
    let turns = this.#turns.get(registrationId)
    if (turns === undefined) {
      const own = new ConnectRate(this.#perSecond, this.#nowMs)
      turns = { own, rules: new LruMap(MAX_RULES), slots: new DialSlots() }
      this.#turns.set(registrationId, turns)
    }
    return turns
  }

  #beyondOwn({ registrationId, source, own = this.#perSecond }: ConnectTurn): WarrenError {
    const what = 'connections to it in a second'
    const limit = Math.min(own, this.#perSecond)
    return limitExceeded(this.#metrics, 'proxy_connects_per_workload', what, limit, { registrationId, source })
  }

  #beyondRule({ registrationId, source }: ConnectTurn, rule: string, limit: number): WarrenError {
    const what = `connections to it in a second that rule ${rule} allows`
    return limitExceeded(this.#metrics, 'proxy_connects_per_rule', what, limit, { registrationId, source, rule })
  }
}
