import { detach, type Logger, type Metrics } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Mesh } from '../../mesh/index.ts'
import { encodeAck, type RegistryState } from '../../registry/index.ts'
import { MAX_MESSAGE_BYTES, signedBytes } from './answer.ts'
import { Gathering } from './gathering.ts'

export interface MeshGatheringDeps {
  readonly mesh: Pick<Mesh, 'peer' | 'connected' | 'request' | 'handle'>
  readonly state: Pick<RegistryState, 'entries' | 'acks'>
  readonly sign: (bytes: Uint8Array) => Uint8Array
  readonly verify: (key: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => boolean
  /** An acknowledgement of a head of ours, by a member that has signed it. */
  readonly onAck: (ack: Uint8Array, author: PeerKey) => void
  /** Sends an acknowledgement of ours that no neighbour carries. */
  readonly sendAck: (owner: PeerKey, ack: Uint8Array) => Promise<void>
  readonly monotonicMs: () => number
  readonly metrics: Metrics
  readonly log: Logger
}

const PROTOCOL = '/warren/gather/1'
const RESPONSE_BYTES = 64
const NOTHING = new Uint8Array()

/** Gathers answers on the mesh. Call it before the mesh starts. */
export function gatherOnMesh(deps: MeshGatheringDeps): Gathering {
  const { mesh, state, sign, verify, onAck, sendAck, monotonicMs, metrics, log } = deps
  const gathering: Gathering = new Gathering({
    self: mesh.peer,
    isMember: peer => state.entries.has(peer),
    sign: statement => sign(signedBytes(statement)),
    verify: answer => {
      const key = state.entries.get(answer.author)?.ownerKey
      return key !== undefined && verify(key, signedBytes(answer), answer.signature)
    },
    monotonicMs,
    random: Math.random,
    after: (ms, run) => {
      const timer = setTimeout(run, ms)
      timer.unref()
      return () => clearTimeout(timer)
    },
    connected: () => mesh.connected(),
    send: (peer, bytes, onDelivered, onFailure) => {
      const controller = new AbortController()
      const { signal } = controller
      const sent = mesh.request(peer, PROTOCOL, bytes, { signal, maxResponseBytes: RESPONSE_BYTES }).then(
        () => (signal.aborted ? undefined : onDelivered()),
        err => {
          if (signal.aborted) return
          log.debug('answers not carried', { peer, err })
          onFailure(err)
        }
      )
      detach(log, 'gathered answers', sent)
      return () => controller.abort()
    },
    isNews: ({ author, number }) => (state.acks.get(author) ?? 0n) < number,
    deliver: ({ author, run, number }) => onAck(encodeAck(run, number), author),
    onCarried: (count, result) => metrics.count('warren_registry_acks_relayed_total', { result }, count),
    onUndelivered: ({ requester, run, number }) =>
      detach(
        log,
        'acknowledgement',
        sendAck(requester, encodeAck(run, number)).catch(() => {})
      )
  })
  const sizes = { maxRequestBytes: MAX_MESSAGE_BYTES, maxResponseBytes: RESPONSE_BYTES }
  mesh.handle(
    PROTOCOL,
    async (from, request) => {
      gathering.receive(from, request)
      return NOTHING
    },
    sizes
  )
  return gathering
}
