import type { Socket } from 'node:net'
import type { WarrenError } from '../core/index.ts'
import { create, encodeFrame, proxyPb, toBinary } from '../wire/index.ts'
import type { Target } from '../workloads/index.ts'
import { type ProxyEnds, type ProxySource, proxyHeader } from './proxy-header.ts'
import { toWireError } from './refusal.ts'
import type { LocalEnd } from './relay/index.ts'

/** The frame that names the flow and the workload at the other end to a workload. */
export function helloFrame(flowId: string, peerSpiffeId: string): Buffer {
  return frame({ flowId, peerSpiffeId })
}

/** The health check frame for a workload. */
export function probeFrame(): Buffer {
  return frame({ flowId: '', probe: true })
}

/** Begins a connection to a workload that asked for it with the frame of `helloFrame`, or with a PROXY header. */
export function greet(end: LocalEnd, target: Target, flowId: string, peerSpiffeId: string): void {
  if (end.kind === 'udp' || target.kind === 'udp') return
  const header = headerFor(end.socket, target, { spiffeId: peerSpiffeId, flowId })
  if (header !== undefined) end.socket.write(header)
  else if (target.kind === 'unix' && target.hello) {
    end.socket.write(helloFrame(flowId, peerSpiffeId))
  }
}

/** The PROXY header that a connection to `target` begins with; undefined if its registration did not ask for one. */
export function headerFor(
  socket: Socket,
  target: Exclude<Target, { kind: 'udp' }>,
  source: ProxySource
): Buffer | undefined {
  return target.proxy === true ? proxyHeader(endsOf(socket, target), source) : undefined
}

/** The frame that explains to a workload why there is no connection. */
export function errorFrame(flowId: string, error: WarrenError): Buffer {
  return frame({ flowId, error: toWireError(error) })
}

function frame(hello: {
  flowId: string
  peerSpiffeId?: string
  error?: { code: string; reason: string }
  probe?: boolean
}): Buffer {
  return encodeFrame(toBinary(proxyPb.FlowHelloSchema, create(proxyPb.FlowHelloSchema, hello)))
}

function endsOf(socket: Socket, target: Exclude<Target, { kind: 'udp' }>): ProxyEnds {
  if (target.kind === 'unix') return { kind: 'unix' }
  const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = socket
  const from = { host: localAddress, port: localPort }
  return { kind: 'tcp', from, to: { host: remoteAddress, port: remotePort } }
}
