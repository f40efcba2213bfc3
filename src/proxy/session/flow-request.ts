import type { OutgoingHttpHeaders } from 'node:http2'
import type { Protocol } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { Candidate } from '../deps.ts'
import type { PooledOpen } from '../fastpath/index.ts'
import { CONNECT_UDP, HEADER } from './headers.ts'

/** What a flow asks of the destination's agent. */
export interface FlowRequest {
  readonly destination: Candidate
  readonly protocol: Protocol
  readonly flowId: string
}

/** The request on a stream that asks for the flow. */
export function connectHeaders(request: FlowRequest): OutgoingHttpHeaders {
  const connect = { ':method': 'CONNECT' }
  const extended = { ':protocol': CONNECT_UDP, ':scheme': 'https', ':path': '/', 'capsule-protocol': '?1' }
  return { ...connect, ...(request.protocol === 'udp' ? extended : {}), ...commonHeaders(request) }
}

/** The request on a stream that asks whether the flow would be granted. */
export function preflightHeaders(request: FlowRequest): OutgoingHttpHeaders {
  return { ':method': 'OPTIONS', ':scheme': 'https', ':path': '*', ...commonHeaders(request) }
}

/** What asks for the flow, of TCP, on a pooled fast-path connection. */
export function pooledOpen({ destination, flowId }: FlowRequest): PooledOpen {
  const { registrationId, address } = destination
  return { registrationId, destination: formatAddress(address), flowId }
}

function commonHeaders({ destination, protocol, flowId }: FlowRequest): OutgoingHttpHeaders {
  return {
    ':authority': destination.registrationId,
    [HEADER.destination]: formatAddress(destination.address),
    [HEADER.protocol]: protocol,
    [HEADER.flowId]: flowId
  }
}
