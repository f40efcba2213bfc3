import type { Socket as UdpSocket } from 'node:dgram'
import type { Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { ClientLeg, PortGuard } from '../datagram/index.ts'
import type { PacketChannel } from '../datagram/packet/index.ts'
import type { PooledConnection, UpgradePath, UpgradeThresholds } from '../fastpath/index.ts'
import { codeOf } from '../flow/index.ts'
import type { ResumeLink } from '../resume/index.ts'
import type { Resuming } from './resuming.ts'
import type { SideName } from './side.ts'

/** A workload's socket for a TCP flow. */
export interface SocketEnd {
  readonly kind: 'socket'
  readonly socket: Socket
  /** Its workload ends its direction by a shutdown for writing: a close before is a reset. @default false */
  readonly explicitEnd?: boolean
}

/** How the flow outlives what carries it, if both agents know how. */
export interface ResumableEnd {
  readonly link?: ResumeLink | undefined
  readonly resuming?: Resuming | undefined
}

/** A stream to the other agent. */
export interface StreamEnd extends ResumableEnd {
  readonly kind: 'stream'
  readonly stream: Http2Stream
  /** How the flow may move from it to a record connection of its own. */
  readonly upgradePath: UpgradePath | undefined
}

/** A pooled record connection to the other agent, on which the flow was granted. */
export interface RecordsEnd extends ResumableEnd {
  readonly kind: 'records'
  readonly connection: PooledConnection
  /** When the workload's socket begins to be read into a buffer that is reused. */
  readonly thresholds: UpgradeThresholds
}

/** A workload's stream socket with datagrams in frames. */
export interface FramedEnd {
  readonly kind: 'framed'
  readonly socket: Socket
}

/** A client of a datagram listener of this process. */
export interface ClientEnd {
  readonly kind: 'client'
  readonly leg: ClientLeg
}

export interface UdpEnd {
  readonly kind: 'udp'
  readonly socket: UdpSocket
  /** Undefined: any process that has the port is accepted as the server. */
  readonly guard: PortGuard | undefined
}

/** A stream to the other agent for datagrams. */
export interface CapsulesEnd {
  readonly kind: 'capsules'
  readonly stream: Http2Stream
  /** The datagram path of its session, if there is one. */
  readonly packets: PacketChannel | undefined
  /** One of its registrations asks for each packet on two paths. @default false */
  readonly multipath?: boolean
}

/** The end of a flow at a workload of this host: for TCP, and for UDP. */
export type LocalByteEnd = SocketEnd
export type LocalDatagramEnd = FramedEnd | UdpEnd
export type LocalEnd = LocalByteEnd | LocalDatagramEnd
/** The other end of such a flow. */
export type ByteEnd = LocalByteEnd | StreamEnd | RecordsEnd
export type DatagramEnd = LocalDatagramEnd | CapsulesEnd
export type FlowEnd = ByteEnd | DatagramEnd

/** The two ends of a flow: at each agent that it passes one is that of a workload of this host. */
export type FlowEnds = {
  /** The workload that `local` is. */
  readonly localIs: SideName
} & (
  | { readonly protocol: 'tcp'; readonly local: LocalByteEnd; readonly far: ByteEnd }
  | { readonly protocol: 'udp'; readonly local: LocalDatagramEnd | ClientEnd; readonly far: DatagramEnd }
)

/** Makes the ends of a flow whose source's socket, of either protocol, is here. */
export function endsFrom(socket: Socket, far: FlowEnd, explicitEnd = false): FlowEnds {
  switch (far.kind) {
    case 'socket':
    case 'stream':
    case 'records':
      return { localIs: 'source', protocol: 'tcp', local: { kind: 'socket', socket, explicitEnd }, far }
    case 'framed':
    case 'udp':
    case 'capsules':
      return { localIs: 'source', protocol: 'udp', local: { kind: 'framed', socket }, far }
  }
}

/** The same for a client of a datagram listener. Undefined if the far end is one of bytes. */
export function clientEnds(leg: ClientLeg, far: FlowEnd): FlowEnds | undefined {
  if (far.kind === 'socket' || far.kind === 'stream' || far.kind === 'records') return undefined
  return { localIs: 'source', protocol: 'udp', local: { kind: 'client', leg }, far }
}

/** Closes an end that no flow used. */
export function discardEnd(end: FlowEnd): void {
  switch (end.kind) {
    case 'socket':
    case 'framed':
      end.socket.destroy()
      return
    case 'stream':
    case 'capsules':
      end.stream.close(codeOf('link'))
      return
    case 'records':
      end.connection.abort('link')
      return
    case 'udp':
      end.socket.close()
  }
}
