import type { IncomingHttpHeaders } from 'node:http2'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import { type Address, formatAddress, parseAddress } from '../../identity/index.ts'
import { readOpen } from '../fastpath/index.ts'
import { flowIdFrom } from '../flow/index.ts'
import { CONNECT_UDP, HEADER } from '../session/index.ts'

/** A flow that the other agent asks for. Nothing in it is proven. */
export interface FlowAsked {
  readonly registrationId: string
  readonly address: Address
  readonly protocol: Protocol
  readonly flowId: string
}

const REGISTRATION_ID = /^[0-9a-f]{64}$/

/** Reads the flow that a request on a stream asks for, or asks about. Throws INVALID_ARGUMENT. */
export function askedByHeaders(headers: IncomingHttpHeaders): FlowAsked {
  const { ':method': method, ':authority': authority, [HEADER.destination]: destination } = headers
  const protocol = protocolFrom(headers)
  if ((method !== 'CONNECT' && method !== 'OPTIONS') || protocol === undefined) throw malformed()
  return askedFor(authority, destination, protocol, headers[HEADER.flowId])
}

/**
 * Reads the TCP flow that a record on a pooled fast-path connection asks for. Throws INVALID_ARGUMENT or
 * MESSAGE_MALFORMED.
 */
export function askedByRecord(content: Buffer): FlowAsked {
  const { registrationId, destination, flowId } = readOpen(content)
  return askedFor(registrationId, destination, 'tcp', flowId)
}

function askedFor(registrationId: unknown, destination: unknown, protocol: Protocol, flowId: unknown): FlowAsked {
  const address = typeof destination === 'string' ? addressFrom(destination) : undefined
  if (typeof registrationId !== 'string' || !REGISTRATION_ID.test(registrationId) || address === undefined) {
    throw malformed()
  }
  return { registrationId, address, protocol, flowId: flowIdFrom(flowId) }
}

// A flow of datagrams is an extended CONNECT, so that no agent mistakes its capsules for the bytes of a connection.
function protocolFrom(headers: IncomingHttpHeaders): Protocol | undefined {
  const { [HEADER.protocol]: protocol, ':method': method, ':protocol': extended } = headers
  if (protocol === 'tcp' && extended === undefined) return 'tcp'
  return protocol === 'udp' && extended === (method === 'CONNECT' ? CONNECT_UDP : undefined) ? 'udp' : undefined
}

function addressFrom(text: string): Address | undefined {
  try {
    const address = parseAddress(text)
    return formatAddress(address) === text ? address : undefined
  } catch {
    return undefined
  }
}

function malformed(): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, 'malformed request for a flow')
}
