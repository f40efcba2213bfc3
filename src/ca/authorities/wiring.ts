import type { PeerKey } from '../../identity/index.ts'
import type { Mesh } from '../../mesh/index.ts'
import { authorityPb, decode, toBinary } from '../../wire/index.ts'
import type { AuthorityService } from './authority-service.ts'
import { AUTHORITY_PROTOCOL, MAX_AUTHORITY_BYTES } from './protocol.ts'

const BOUNDS = { maxRequestBytes: MAX_AUTHORITY_BYTES, maxResponseBytes: MAX_AUTHORITY_BYTES }

/** Serves other members. Call it before the mesh starts, so that no early peer finds the protocol missing. */
export function wireAuthorities(mesh: Mesh, authorityService: AuthorityService): void {
  mesh.handle(
    AUTHORITY_PROTOCOL,
    async (peer, bytes) => {
      const request = decode(authorityPb.AuthorityRequestSchema, bytes, MAX_AUTHORITY_BYTES)
      return toBinary(authorityPb.AuthorityAnswerSchema, await authorityService.answer(peer, request))
    },
    BOUNDS
  )
}

/** Asks a member over the mesh; asks this host directly. */
export async function askAuthority(
  mesh: Mesh,
  authorityService: AuthorityService,
  peer: PeerKey,
  request: authorityPb.AuthorityRequest,
  signal: AbortSignal
): Promise<authorityPb.AuthorityAnswer> {
  if (peer === mesh.peer) return await authorityService.answer(peer, request)
  const bytes = toBinary(authorityPb.AuthorityRequestSchema, request)
  const { maxResponseBytes } = BOUNDS
  const answer = await mesh.request(peer, AUTHORITY_PROTOCOL, bytes, { signal, maxResponseBytes })
  return decode(authorityPb.AuthorityAnswerSchema, answer, MAX_AUTHORITY_BYTES)
}
