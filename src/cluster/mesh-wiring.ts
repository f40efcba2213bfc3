import type { Logger } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { owner } from '../registry/index.ts'
import { SETS_LIMITS } from './admins/index.ts'
import { ConnectionPulls } from './connection-pulls.ts'
import type { PolicyService } from './policy-service.ts'
import { POLICY_LIMITS } from './policy-transport.ts'
import type { RegistryService } from './registry-service.ts'
import { SYNC_RESPONSE_BYTES } from './registry-transport.ts'
import type { TrustService } from './trust-service.ts'

const SYNC_REQUEST_BYTES = 256 * 1024
const SMALL_BYTES = 1_024

const NOTHING = new Uint8Array()

/** The transport of the policy over the mesh. */
export function policyTransport(mesh: Mesh) {
  return {
    publish: (bytes: Uint8Array) => mesh.publish('policy', bytes),
    request: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) =>
      mesh.request(peer, '/warren/policy/1', bytes, { signal, maxResponseBytes: POLICY_LIMITS.maxResponseBytes })
  }
}

/** Pings a host's agent. */
export async function probe(mesh: Mesh, peer: PeerKey, signal: AbortSignal): Promise<void> {
  await mesh.request(peer, '/warren/probe/1', NOTHING, { signal, maxResponseBytes: SMALL_BYTES })
}

/**
 * Connects the registry and the policy to the mesh. Call it before the mesh starts, so that early peers find every protocol.
 *
 * `onSynchronised` is called after each connection whose registry and policies were pulled, with the machine there,
 * if it has said everything that it knows. The trust bundle of a new connection is pulled too, if it is newer or not known.
 */
export function wireMesh(
  mesh: Mesh,
  registry: RegistryService,
  policy: PolicyService,
  trust: Pick<TrustService, 'version' | 'pull'>,
  onSynchronised: (machine: string | undefined) => void,
  log: Logger
): void {
  mesh.onGossip('registry', (bytes, from) => registry.onGossip(bytes, from))
  mesh.onGossip('policy', (bytes, from) => policy.onGossip(bytes, from))
  mesh.handle('/warren/sync/1', async (peer, request) => registry.onSync(request, peer), {
    maxRequestBytes: SYNC_REQUEST_BYTES,
    maxResponseBytes: SYNC_RESPONSE_BYTES
  })
  mesh.handle(
    '/warren/ack/1',
    async (peer, request) => {
      registry.onAck(request, peer)
      return NOTHING
    },
    { maxRequestBytes: SMALL_BYTES, maxResponseBytes: SMALL_BYTES }
  )
  mesh.handle('/warren/policy/1', async (_peer, request) => policy.answer(request), {
    maxRequestBytes: POLICY_LIMITS.maxRequestBytes,
    maxResponseBytes: POLICY_LIMITS.maxResponseBytes
  })
  mesh.handle('/warren/policy-sets/1', async (_peer, request) => policy.sets.exchange.answer(request), SETS_LIMITS)
  const pulls = new ConnectionPulls({
    mesh,
    registry,
    announced: peer => owner(registry.state, peer),
    policy,
    trust,
    onSynchronised,
    log
  })
  mesh.onConnect(pulls.connected)
}
