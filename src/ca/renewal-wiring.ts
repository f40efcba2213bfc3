import { AUTHORITY_CAPABILITY } from '../cluster/index.ts'
import { MAX_RENEWAL_BYTES, openRenewalAnswer, type PeerKey, renewalAnswer } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { OwnerView } from '../registry/index.ts'
import { decode, renewalPb, toBinary } from '../wire/index.ts'
import type { RenewalService } from './rotation/index.ts'

/** Serves renewals to members. Call it before the mesh starts, so that no early peer finds the protocol missing. */
export function wireRenewals(mesh: Mesh, renewals: RenewalService): void {
  mesh.handle(
    '/warren/renew/1',
    async (peer, bytes) => {
      const request = decode(renewalPb.RenewalRequestSchema, bytes, MAX_RENEWAL_BYTES)
      return renewalAnswer(await renewals.renew(request, { peer }))
    },
    { maxRequestBytes: MAX_RENEWAL_BYTES, maxResponseBytes: MAX_RENEWAL_BYTES }
  )
}

/** Asks a member that holds an authority. */
export async function askOverMesh(
  mesh: Mesh,
  peer: PeerKey,
  request: renewalPb.RenewalRequest,
  signal: AbortSignal
): Promise<readonly Uint8Array[]> {
  const bytes = toBinary(renewalPb.RenewalRequestSchema, request)
  const options = { signal, maxResponseBytes: MAX_RENEWAL_BYTES }
  return openRenewalAnswer(await mesh.request(peer, '/warren/renew/1', bytes, options))
}

/** The hosts that claim an authority: connected ones first, then in random order, so that no single one is asked by all. */
export function authoritiesOf(owners: readonly OwnerView[], mesh: Pick<Mesh, 'isConnected'>): PeerKey[] {
  return owners
    .filter(({ self, capabilities }) => !self && capabilities.includes(AUTHORITY_CAPABILITY))
    .map(({ peer, suspect }) => ({ peer, rank: (mesh.isConnected(peer) && !suspect ? 0 : 1) + Math.random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ peer }) => peer)
}
