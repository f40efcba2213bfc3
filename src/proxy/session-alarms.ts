import type { Flow, FlowAlarm } from './flow/index.ts'
import type { DataServer } from './inbound/index.ts'
import type { SessionPool } from './session/index.ts'

/** A session whose flows are cut at a known time, unless its ends prove renewed certificates before. */
export interface SessionAlarm {
  /** The end that this agent is: `client` opened it. */
  readonly role: 'client' | 'server'
  /** The host at the other end. */
  readonly machine: string
  readonly carrier: string
  readonly flows: number
  /** Time of the cut, wall clock, milliseconds. */
  readonly cutAtMs: number
  /** Reason why they are not proved, in one clause. */
  readonly problem: string
}

interface Alarmed extends SessionAlarm {
  readonly carries: (flow: Flow) => boolean
}

/** The sessions with flows that should have been proved again and were not. */
export class SessionAlarms {
  readonly #pool: SessionPool
  readonly #server: DataServer

  constructor(pool: SessionPool, server: DataServer) {
    this.#pool = pool
    this.#server = server
  }

  /** Returns the present ones, in the order in which they will be cut. */
  list(): SessionAlarm[] {
    return this.#alarmed().map(({ carries: _, ...alarm }) => alarm)
  }

  /** Counts them by role. */
  count(): { readonly client: number; readonly server: number } {
    const all = this.#alarmed()
    const client = all.filter(({ role }) => role === 'client').length
    return { client, server: all.length - client }
  }

  /** Returns a function that finds the alarm of a flow. For one look at all flows. */
  ofFlow(): (flow: Flow) => FlowAlarm | undefined {
    const alarmed = this.#alarmed()
    return flow => {
      const found = alarmed.find(({ carries }) => carries(flow))
      return found === undefined ? undefined : { problem: found.problem, cutAtMs: found.cutAtMs }
    }
  }

  #alarmed(): Alarmed[] {
    const opened = this.#pool.all().map(session => ({
      role: 'client' as const,
      machine: session.destination.machine,
      carrier: session.path.name,
      flows: session.flowCount,
      cutAtMs: session.ends.attempts.failures === 0 ? 0 : session.ends.endMs,
      problem: session.ends.attempts.problem,
      carries: (flow: Flow) => session.carries(flow.id)
    }))
    const served = this.#server.sessions.map(session => ({
      role: 'server' as const,
      machine: session.source.machine,
      carrier: session.path.name,
      flows: session.flowCount,
      cutAtMs: session.source.notAfterMs,
      problem: session.problem,
      carries: (flow: Flow) => session.carries(flow)
    }))
    return [...opened, ...served]
      .filter(({ problem, flows }) => problem !== '' && flows > 0)
      .sort((a, b) => a.cutAtMs - b.cutAtMs)
  }
}
