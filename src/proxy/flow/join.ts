import type { Socket as UdpSocket } from 'node:dgram'
import type { Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { CapsuleLeg } from '../datagram/capsule-leg.ts'
import { FramedLeg } from '../datagram/framed-leg.ts'
import type { DatagramLeg } from '../datagram/leg.ts'
import type { PacketChannel } from '../datagram/packet/channel.ts'
import type { PortGuard } from '../datagram/port-guard.ts'
import { type DatagramSpliceOptions, spliceDatagrams } from '../datagram/splice.ts'
import { UdpLeg } from '../datagram/udp-leg.ts'
import type { LaneWay } from '../fastpath/upgrade-path.ts'
import { type Cut, codeOf } from './cut.ts'
import type { Flow } from './flow.ts'
import { carryOnLane, type GrantedLane } from './kept-pump.ts'
import { spliceWithLane } from './lane-splice.ts'
import { type Leg, socketLeg, streamLeg } from './leg.ts'
import { splice } from './splice.ts'

/** Where one side of a flow comes from. */
export type FlowEnd =
  | { readonly kind: 'socket'; readonly socket: Socket }
  | {
      readonly kind: 'stream'
      readonly stream: Http2Stream
      /** The datagram path of its session, if there is one. */
      readonly packets?: PacketChannel | undefined
      /** How a flow of TCP may leave the stream for a connection of its own. */
      readonly lane?: LaneWay | undefined
    }
  | GrantedLane
  | {
      readonly kind: 'udp'
      readonly socket: UdpSocket
      /** Undefined: whoever has the port is taken for the server. */
      readonly guard: PortGuard | undefined
    }

/** Joins the two ends of a flow as its protocol asks, until it is over. Never rejects. */
export function joinFlow(
  flow: Flow,
  source: FlowEnd,
  destination: FlowEnd,
  options: DatagramSpliceOptions
): Promise<Cut | undefined> {
  if (flow.protocol === 'udp') {
    for (const end of [source, destination]) if (end.kind === 'stream') flow.packets = end.packets
    return spliceDatagrams(flow, datagramLeg(source), datagramLeg(destination), options)
  }
  if (source.kind === 'socket' && destination.kind === 'lane') {
    return carryOnLane(flow, source.socket, destination, true)
  }
  if (source.kind === 'lane' && destination.kind === 'socket') {
    return carryOnLane(flow, destination.socket, source, false)
  }
  if (source.kind === 'socket' && destination.kind === 'stream' && destination.lane !== undefined) {
    return spliceWithLane(flow, source.socket, destination.stream, destination.lane, true)
  }
  if (source.kind === 'stream' && destination.kind === 'socket' && source.lane !== undefined) {
    return spliceWithLane(flow, destination.socket, source.stream, source.lane, false)
  }
  return splice(flow, byteLeg(source), byteLeg(destination)).over
}

function byteLeg(end: FlowEnd): Leg {
  switch (end.kind) {
    case 'socket':
      return socketLeg(end.socket)
    case 'stream':
      return streamLeg(end.stream)
    case 'lane':
    case 'udp':
      throw new TypeError(`no bytes can be joined at an end that is a ${end.kind}`)
  }
}

function datagramLeg(end: FlowEnd): DatagramLeg {
  switch (end.kind) {
    case 'socket':
      return new FramedLeg(end.socket)
    case 'stream':
      return new CapsuleLeg(end.stream, end.packets)
    case 'udp':
      return new UdpLeg(end.socket, end.guard)
    case 'lane':
      throw new TypeError('a lane carries no datagrams')
  }
}

/** Closes an end that no flow took. */
export function discardEnd(end: FlowEnd): void {
  switch (end.kind) {
    case 'socket':
      end.socket.destroy()
      return
    case 'stream':
      end.stream.close(codeOf('link'))
      return
    case 'lane':
      end.lane.abort('link')
      return
    case 'udp':
      end.socket.close()
  }
}
