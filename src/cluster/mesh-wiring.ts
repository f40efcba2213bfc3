import { detach, ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { SETS_LIMITS } from './admins/index.ts'
import type { PolicyService } from './policy-service.ts'
import { POLICY_LIMITS } from './policy-transport.ts'
import type { RegistryService } from './registry-service.ts'
import { SYNC_RESPONSE_BYTES } from './registry-transport.ts'

const SYNC_REQUEST_BYTES = 256 * 1024
const SMALL_BYTES = 1_024
/** Pulls from new connections at a time. A joining host is connected to all hosts at once, and all would send it the same. */
const MAX_PULLS = 3

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
 * if it has said everything that it knows.
 */
export function wireMesh(
  mesh: Mesh,
  registry: RegistryService,
  policy: PolicyService,
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
  const waiting: PeerKey[] = []
  let pulling = 0
  const pull = async (peer: PeerKey): Promise<void> => {
    // Now: it may be gone when it has answered.
    const machine = mesh.machineOf(peer)
    await Promise.all([registry.syncWith(peer), policy.fetch(peer)])
    // This host serves what it knows without them.
    const hasSets = await policy.sets.exchange.fetch(peer).then(
      () => true,
      (err: unknown) => {
        log.debug('sets of admins not fetched', { peer, err })
        // An older program has none.
        return WarrenError.is(err, ErrorCode.Unsupported)
      }
    )
    onSynchronised(hasSets ? machine : undefined)
  }
  const pullNext = (): void => {
    if (pulling >= MAX_PULLS) return
    const peer = waiting.shift()
    if (peer === undefined) return
    pulling += 1
    const pulled = (mesh.isConnected(peer) ? pull(peer) : Promise.resolve()).finally(() => {
      pulling -= 1
      pullNext()
    })
    detach(log, 'synchronisation with a new connection', pulled)
  }
  mesh.onConnect(peer => {
    // Holds connected hosts, so their number limits its size.
    if (!waiting.includes(peer)) waiting.push(peer)
    pullNext()
  })
}
