import type { TLSSocket } from 'node:tls'
import { type Logger, type Metrics, withoutMapping } from '../../core/index.ts'
import type { Path } from '../carriers/index.ts'
import { PacketChannel, type PacketPort, type Remote } from '../datagram/packet/index.ts'
import type { Candidate } from '../deps.ts'
import type { OutsidePort } from '../punch/index.ts'
import type { Dialled } from '../tls/index.ts'
import { DatagramMeeting } from './datagram-meeting.ts'

/** What carries datagrams beside sessions. */
export interface PacketParts {
  /** The UDP side of the data port. */
  readonly port: PacketPort
  /** Undefined if a path between NATs is not looked for. */
  readonly outside: OutsidePort | undefined
}

export interface PacketPathOptions {
  /** Undefined if datagrams must not leave the session. */
  readonly packets: PacketParts | undefined
  readonly dialled: Dialled
  readonly path: Path
  readonly destination: Candidate
  readonly nowMs: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

/** The datagram path of a session, at the end that opened it: made at its first use. */
export class PacketPath {
  readonly #options: PacketPathOptions
  readonly #meeting: DatagramMeeting | undefined
  #channel: PacketChannel | undefined

  constructor(options: PacketPathOptions) {
    this.#options = options
    const { packets, dialled, destination, nowMs, log, metrics } = options
    const { peer, machine } = destination
    const meet = (remote: Remote): void => this.#channel?.meet(remote)
    if (packets?.outside === undefined) return
    const { session } = dialled
    this.#meeting = new DatagramMeeting({ session, peer, machine, outside: packets.outside, meet, nowMs, log, metrics })
  }

  /** Undefined if there can be none. */
  get channel(): PacketChannel | undefined {
    const { packets, dialled, path, destination, nowMs, log } = this.#options
    const { socket, versions } = dialled
    if (packets === undefined || versions.datagrams === undefined) return undefined
    this.#channel ??= PacketChannel.open({
      port: packets.port,
      exporter: (...args) => socket.exportKeyingMaterial(...args),
      role: 'client',
      ...remotesOf(path, socket, destination.dataAddresses),
      seeker: this.#meeting,
      machine: destination.machine,
      nowMs,
      log
    })
    return this.#channel
  }

  /** Whether it carries so many flows, and they are all that its session has. */
  carries(flows: number): boolean {
    return flows > 0 && this.#channel?.isUp === true && this.#channel.flowCount === flows
  }

  close(): void {
    this.#meeting?.close()
    this.#channel?.close()
  }
}

// Remote address of the session's own connection, if that is TCP: of the announced addresses it is the one that
// answered. The others may be on other links.
function remotesOf(
  { allows }: Path,
  { remoteAddress, remotePort }: TLSSocket,
  announced: readonly string[]
): { readonly remotes: Remote[]; readonly others: Remote[] } {
  const all = announced.flatMap(address => {
    const [, host, port] = /^\[?([0-9a-fA-F.:]+)\]?:(\d{1,5})$/.exec(address) ?? []
    return host === undefined ? [] : [{ address: host, port: Number(port) }]
  })
  if (!allows.datagrams || remoteAddress === undefined || remotePort === undefined) return { remotes: all, others: [] }
  const own = { address: withoutMapping(remoteAddress), port: remotePort }
  return { remotes: [own], others: all.filter(({ address }) => address !== own.address) }
}
