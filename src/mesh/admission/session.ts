import type { MessageStream } from '@libp2p/interface'
import type { PeerKey } from '../../identity/index.ts'

type Direction = 'inbound' | 'outbound'

/** One connection to a host, from the moment noise has proved its key. */
export interface Session {
  readonly peer: PeerKey
  readonly direction: Direction
  readonly raw: MessageStream
  /** The order in which the sessions of this process began. */
  readonly began: number
  /** Time of the last data from the peer, by the clock of `performance.now()`. */
  heardMs: number
  readonly beganMs: number
  state: { readonly name: 'admitting' } | OpenState
}

interface OpenState {
  readonly name: 'open'
  readonly machine: string
  readonly since: number
  /** The encrypted connection that noise made from `raw`. */
  readonly secured: MessageStream
}

/** A session in use. */
export interface OpenSession {
  readonly peer: PeerKey
  readonly raw: MessageStream
  readonly secured: MessageStream
}

/** The decision about a session that the verifier has accepted. */
export type Resolution = { readonly keep: true; readonly replaces: readonly Session[] } | { readonly keep: false }

/**
 * Ensures that there is never more than one connection to a host, whichever side dialled.
 *
 * libp2p keeps every connection, but its services (gossipsub first of all) hold streams on one of them and notice the
 * loss of a host, not that of a connection. So the choice is made here, before libp2p learns of the second one.
 *
 * When two hosts dial each other at the same time, both apply the same rule: the connection dialled by the host with the
 * smaller key stays.
 */
export class Sessions {
  readonly #self: PeerKey
  readonly #byPeer = new Map<PeerKey, Set<Session>>()
  #count = 0

  constructor(self: PeerKey) {
    this.#self = self
  }

  /** Registers a connection; it is removed when `raw` closes. */
  begin(peer: PeerKey, direction: Direction, raw: MessageStream): Session {
    this.#count += 1
    const heardMs = performance.now()
    const rest = { heardMs, beganMs: heardMs, state: { name: 'admitting' } } as const
    const session: Session = { peer, direction, raw, began: this.#count, ...rest }
    const all = this.#byPeer.get(peer) ?? new Set()
    this.#byPeer.set(peer, all.add(session))
    const forget = (): void => {
      all.delete(session)
      if (all.size === 0 && this.#byPeer.get(peer) === all) this.#byPeer.delete(peer)
    }
    raw.addEventListener('close', forget, { once: true })
    raw.addEventListener('message', () => {
      session.heardMs = performance.now()
    })
    if (raw.status !== 'open') forget()
    return session
  }

  /** Called by the side that answers, before it shows its certificate. */
  onAnswer(session: Session): Resolution {
    const crossing = this.#others(session).some(
      other => other.direction === 'outbound' && other.state.name === 'admitting'
    )
    return crossing && this.#dialWins(session.peer) ? { keep: false } : { keep: true, replaces: [] }
  }

  /** Called by either side as its last step; close the session that it says to replace before using the new one. */
  onComplete(session: Session): Resolution {
    const others = this.#others(session)
    const open = others.filter(other => other.state.name === 'open')
    if (session.direction === 'outbound') {
      // We dial only a host without a connection: a session that exists now came after the dial.
      if (open.length > 0) return { keep: false }
      const crossing = others.some(other => other.direction === 'inbound')
      return crossing && !this.#dialWins(session.peer) ? { keep: false } : { keep: true, replaces: [] }
    }
    // A host that dials us has lost its connection, unless our own dial was completed in the meantime.
    const crossed = open.some(
      other => other.direction === 'outbound' && other.state.name === 'open' && other.state.since > session.began
    )
    return crossed && this.#dialWins(session.peer) ? { keep: false } : { keep: true, replaces: open }
  }

  /** Marks the session as in use. */
  opened(session: Session, machine: string, secured: MessageStream): void {
    this.#count += 1
    session.state = { name: 'open', machine, since: this.#count, secured }
  }

  /** The connection to a peer that is in use, as noise made it. */
  securedTo(peer: PeerKey): MessageStream | undefined {
    for (const { state } of this.#byPeer.get(peer) ?? []) if (state.name === 'open') return state.secured
    return undefined
  }

  /** The connection to a peer that is in use, below noise. */
  rawTo(peer: PeerKey): MessageStream | undefined {
    for (const { state, raw } of this.#byPeer.get(peer) ?? []) if (state.name === 'open') return raw
    return undefined
  }

  /** Sessions in use. */
  open(): OpenSession[] {
    return this.#openWhere(() => true)
  }

  /** Sessions in use that received nothing for this long. */
  silentFor(ms: number): OpenSession[] {
    const sinceMs = performance.now() - ms
    return this.#openWhere(({ heardMs }) => heardMs < sinceMs)
  }

  /** Sessions in use that this host dialled, and their age. */
  dialled(): Array<{ readonly peer: PeerKey; readonly ageMs: number }> {
    const nowMs = performance.now()
    return [...this.#byPeer.values()].flatMap(all =>
      [...all].flatMap(({ peer, direction, state, beganMs }) =>
        direction === 'outbound' && state.name === 'open' ? [{ peer, ageMs: nowMs - beganMs }] : []
      )
    )
  }

  #openWhere(isWanted: (session: Session) => boolean): OpenSession[] {
    return [...this.#byPeer.values()].flatMap(all =>
      [...all].flatMap(session => {
        const { peer, raw, state } = session
        return state.name === 'open' && isWanted(session) ? [{ peer, raw, secured: state.secured }] : []
      })
    )
  }

  /** Whether there is a connection to the same host that is in use and received something less than `ms` ago. */
  hasLively(session: Session, ms: number): boolean {
    const sinceMs = performance.now() - ms
    return this.#others(session).some(({ state, heardMs }) => state.name === 'open' && heardMs > sinceMs)
  }

  /** Whether there is another connection to the same host, so that the host is not lost with this one. */
  isSpare(session: Session): boolean {
    return this.#others(session).length > 0
  }

  /** Machine name in the peer's certificate, if there is an admitted connection to it. */
  machineOf(peer: PeerKey): string | undefined {
    for (const session of this.#byPeer.get(peer) ?? []) {
      if (session.state.name === 'open') return session.state.machine
    }
    return undefined
  }

  #others(session: Session): Session[] {
    return [...(this.#byPeer.get(session.peer) ?? [])].filter(other => other !== session)
  }

  #dialWins(peer: PeerKey): boolean {
    return this.#self < peer
  }
}
