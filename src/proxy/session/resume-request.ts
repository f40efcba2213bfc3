import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Candidate } from '../deps.ts'
import { type Cut, cutOf, type FlowRoom } from '../flow/index.ts'
import type { Offer } from '../resume/index.ts'
import { HEADER } from './headers.ts'

/** In the place of a protocol: an agent that does not know it refuses the request. */
export const RESUMED_TCP = 'tcp-resumed'
/** Of a flow that has ended in order, in a refusal. */
const ENDED = 'ended'

/** A request to continue a flow. */
export interface ResumeRequest {
  readonly destination: Candidate
  readonly flowId: string
  readonly room: FlowRoom | undefined
  readonly key: string
  readonly offer: Offer
  readonly proof: string
}

export function resumeHeaders({ destination, flowId, key, offer, proof }: ResumeRequest): OutgoingHttpHeaders {
  return {
    ':method': 'CONNECT',
    ':authority': destination.registrationId,
    [HEADER.protocol]: RESUMED_TCP,
    [HEADER.flowId]: flowId,
    [HEADER.resume]: key,
    [HEADER.resumeAttempt]: String(offer.attempt),
    [HEADER.resumePosition]: String(offer.position),
    [HEADER.resumeProof]: proof
  }
}

/** Nothing in it is proven. */
export interface ResumeAsked {
  readonly registrationId: string
  readonly key: string
  readonly offer: Offer
  readonly proof: string
}

/** Whether it is a request to continue a flow. */
export function isResume(headers: IncomingHttpHeaders): boolean {
  return headers[':method'] === 'CONNECT' && headers[HEADER.protocol] === RESUMED_TCP
}

/** Throws INVALID_ARGUMENT. */
export function askedToResume(headers: IncomingHttpHeaders): ResumeAsked {
  const { ':authority': registrationId, [HEADER.resume]: key, [HEADER.resumeProof]: proof } = headers
  const offer = {
    attempt: numberIn(headers[HEADER.resumeAttempt]),
    position: numberIn(headers[HEADER.resumePosition])
  }
  if (registrationId === undefined || typeof key !== 'string' || typeof proof !== 'string') throw malformed()
  return { registrationId, key, offer, proof }
}

/** How a flow ended that is to continue. */
export class FlowOver extends WarrenError {
  /** Undefined: in order. */
  readonly cut: Cut | undefined

  constructor(cut: Cut | undefined) {
    super(ErrorCode.FlowCut, cut === undefined ? 'the flow has ended' : `the flow has ended: ${cut.text}`)
    this.cut = cut
  }
}

/** Headers of an answer that say how the flow ended. `code`: an HTTP/2 error code; undefined: in order. */
export function overHeaders(code: number | undefined): Record<string, string> {
  return { [HEADER.resume]: code === undefined ? ENDED : String(code) }
}

/** The position in an answer that grants the request. Throws a FlowOver if it says that the flow has ended. */
export function positionIn(headers: Readonly<Record<string, unknown>>): number {
  const over = headers[HEADER.resume]
  if (over === ENDED) throw new FlowOver(undefined)
  if (typeof over === 'string') throw new FlowOver(cutOf(Number(over)))
  return numberIn(headers[HEADER.resumePosition])
}

function numberIn(text: unknown): number {
  if (typeof text !== 'string' || !/^\d{1,16}$/.test(text)) throw malformed()
  return Number(text)
}

function malformed(): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, 'malformed request to continue a flow')
}
