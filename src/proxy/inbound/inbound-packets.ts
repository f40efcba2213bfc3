import type { ServerHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { PacketChannel, type PacketPort } from '../datagram/packet/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { Watched } from '../session/index.ts'
import { agreedVersions } from '../tls/index.ts'

export interface InboundPacketsOptions {
  readonly session: ServerHttp2Session
  readonly socket: TLSSocket
  readonly port: PacketPort
  readonly machine: string
  readonly deps: Pick<ProxyDeps, 'clock' | 'log'>
}

/** The datagram path of a session, at the end that accepted it. */
export class InboundPackets {
  readonly #options: InboundPacketsOptions
  #channel: PacketChannel | undefined

  constructor(options: InboundPacketsOptions) {
    this.#options = options
  }

  /** Opened when it is first asked for. Undefined if the two agents have no common version. */
  get channel(): PacketChannel | undefined {
    const { session, socket, port, machine, deps } = this.#options
    if (session.destroyed || agreedVersions(session.remoteSettings).datagrams === undefined) return undefined
    this.#channel ??= PacketChannel.open({
      port,
      exporter: (...args) => socket.exportKeyingMaterial(...args),
      role: 'server',
      remotes: [],
      machine,
      nowMs: deps.clock.monotonicMs,
      log: deps.log
    })
    return this.#channel
  }

  /** The session with these flows, to be monitored: it lasts while packets carry all of them. */
  watched(flows: ReadonlySet<unknown>, onDead: () => void): Watched {
    const { session, socket } = this.#options
    const isCarriedBeside = (): boolean =>
      flows.size > 0 && this.#channel?.isUp === true && this.#channel.flowCount === flows.size
    return { session, socket, isBusy: () => flows.size > 0, isCarriedBeside, isPinged: true, onDead }
  }

  close(): void {
    this.#channel?.close()
  }
}
