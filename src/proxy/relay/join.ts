import {
  CapsuleLeg,
  type DatagramLeg,
  type DatagramSpliceOptions,
  FramedLeg,
  spliceDatagrams,
  UdpLeg
} from '../datagram/index.ts'
import { carrierOf } from '../fastpath/index.ts'
import type { ByteLeg, Cut, Flow } from '../flow/index.ts'
import { pooledLeg, readLittle, socketLeg, streamLeg } from '../legs/index.ts'
import type { ClientEnd, DatagramEnd, FlowEnds, ResumableEnd, StreamEnd } from './ends.ts'
import { Moves } from './moves.ts'
import { type Relay, relay } from './relay.ts'
import { ResumableLeg } from './resumable-leg.ts'
import type { NearSide } from './resuming.ts'
import { whenWorthIt } from './upgrade.ts'

/** Joins the two ends of a flow as its protocol requires. Resolves when it has ended. Never rejects. */
export function joinFlow(flow: Flow, ends: FlowEnds, options: DatagramSpliceOptions): Promise<Cut | undefined> {
  return ends.protocol === 'udp' ? joinDatagrams(flow, ends, options) : joinBytes(flow, ends).over
}

function joinBytes(flow: Flow, { localIs, local, far }: Extract<FlowEnds, { protocol: 'tcp' }>): Relay {
  const near = socketLeg(local.socket, local.explicitEnd)
  const nearSide = { localIs, leg: near, explicitEnd: local.explicitEnd === true }
  const join = (leg: ByteLeg): Relay => {
    const joined = localIs === 'source' ? relay(flow, near, leg) : relay(flow, leg, near)
    if (flow.room?.isScarce === true) readLittle(near, local.socket, flow.room, local.explicitEnd)
    return joined
  }
  const moves = new Moves(flow, { localIs, leg: near, socket: local.socket, explicitEnd: nearSide.explicitEnd })
  switch (far.kind) {
    case 'socket':
      return join(socketLeg(far.socket))
    case 'stream': {
      const leg = resumable(flow, far, nearSide, streamLeg(far.stream), next => moves.onStream(joined, next, leg))
      const joined = join(leg)
      moves.onStream(joined, far, leg)
      return joined
    }
    case 'records': {
      flow.isOnFastPath = true
      flow.carrier = carrierOf(far.connection.connection) ?? flow.carrier
      const sentFirst = localIs === 'source' ? far.connection.firstBytes : 0
      flow.bytesOut += sentFirst
      if (sentFirst > 0) flow.pace?.use(sentFirst)
      const pooled = pooledLeg(far.connection, sentFirst)
      const leg = resumable(flow, far, nearSide, pooled, next => moves.onStream(joined, next, leg))
      const joined = join(leg)
      // The move must not happen in the middle of a read.
      whenWorthIt(flow, joined, far.thresholds, () => setImmediate(moves.onMoved, leg))
      return joined
    }
  }
}

/** The leg to the other agent: one that outlives `path`, if both agents know how. */
function resumable(
  flow: Flow,
  { link, resuming }: ResumableEnd,
  near: NearSide,
  path: ByteLeg,
  onPath: (far: StreamEnd) => void
): ByteLeg {
  if (link === undefined || resuming === undefined) return path
  const leg: ResumableLeg = new ResumableLeg(path, {
    link,
    account: resuming.accountOf(flow),
    windowMs: resuming.windowMs,
    events: {
      waits: one => resuming.waits(flow, one),
      resumed: (one, carrier) => resuming.resumed(flow, one, carrier),
      over: (one, kind) => resuming.over(flow, one, kind),
      onPath: path => {
        if (leg.mayMove) onPath(path)
      }
    }
  })
  resuming.began(flow, leg, link, near)
  return leg
}

function joinDatagrams(
  flow: Flow,
  { localIs, local, far }: Extract<FlowEnds, { protocol: 'udp' }>,
  options: DatagramSpliceOptions
): Promise<Cut | undefined> {
  if (far.kind === 'capsules') {
    flow.packets = far.packets
    flow.multipath ||= far.multipath === true
  }
  const [near, other] = [datagramLeg(local), datagramLeg(far, flow.multipath)]
  return localIs === 'source'
    ? spliceDatagrams(flow, near, other, options)
    : spliceDatagrams(flow, other, near, options)
}

function datagramLeg(end: DatagramEnd | ClientEnd, multipath = false): DatagramLeg {
  switch (end.kind) {
    case 'framed':
      return new FramedLeg(end.socket)
    case 'client':
      return end.leg
    case 'capsules':
      return new CapsuleLeg(end.stream, end.packets, multipath)
    case 'udp':
      return new UdpLeg(end.socket, end.guard)
  }
}
