import type { TLSSocket } from 'node:tls'
import { type Logger, withoutMapping } from '../../core/index.ts'
import type { Path } from '../carriers/index.ts'
import { PacketChannel, type PacketPort, type Remote } from '../datagram/packet/index.ts'
import type { Candidate } from '../deps.ts'
import type { Dialled } from '../tls/index.ts'

export interface PacketPathOptions {
  /** The UDP side of the data port; undefined if datagrams must not use it. */
  readonly port: PacketPort | undefined
  readonly dialled: Dialled
  readonly path: Path
  readonly destination: Candidate
  readonly nowMs: () => number
  readonly log: Logger
}

/** The datagram path of a session, at the end that opened it: made at its first use. */
export class PacketPath {
  readonly #options: PacketPathOptions
  #channel: PacketChannel | undefined

  constructor(options: PacketPathOptions) {
    this.#options = options
  }

  /** Undefined if there can be none. */
  get channel(): PacketChannel | undefined {
    const { port, dialled, path, destination, nowMs, log } = this.#options
    const { socket, versions } = dialled
    if (port === undefined || versions.datagrams === undefined) return undefined
    this.#channel ??= PacketChannel.open({
      port,
      exporter: (...args) => socket.exportKeyingMaterial(...args),
      role: 'client',
      remotes: remotesOf(path, socket, destination.dataAddresses),
      machine: destination.machine,
      nowMs,
      log
    })
    return this.#channel
  }

  close(): void {
    this.#channel?.close()
  }
}

// Remote address of the session's own connection, if that is TCP: of the announced addresses it is the one that
// answered.
function remotesOf({ allows }: Path, { remoteAddress, remotePort }: TLSSocket, announced: readonly string[]): Remote[] {
  if (allows.datagrams && remoteAddress !== undefined && remotePort !== undefined) {
    return [{ address: withoutMapping(remoteAddress), port: remotePort }]
  }
  return announced.flatMap(address => {
    const [, host, port] = /^\[?([0-9a-fA-F.:]+)\]?:(\d{1,5})$/.exec(address) ?? []
    return host === undefined ? [] : [{ address: host, port: Number(port) }]
  })
}
