import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { PacketChannel } from '../datagram/packet/index.ts'
import { MEETING_PATH, type Watched } from '../session/index.ts'
import { agreedVersions } from '../tls/index.ts'
import type { InboundContext } from './inbound-context.ts'

export interface InboundPacketsOptions {
  readonly session: ServerHttp2Session
  readonly socket: TLSSocket
  readonly machine: string
  readonly context: Pick<InboundContext, 'packets' | 'meetings' | 'deps'>
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
    const { session, socket, machine, context } = this.#options
    const { packets: port, deps } = context
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

  /** Whether a request by this path is for `meet`. */
  takes(path: string | undefined): boolean {
    return path === MEETING_PATH
  }

  /** Serves the request of the opener that says from where its datagrams come. Rejects with the error to answer instead. */
  async meet(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const { machine, context } = this.#options
    await context.meetings.serve(stream, headers, machine, this.channel)
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
