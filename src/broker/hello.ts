import type { WarrenError } from '../core/index.ts'
import { brokerPb, create, encodeFrame, toBinary } from '../wire/index.ts'
import type { LocalTarget } from './deps.ts'
import type { FlowEnd } from './flow/join.ts'

const MAX_REASON = 512

/** The frame that tells a workload which flow this is and who is at its other end. */
export function helloFrame(flowId: string, peerSpiffeId: string): Buffer {
  return frame({ flowId, peerSpiffeId })
}

/** Begins a connection to a workload that asked for it with the frame of `helloFrame`. */
export function greet(end: FlowEnd, target: LocalTarget, flowId: string, peerSpiffeId: string): void {
  if (end.kind === 'socket' && target.kind === 'unix' && target.hello)
    end.socket.write(helloFrame(flowId, peerSpiffeId))
}

/** The frame that tells a workload why there is no connection. */
export function errorFrame(flowId: string, error: WarrenError): Buffer {
  return frame({ flowId, error: { code: error.code, reason: error.reason.slice(0, MAX_REASON).toWellFormed() } })
}

function frame(hello: { flowId: string; peerSpiffeId?: string; error?: { code: string; reason: string } }): Buffer {
  return encodeFrame(toBinary(brokerPb.FlowHelloSchema, create(brokerPb.FlowHelloSchema, hello)))
}
