import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { TRUST_LIMITS, type TrustService } from './trust-service.ts'

const PROTOCOL = '/warren/trust/1'

/** Serves newer trust bundles to members. Call it before the mesh starts, so that no early peer finds the protocol missing. */
export function wireTrust(mesh: Mesh, service: TrustService): void {
  mesh.handle(PROTOCOL, async (peer, bytes) => service.answer(bytes, peer), TRUST_LIMITS)
}

export async function askForTrust(
  mesh: Mesh,
  peer: PeerKey,
  bytes: Uint8Array,
  signal: AbortSignal
): Promise<Uint8Array> {
  const { maxResponseBytes } = TRUST_LIMITS
  return await mesh.request(peer, PROTOCOL, bytes, { signal, maxResponseBytes })
}
