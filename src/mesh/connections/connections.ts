import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import { type Logger, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Sessions } from '../admission/index.ts'
import { peerKeyFromId, toPeerId } from '../keys.ts'
import { CLOSE_TIMEOUT_MS } from '../limits.ts'
import { DATA, RELAY, RELAYED } from '../protocols.ts'

export interface ConnectionsDeps {
  readonly node: Pick<Libp2p, 'addEventListener' | 'getConnections' | 'hangUp'>
  readonly sessions: Sessions
  readonly log: Logger
  readonly isStopping: () => boolean
}

/** The number of addresses that are accepted from a host about itself. */
const MAX_IDENTIFIED = 16

const DATA_NAMES: ReadonlySet<string> = new Set([DATA, RELAY, RELAYED].flatMap(({ names }) => names))

/** The connections to admitted hosts: lists them, reports when they open and close, and closes them. */
export class Connections {
  readonly #deps: ConnectionsDeps
  readonly #onConnect: Array<(peer: PeerKey, machine: string) => void> = []
  readonly #onDisconnect: Array<(peer: PeerKey) => void> = []
  readonly #onIdentify: Array<(multiaddrs: string[]) => void> = []

  constructor(deps: ConnectionsDeps) {
    this.#deps = deps
  }

  /** Begins to notify the listeners. Call it once. */
  watch(): void {
    const { node } = this.#deps
    node.addEventListener('peer:connect', event => this.#connected(event.detail))
    node.addEventListener('peer:disconnect', event => this.#disconnected(event.detail))
    node.addEventListener('peer:identify', event => this.#identified(event.detail))
  }

  peers(): PeerKey[] {
    // `getPeers` is not used: it makes a new id from each peer's text.
    return [...new Set(this.#deps.node.getConnections().map(({ remotePeer }) => peerKeyFromId(remotePeer)))]
  }

  /** The connection to a peer on which streams can be opened. */
  openTo(peer: PeerKey): Connection | undefined {
    return this.#deps.node.getConnections(toPeerId(peer)).find(connection => connection.status === 'open')
  }

  /** Whether a connection to a peer has streams of the data plane, our own or joined ones. */
  carriesData(peer: PeerKey): boolean {
    const all = this.#deps.node.getConnections(toPeerId(peer)).flatMap(({ streams }) => streams)
    return all.some(({ protocol }) => DATA_NAMES.has(protocol))
  }

  /** Machine name of a connected peer, from the certificate it was admitted with. */
  machineOf(peer: PeerKey): string | undefined {
    return this.#deps.sessions.machineOf(peer)
  }

  /** Listeners are called in the order in which they were added. */
  onConnect(listener: (peer: PeerKey, machine: string) => void): void {
    this.#onConnect.push(listener)
  }

  onDisconnect(listener: (peer: PeerKey) => void): void {
    this.#onDisconnect.push(listener)
  }

  /** Calls the listener with the multiaddrs at which an admitted host says that it listens; each names the host. */
  onIdentify(listener: (multiaddrs: string[]) => void): void {
    this.#onIdentify.push(listener)
  }

  /** Closes the connection to a peer, cleanly if the peer reacts within a second. */
  async close(peer: PeerKey): Promise<void> {
    const { node } = this.#deps
    await within(CLOSE_TIMEOUT_MS, [], signal => node.hangUp(toPeerId(peer), { signal })).catch(() => {})
    // hangUp fails at its deadline; an evicted host must not stay for that reason.
    this.cutOff(peer)
  }

  /** Closes the connection to a peer at once. */
  cutOff(peer: PeerKey): void {
    for (const connection of this.#deps.node.getConnections(toPeerId(peer)))
      connection.abort(new Error('closed at once'))
  }

  #connected(id: PeerId): void {
    const peer = peerKeyFromId(id)
    const machine = this.machineOf(peer)
    // The connection closed before its arrival was reported; its departure will be reported too.
    if (machine === undefined) return
    this.#deps.log.info('host connected', { peer, machine })
    this.#notify(this.#onConnect, listener => listener(peer, machine))
  }

  #disconnected(id: PeerId): void {
    const peer = peerKeyFromId(id)
    if (!this.#deps.isStopping()) this.#deps.log.info('host disconnected', { peer })
    this.#notify(this.#onDisconnect, listener => listener(peer))
  }

  #identified({ peerId, listenAddrs }: IdentifyResult): void {
    const peer = peerKeyFromId(peerId)
    const addresses = listenAddrs.slice(0, MAX_IDENTIFIED).map(address => address.toString())
    const named = addresses.map(address => (address.includes('/p2p/') ? address : `${address}/p2p/${peer}`))
    this.#notify(this.#onIdentify, listener => listener(named))
  }

  #notify<Listener>(listeners: readonly Listener[], call: (listener: Listener) => void): void {
    for (const listener of listeners) {
      try {
        call(listener)
      } catch (err) {
        this.#deps.log.error('mesh listener failed', { err })
      }
    }
  }
}
