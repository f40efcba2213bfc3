import type { KeyObject } from 'node:crypto'
import { detach, type Logger, type Metrics } from '../../core/index.ts'
import { CONTEXT, type PeerKey, sign, verifySignature } from '../../identity/index.ts'
import type { Mesh } from '../../mesh/index.ts'
import { encodeAck, type RegistryState } from '../../registry/index.ts'
import { ACKNOWLEDGEMENTS, type Answer, type AnswerFormat, signedBytes } from './answer.ts'
import { Gathering, type GatheringPorts } from './gathering.ts'

export interface MeshGatheringDeps {
  readonly mesh: Pick<Mesh, 'peer' | 'connected' | 'request' | 'handle'>
  readonly state: Pick<RegistryState, 'entries'>
  readonly peerKey: KeyObject
  readonly monotonicMs: () => number
  readonly metrics: Metrics
  readonly log: Logger
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal
}

export interface AckGatheringDeps extends MeshGatheringDeps {
  readonly state: Pick<RegistryState, 'entries' | 'acks'>
  /** An acknowledgement of a head of ours, by a member that has signed it. */
  readonly onAck: (ack: Uint8Array, author: PeerKey) => void
  /** Sends an acknowledgement of ours that no neighbour carries. */
  readonly sendAck: (owner: PeerKey, ack: Uint8Array) => Promise<void>
}

/** What to do with the answers of one protocol. */
export interface AnswerHandling extends Pick<GatheringPorts, 'isNews' | 'deliver' | 'onUndelivered'> {
  readonly protocol: '/warren/gather/1' | '/warren/answers/1'
  readonly format: AnswerFormat
}

const RESPONSE_BYTES = 64
const NOTHING = new Uint8Array()

/** Gathers acknowledgements on the mesh. Call it before the mesh starts. */
export function gatherOnMesh(deps: AckGatheringDeps): Gathering {
  const { state, onAck, sendAck, log } = deps
  const ackOf = ({ run, number }: Answer): Uint8Array => encodeAck(run, number)
  return gatherBy(deps, {
    protocol: '/warren/gather/1',
    format: ACKNOWLEDGEMENTS,
    isNews: ({ author, number }) => (state.acks.get(author) ?? 0n) < number,
    deliver: answer => onAck(ackOf(answer), answer.author),
    onUndelivered: answer =>
      detach(
        log,
        'acknowledgement',
        sendAck(answer.requester, ackOf(answer)).catch(() => {})
      )
  })
}

/** Gathers the answers of one protocol on the mesh. Call it before the mesh starts. */
export function gatherBy(deps: MeshGatheringDeps, handling: AnswerHandling): Gathering {
  const { mesh, state, peerKey, monotonicMs, metrics, log } = deps
  const { protocol, format, ...ports } = handling
  const gathering: Gathering = new Gathering({
    ...ports,
    format,
    self: mesh.peer,
    isMember: peer => state.entries.has(peer),
    sign: statement => sign(peerKey, CONTEXT.answer, signedBytes(statement)),
    verify: answer => {
      const key = state.entries.get(answer.author)?.ownerKey
      return key !== undefined && verifySignature(key, CONTEXT.answer, signedBytes(answer), answer.signature)
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
      const sent = mesh.request(peer, protocol, bytes, { signal, maxResponseBytes: RESPONSE_BYTES }).then(
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
    onCarried: (count, result) => metrics.count('warren_registry_acks_relayed_total', { result }, count)
  })
  deps.signal.addEventListener('abort', () => gathering.stop(), { once: true })
  const sizes = { maxRequestBytes: format.maxMessageBytes, maxResponseBytes: RESPONSE_BYTES }
  mesh.handle(
    protocol,
    async (from, request) => {
      gathering.receive(from, request)
      return NOTHING
    },
    sizes
  )
  return gathering
}
