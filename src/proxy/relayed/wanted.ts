import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { relayPath } from '../carriers/index.ts'
import type { AskedFor } from '../reverse/index.ts'
import { decodeRequest, encodePreamble, proofOf } from './format.ts'

/** The agent whose connections are to be joined with those of the agent that opens them. */
export interface Wanted {
  readonly self: PeerKey
  readonly relay: PeerKey
  /** Machine of the relay. */
  readonly via: string
}

/**
 * What the request of a relay asks for: its tokens, and connections to the relay. The agent that opens, which it names, is not
 * believed and not used. Throws MESSAGE_MALFORMED.
 */
export function askedByRelay(
  request: Uint8Array,
  { self, relay, via }: Wanted
): { readonly tokens: Uint8Array; readonly how: AskedFor } {
  const decoded = decodeRequest(request)
  if (decoded === undefined) throw new WarrenError(ErrorCode.MessageMalformed, 'a request of a relay names no host')
  const preambleOf = (token: Uint8Array): Buffer => encodePreamble(proofOf({ token, relay, dialler: self }))
  return { tokens: decoded.tokens, how: { preambleOf, path: relayPath(via) } }
}
