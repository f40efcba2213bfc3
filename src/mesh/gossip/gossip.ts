import { createHash } from 'node:crypto'
import {
  type GossipSub,
  gossipsub,
  type Message,
  StrictNoSign,
  type TopicValidatorFn,
  TopicValidatorResult
} from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { type Clock, ErrorCode, type Logger, type Metrics, TokenBuckets, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { peerKeyFromId } from '../keys.ts'
import {
  GOSSIP_RATE,
  MAX_CONNECTIONS,
  MAX_GOSSIP_BACKLOG_BYTES,
  MAX_GOSSIP_BYTES,
  MAX_GOSSIP_RPC_BYTES,
  MAX_GOSSIP_WAITING_BYTES,
  PASS_ON_MIN_MS,
  PASS_ON_SPREAD_MS
} from '../limits.ts'
import type { GossipHandler, GossipVerdict, MeshTopic } from '../types.ts'
import { readInTurns } from './gossip-source.ts'

const TOPICS: readonly MeshTopic[] = ['registry', 'policy']
/** Messages above are announced to neighbours when they have come, so that they are not sent again. */
const IDONTWANT_BYTES = 8 * 1024
const VERDICTS: Record<GossipVerdict, TopicValidatorResult> = {
  accept: TopicValidatorResult.Accept,
  'accept-later': TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject
}

/** Name of a topic on the wire. */
export function topicName(trustDomain: string, topic: MeshTopic): string {
  return `/warren/1/${trustDomain}/${topic}`
}

/** The gossipsub service of libp2p, as this mesh wants it. */
export function gossipService(trustDomain: string, metrics: Metrics): ReturnType<typeof gossipsub> {
  const make = gossipsub({
    // What is gossiped carries its author's own signature; one by the libp2p key would say nothing more.
    globalSignaturePolicy: StrictNoSign,
    // The default hashes the data alone: the same bytes under another topic would then count as seen.
    msgIdFn: messageId,
    allowedTopics: TOPICS.map(topic => topicName(trustDomain, topic)),
    // The default punishes more than 10 hosts behind one address until nobody listens to them.
    scoreParams: { IPColocationFactorWeight: 0 },
    // No digests of what was said (IHAVE): the registry asks its neighbours for what it missed, more often and by itself.
    Dlazy: 0,
    gossipFactor: 0,
    // A word of a message that is not wanted any more costs as much as a message of this size.
    idontwantMinDataSize: IDONTWANT_BYTES,
    // Neighbours that a message is passed on to; the defaults are 6, 4, 12, 4 and 2. An author tells all its connections
    // itself, and who missed a message asks for it within 1.5 s: the rest is duplicates, of which each host had six.
    D: 4,
    Dlo: 3,
    Dhi: 6,
    Dscore: 2,
    Dout: 1,
    // We say when a message is passed on; until then it is noted who else has it. See `Gossip`.
    asyncValidation: true,
    fallbackToFloodsub: false,
    emitSelf: false,
    // A message that found nobody must not count as seen, or its repetition would be suppressed.
    allowPublishToZeroTopicPeers: false,
    ignoreDuplicatePublishError: true,
    runOnLimitedConnection: true,
    // Encoded once for all that it goes to.
    batchPublish: true,
    // A neighbour has one, and for a moment a second when the first is lost. Each has a turn of its own.
    maxInboundStreams: 2,
    awaitRpcHandler: true,
    awaitRpcMessageHandler: true,
    maxInboundDataLength: MAX_GOSSIP_RPC_BYTES,
    maxOutboundBufferSize: MAX_GOSSIP_BACKLOG_BYTES,
    maxTopicBytesPerPeer: 16 * 1024,
    decodeRpcLimits: {
      maxSubscriptions: 16,
      maxMessages: 256,
      maxIhaveMessageIDs: 1_024,
      maxIwantMessageIDs: 1_024,
      maxIdontwantMessageIDs: 512,
      maxControlMessages: 64,
      maxPeerInfos: 16
    }
  })
  const limit = MAX_GOSSIP_WAITING_BYTES
  return components =>
    readInTurns(make(components), ({ remotePeer }) => {
      metrics.hit('mesh_gossip_waiting_bytes', { peer: peerKeyFromId(remotePeer), limit })
    })
}

/** What `asyncValidation` is documented to be answered by, and its type leaves out. */
interface Reporter {
  reportMessageValidationResult(id: string, neighbour: string, acceptance: TopicValidatorResult): void
}

function reporter(pubsub: GossipSub): Reporter {
  if ('reportMessageValidationResult' in pubsub) return pubsub as GossipSub & Reporter
  throw new WarrenError(ErrorCode.Internal, 'gossipsub takes no verdicts')
}

function messageId(message: Message): Uint8Array {
  // A topic holds no NUL, so no two pairs of topic and data hash the same bytes.
  return new Uint8Array(createHash('sha256').update(`${message.topic}\0`).update(message.data).digest())
}

/**
 * Publishes to and listens on the topics of one trust domain.
 *
 * What came straight from its author is passed on after a short and random wait: in a mesh where the author reaches all,
 * everybody has it by then, each link carries it once and not both ways, and the copies do not compete with the first.
 */
export class Gossip {
  readonly #pubsub: GossipSub
  readonly #trustDomain: string
  readonly #log: Logger
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #rates = new TokenBuckets<PeerKey>({ ...GOSSIP_RATE, maxKeys: MAX_CONNECTIONS })
  readonly #later = new WeakSet<Message>()

  constructor(
    pubsub: GossipSub,
    trustDomain: string,
    { log, clock, metrics }: { readonly log: Logger; readonly clock: Clock; readonly metrics: Metrics }
  ) {
    this.#pubsub = pubsub
    this.#trustDomain = trustDomain
    this.#metrics = metrics
    this.#log = log
    this.#clock = clock
    pubsub.addEventListener('gossipsub:message', ({ detail: { propagationSource, msgId, msg } }) => {
      const passOn = (): void =>
        reporter(pubsub).reportMessageValidationResult(msgId, propagationSource.toString(), TopicValidatorResult.Accept)
      if (!this.#later.has(msg)) passOn()
      else setTimeout(passOn, PASS_ON_MIN_MS + Math.random() * PASS_ON_SPREAD_MS).unref()
    })
  }

  /** Sets the handler of a topic. Before `subscribe`. */
  on(topic: MeshTopic, handler: GossipHandler): void {
    const validate: TopicValidatorFn = (neighbour: PeerId, message: Message) => {
      const verdict = this.#judge(topic, handler, peerKeyFromId(neighbour), message.data)
      if (verdict === 'accept-later') this.#later.add(message)
      return VERDICTS[verdict]
    }
    this.#pubsub.topicValidators.set(topicName(this.#trustDomain, topic), validate)
  }

  /** Joins the topics. After libp2p has started. */
  subscribe(): void {
    for (const topic of TOPICS) this.#pubsub.subscribe(topicName(this.#trustDomain, topic))
  }

  /** Neighbours that have joined a topic: what is published goes to all of them. */
  listening(topic: MeshTopic): PeerKey[] {
    return this.#pubsub.getSubscribers(topicName(this.#trustDomain, topic)).map(peerKeyFromId)
  }

  /** To how many neighbours the message went. MESSAGE_TOO_LARGE. */
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
      // It can resolve without having sent anything: streams that are gone, or too full.
      if (recipients.length === 0 && this.#pubsub.getSubscribers(name).length > 0) {
        this.#log.debug('gossip reached nobody', { protocol: name, bytesOut: bytes.length })
      }
      return recipients.length
    } catch (err) {
      // gossipsub throws plain errors with these messages.
      this.#log.debug('gossip not sent', { protocol: name, err })
      return 0
    }
  }

  #judge(topic: MeshTopic, handler: GossipHandler, neighbour: PeerKey, bytes: Uint8Array): GossipVerdict {
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
