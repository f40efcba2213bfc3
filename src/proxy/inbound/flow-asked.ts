import type { IncomingHttpHeaders } from 'node:http2'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import { type Address, formatAddress, parseAddress } from '../../identity/index.ts'
import type { LocalWorkloads } from '../deps.ts'
import { readOpen } from '../fastpath/index.ts'
import { type Flow, flowIdFrom } from '../flow/index.ts'
import { asksForTwoPaths, CONNECT_UDP, HEADER } from '../session/index.ts'

/** A flow that the other agent asks for. Nothing in it is proven. */
export interface FlowAsked {
  readonly registrationId: string
  readonly address: Address
  readonly protocol: Protocol
  readonly flowId: string
}

/** Of a flow_id of this many bytes, as a FlowOpen of an agent has it. */
const FLOW_ID_BYTES = 16
const FLOW_ID_TAG = (3 << 3) | 2
const REGISTRATION_ID = /^[0-9a-f]{64}$/

/** Reads the flow that a request on a stream asks for, or asks about. Throws INVALID_ARGUMENT. */
export function askedByHeaders(headers: IncomingHttpHeaders): FlowAsked {
  const { ':method': method, ':authority': authority, [HEADER.destination]: destination } = headers
  const protocol = protocolFrom(headers)
  if ((method !== 'CONNECT' && method !== 'OPTIONS') || protocol === undefined) throw malformed()
  return askedFor(authority, destination, protocol, headers[HEADER.flowId])
}

/**
 * Reads the TCP flows that records on the pooled fast-path connections of a session ask for. They differ in the name of the
 * flow, which is the last field: the same bytes before it are not read again.
 */
export class RecordRequests {
  #last: { readonly front: Buffer; readonly asked: FlowAsked } | undefined

  /** Throws INVALID_ARGUMENT or MESSAGE_MALFORMED. */
  read(content: Buffer): FlowAsked {
    const at = content.length - FLOW_ID_BYTES
    const last = this.#last
    if (last !== undefined && last.front.length === at && last.front.compare(content, 0, at) === 0) {
      const { registrationId, address, protocol } = last.asked
      return { registrationId, address, protocol, flowId: flowIdFrom(content.toString('latin1', at)) }
    }
    const { registrationId, destination, flowId } = readOpen(content)
    const asked = askedFor(registrationId, destination, 'tcp', flowId)
    const endsInName = content[at - 2] === FLOW_ID_TAG && content[at - 1] === FLOW_ID_BYTES
    // An equal name: one that was replaced, since it has another form, may be longer.
    if (endsInName && content.toString('latin1', at) === asked.flowId) {
      this.#last = { front: Buffer.from(content.subarray(0, at)), asked }
    }
    return asked
  }
}

/** Whether each packet of a flow of datagrams goes on two paths: one of its registrations asks for it. */
export function isMultipath(headers: IncomingHttpHeaders, { destination }: Flow, local: LocalWorkloads): boolean {
  if (asksForTwoPaths(headers)) return true
  return destination !== undefined && local.isMultipath?.(destination.registrationId) === true
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
