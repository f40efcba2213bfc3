import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { ErrorCode, ShortSignal, WarrenError } from '../../core/index.ts'
import {
  canTakeOver,
  type FastPathAcceptor,
  type FastPathBudget,
  FastPathCuts,
  isPooled,
  MAX_POOLED_PER_SESSION,
  PooledConnection,
  type RecordConnection,
  ReplayGuard,
  type UpgradePath
} from '../fastpath/index.ts'
import { POOLED_INBOUND_IDLE_MS } from '../timing.ts'
import { givenUp } from './responder.ts'

/** Window for numbers that grow by two: an opener dials a limited number at once. */
const ID_WINDOW = 8 * MAX_POOLED_PER_SESSION

type Taker = (connection: RecordConnection) => void

export interface InboundFastPathOptions {
  readonly socket: TLSSocket
  /** The version that both ends agreed on: known once the other end's settings have arrived, and so before its first stream. */
  readonly version: () => number | undefined
  readonly acceptor: FastPathAcceptor
  readonly budget: FastPathBudget
  /** A flow is asked for on a pooled fast-path connection: `grant` or `refuse` on it must follow. */
  readonly onAsked: (connection: PooledConnection, open: Buffer, gone: AbortSignal) => void
}

/** The fast-path connections of a session, at the end that accepted both. */
export class InboundFastPath {
  readonly #options: InboundFastPathOptions
  /** Takers by the id of the flow's stream. */
  readonly #takers = new Map<number, Taker>()
  readonly #pooled = new Map<number, PooledConnection>()
  // A fast-path connection that an attacker replays from a capture has the keys of the original: its data would be
  // accepted, and our answers would be sealed with nonces that were used.
  readonly #ids = new ReplayGuard(ID_WINDOW)
  #cuts: FastPathCuts | undefined
  #closeDoor: (() => void) | undefined

  constructor(options: InboundFastPathOptions) {
    this.#options = options
  }

  /**
   * How the opener gets a fast-path connection for the flow on `stream`. Until it does, this costs only an entry here.
   */
  upgradePathFor({ id: streamId }: ServerHttp2Stream): UpgradePath | undefined {
    if (streamId === undefined || !canTakeOver() || this.#options.version() === undefined) return undefined
    return {
      budget: this.#options.budget,
      listen: taker => {
        this.#open()
        this.#takers.set(streamId, taker)
        return () => this.#takers.delete(streamId)
      }
    }
  }

  /**
   * From now on the opener may pool fast-path connections; `stream` reports which flows on them are cut. Throws
   * UNSUPPORTED or LIMIT_EXCEEDED.
   */
  keep(stream: ServerHttp2Stream): void {
    if (!canTakeOver()) throw new WarrenError(ErrorCode.Unsupported, 'this agent pools no fast-path connections')
    if (this.#options.version() === undefined)
      throw new WarrenError(ErrorCode.Unsupported, 'the two agents speak no common version of the fast path')
    if (this.#cuts?.isOpen === true)
      throw new WarrenError(ErrorCode.LimitExceeded, 'the session has its fast-path connections already')
    this.#open()
    const cuts = new FastPathCuts(stream, (connectionId, number, code) =>
      this.#pooled.get(connectionId)?.cutBy(number, code)
    )
    this.#cuts = cuts
    stream.once('end', () => cuts.close())
    stream.respond({ ':status': 200 })
  }

  /** The session has closed. */
  onSessionClosed(): void {
    this.#closeDoor?.()
    for (const pooled of [...this.#pooled.values()]) pooled.onSessionClosed()
  }

  #open(): void {
    this.#closeDoor ??= this.#openDoor()
  }

  #openDoor(): () => void {
    const { acceptor, socket } = this.#options
    const version = this.#options.version()
    if (version === undefined) return () => {}
    try {
      return acceptor.open({
        version,
        exporter: (...args) => socket.exportKeyingMaterial(...args),
        takerOf: id => (isPooled(id) ? this.#keeper(id) : this.#takers.get(id))
      })
    } catch {
      // The session has just closed, and its flows with it.
      return () => {}
    }
  }

  #keeper(id: number): Taker | undefined {
    const cuts = this.#cuts
    if (cuts?.isOpen !== true || !this.#ids.isNew(id) || this.#pooled.size >= MAX_POOLED_PER_SESSION) return undefined
    return connection => this.#keep(id, connection, cuts)
  }

  #keep(id: number, connection: RecordConnection, cuts: FastPathCuts): void {
    const { budget, onAsked } = this.#options
    this.#ids.see(id)
    if (!budget.takePooled()) {
      connection.destroy()
      return
    }
    const pooled = new PooledConnection(connection, id, cuts)
    this.#pooled.set(id, pooled)
    const idle = setTimeout(() => {
      if (connection.isIdle) connection.destroy()
    }, POOLED_INBOUND_IDLE_MS)
    const events = {
      asked: (open: Buffer, first: Buffer) => {
        const gone = new ShortSignal()
        pooled.begin(() => gone.abort(givenUp()), first)
        onAsked(pooled, open, gone)
      },
      onIdle: () => {
        pooled.onReleased()
        idle.refresh()
      },
      closed: () => {}
    }
    connection.whenIdle(events, () => {
      clearTimeout(idle)
      budget.releasePooled()
      pooled.onClosed(() => this.#pooled.delete(id))
    })
  }
}
