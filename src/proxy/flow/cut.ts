import { constants } from 'node:http2'
import type { ErrorCode } from '../../core/index.ts'

/**
 * Reason why a flow ended before its ends did. Each has an HTTP/2 error code, so that the other agent learns and logs
 * it.
 */
export type CutKind =
  | 'reset'
  | 'policy'
  | 'trust'
  | 'registration'
  | 'shutdown'
  | 'link'
  | 'refused'
  | 'server'
  | 'done'

export interface Cut {
  readonly kind: CutKind
  /** One clause for the log. */
  readonly text: string
  /** Code for a source that still waits for the flow. @default UNAUTHORIZED for `policy`, else FLOW_CUT */
  readonly code?: ErrorCode
}

// RFC 9113 section 8.5: a TCP error is CONNECT_ERROR. Codes of our own are legal (section 7): unknown ones mean nothing
// special to others. NO_ERROR is never used: a stream that is reset with it looks cleanly ended to the receiver.
const CODES: Readonly<Record<CutKind, number>> = {
  reset: constants.NGHTTP2_CONNECT_ERROR,
  link: constants.NGHTTP2_CANCEL,
  refused: constants.NGHTTP2_REFUSED_STREAM,
  policy: 0x57_41_00_01,
  trust: 0x57_41_00_02,
  registration: 0x57_41_00_03,
  shutdown: 0x57_41_00_04,
  // Only for flows of datagrams: their two directions do not end independently.
  done: 0x57_41_00_05,
  // Also only for flows of datagrams: a TCP connection stays with the process that accepted it.
  server: 0x57_41_00_06
}

/** Nothing arrives from the other agent any more. */
export const LINK_LOST: Cut = { kind: 'link', text: 'the link to the other agent was lost' }

const TEXTS: ReadonlyMap<number, Cut> = new Map([
  [CODES.reset, { kind: 'reset', text: 'reset by the other end' }],
  [CODES.link, LINK_LOST],
  // Node's code for the streams of a session whose socket failed.
  [constants.NGHTTP2_INTERNAL_ERROR, LINK_LOST],
  [CODES.refused, { kind: 'refused', text: 'refused by the other agent' }],
  [CODES.policy, { kind: 'policy', text: 'cut by the other agent: no longer allowed' }],
  [CODES.trust, { kind: 'trust', text: 'cut by the other agent: an identity is no longer trusted' }],
  [CODES.registration, { kind: 'registration', text: 'cut by the other agent: a registration ended' }],
  [CODES.shutdown, { kind: 'shutdown', text: 'cut by the other agent: it stops or drains' }],
  [CODES.server, { kind: 'server', text: 'cut by the other agent: another user took the port of the server' }],
  [CODES.done, { kind: 'done', text: 'ended by the other end' }]
])

/** The HTTP/2 error code that carries `kind`. */
export function codeOf(kind: CutKind): number {
  return CODES[kind]
}

/** Whether an HTTP/2 error code is that of a clean end of both directions. */
export function isDone(code: number): boolean {
  return code === CODES.done
}

/** Reads an HTTP/2 error code from the other agent. */
export function cutOf(code: number): Cut {
  return TEXTS.get(code) ?? { kind: 'link', text: `the other agent ended it with code ${code}` }
}
