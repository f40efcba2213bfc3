import { type GossipSub, type Message, type TopicValidatorFn, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { type Clock, ErrorCode, type Logger, type Metrics, TokenBuckets, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { peerKeyFromId } from '../keys.ts'
import { verdictsOf } from '../libp2p-shims/index.ts'
import { GOSSIP_RATE, MAX_CONNECTIONS, MAX_GOSSIP_BYTES, PASS_ON_MIN_MS, PASS_ON_SPREAD_MS } from '../limits.ts'
import type { GossipHandler, GossipVerdict, MeshTopic } from '../types.ts'
import { TOPICS, topicName } from './gossip-service.ts'
import type { PacedRegistrar } from './paced-registrar.ts'

const VERDICTS: Record<GossipVerdict, TopicValidatorResult> = {
  accept: TopicValidatorResult.Accept,
  'accept-later': TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject
}

export interface GossipDeps {
  readonly paced: PacedRegistrar
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: Metrics
}

/**
 * Publishes to the topics of one trust domain and receives from them.
 *
 * A message that came directly from its author is forwarded after a short random wait: in a mesh where the author reaches all
 * hosts, all have it by then, each link carries it once and not in both directions, and no copy competes with the original.
 */
export class Gossip {
  readonly #pubsub: GossipSub
  readonly #trustDomain: string
  readonly #paced: PacedRegistrar
  readonly #log: Logger
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #rates = new TokenBuckets<PeerKey>({ ...GOSSIP_RATE, maxKeys: MAX_CONNECTIONS })
  readonly #later = new WeakSet<Message>()

  constructor(pubsub: GossipSub, trustDomain: string, { paced, log, clock, metrics }: GossipDeps) {
    this.#pubsub = pubsub
    this.#trustDomain = trustDomain
    this.#paced = paced
    this.#metrics = metrics
    this.#log = log
    this.#clock = clock
    const report = verdictsOf(pubsub)
    pubsub.addEventListener('gossipsub:message', ({ detail: { propagationSource, msgId, msg } }) => {
      const passOn = (): void => report?.(msgId, propagationSource.toString(), TopicValidatorResult.Accept)
      if (!this.#later.has(msg)) passOn()
      else setTimeout(passOn, PASS_ON_MIN_MS + Math.random() * PASS_ON_SPREAD_MS).unref()
    })
  }

  /** Sets the handler of a topic. Call it before `start`. */
  on(topic: MeshTopic, handler: GossipHandler): void {
    const validate: TopicValidatorFn = (neighbour: PeerId, message: Message) => {
      const verdict = this.#verifyChain(topic, handler, peerKeyFromId(neighbour), message.data)
      if (verdict === 'accept-later') this.#later.add(message)
      return VERDICTS[verdict]
    }
    this.#pubsub.topicValidators.set(topicName(this.#trustDomain, topic), validate)
  }

  /** Joins the topics. Call it after libp2p has started. Throws UNSUPPORTED if gossipsub does not read in turns. */
  start(): void {
    this.#paced.start()
    for (const topic of TOPICS) this.#pubsub.subscribe(topicName(this.#trustDomain, topic))
  }

  /** Call it before libp2p stops. */
  stop(): void {
    this.#paced.stop()
  }

  /** Neighbours that have joined a topic: published messages go to all of them. */
  listening(topic: MeshTopic): PeerKey[] {
    return this.#pubsub.getSubscribers(topicName(this.#trustDomain, topic)).map(peerKeyFromId)
  }

  /** Publishes, and returns the number of neighbours that the message was sent to. Throws MESSAGE_TOO_LARGE. */
  async publish(topic: MeshTopic, bytes: Uint8Array): Promise<number> {
    if (bytes.length > MAX_GOSSIP_BYTES) {
      throw new WarrenError(
        ErrorCode.MessageTooLarge,
        `a gossip message of ${bytes.length} bytes exceeds the limit of ${MAX_GOSSIP_BYTES}`
      )
    }
    const name = topicName(this.#trustDomain, topic)
    try {
      const { recipients } = await this.#pubsub.publish(name, bytes)
      // publish can resolve without having sent anything: streams may be closed, or too full.
      if (recipients.length === 0 && this.#pubsub.getSubscribers(name).length > 0) {
        this.#log.debug('gossip reached no neighbour', { protocol: name, bytesOut: bytes.length })
      }
      return recipients.length
    } catch (err) {
      // gossipsub throws plain errors with these messages.
      this.#log.debug('gossip not sent', { protocol: name, err })
      return 0
    }
  }

  #verifyChain(topic: MeshTopic, handler: GossipHandler, neighbour: PeerKey, bytes: Uint8Array): GossipVerdict {
    if (bytes.length > MAX_GOSSIP_BYTES) {
      this.#metrics.hit('mesh_gossip_bytes', { peer: neighbour, limit: MAX_GOSSIP_BYTES })
      return 'reject'
    }
    if (!this.#rates.take(neighbour, this.#clock.monotonicMs())) {
      this.#metrics.hit('mesh_gossip_rate', { peer: neighbour, limit: GOSSIP_RATE.perSecond })
      return 'ignore'
    }
    try {
      return handler(bytes, neighbour)
    } catch (err) {
      this.#log.warn('gossip handler failed', { protocol: topic, peer: neighbour, err })
      return 'ignore'
    }
  }
}
