import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { Candidate } from '../deps.ts'
import type { PooledOpen } from '../fastpath/index.ts'
import type { FirstBytes, FlowRoom } from '../flow/index.ts'
import { CONNECT_UDP, HEADER, twoPathsHeader } from './headers.ts'

/** The request for a flow to the destination's agent. */
export interface FlowRequest {
  readonly destination: Candidate
  readonly protocol: Protocol
  readonly flowId: string
  /** Its source asks for each packet on two paths. @default false */
  readonly multipath?: boolean
  /** The room of its waiting bytes. */
  readonly room?: FlowRoom | undefined
  /** Its first bytes, which may travel with the request. */
  readonly first?: FirstBytes | undefined
}

/** Throws UNSUPPORTED unless the other agent carries the protocol: Node would throw, and it would not understand. */
export function requireSupport(session: ClientHttp2Session, { protocol, destination }: FlowRequest): void {
  if (protocol === 'udp' && session.remoteSettings.enableConnectProtocol !== true) {
    throw new WarrenError(ErrorCode.Unsupported, `the agent of ${destination.machine} does not carry udp`)
  }
}

/** Headers of the request for the flow on a stream. */
export function connectHeaders(request: FlowRequest): OutgoingHttpHeaders {
  const connect = { ':method': 'CONNECT' }
  const asked = twoPathsHeader(request.multipath === true)
  const extended = { ':protocol': CONNECT_UDP, ':scheme': 'https', ':path': '/', 'capsule-protocol': '?1', ...asked }
  return { ...connect, ...(request.protocol === 'udp' ? extended : {}), ...commonHeaders(request) }
}

/** Headers of the request that asks whether the flow would be granted. */
export function preflightHeaders(request: FlowRequest): OutgoingHttpHeaders {
  return { ':method': 'OPTIONS', ':scheme': 'https', ':path': '*', ...commonHeaders(request) }
}

/** The request for the flow, of TCP, on a pooled fast-path connection. */
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
