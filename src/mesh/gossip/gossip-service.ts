import { createHash } from 'node:crypto'
import { type GossipsubOpts, gossipsub, type Message, StrictNoSign } from '@libp2p/gossipsub'
import type { Logger } from '../../core/index.ts'
import { verdictsOf } from '../libp2p-shims/index.ts'
import { GOSSIP_HEARTBEAT_MS, MAX_GOSSIP_BACKLOG_BYTES, MAX_GOSSIP_RPC_BYTES } from '../limits.ts'
import type { MeshTopic } from '../types.ts'
import type { PacedRegistrar } from './paced-registrar.ts'

export const TOPICS: readonly MeshTopic[] = ['registry', 'policy']
/** Larger messages are announced to neighbours when they have arrived, so that they are not sent again. */
const IDONTWANT_BYTES = 8 * 1024
/** Name of a topic on the wire. */
export function topicName(trustDomain: string, topic: MeshTopic): string {
  return `/warren/1/${trustDomain}/${topic}`
}

export interface GossipServiceDeps {
  readonly trustDomain: string
  readonly paced: PacedRegistrar
  readonly log: Logger
  /** Makes gossipsub. @default gossipsub */
  readonly make?: typeof gossipsub
}

/** The gossipsub service of libp2p with the options of this mesh. It reads the data of neighbours through `paced`. */
export function gossipService({
  trustDomain,
  paced,
  log,
  make = gossipsub
}: GossipServiceDeps): ReturnType<typeof gossipsub> {
  return ({ logger, peerId, privateKey, peerStore, connectionManager, registrar }) => {
    const own = { logger, peerId, privateKey, peerStore, connectionManager, registrar: paced.wrap(registrar) }
    // This mesh decides when a message is forwarded; until then it records which neighbours have it. See `Gossip`.
    const pubsub = make({ ...optionsOf(trustDomain), asyncValidation: true })(own)
    if (verdictsOf(pubsub) !== undefined) return pubsub
    const reason = 'it takes no verdicts; every message is forwarded at once, so each host receives it several times'
    log.warn('a library has changed inside', { component: '@libp2p/gossipsub', reason })
    return make(optionsOf(trustDomain))(own)
  }
}

function optionsOf(trustDomain: string): Partial<GossipsubOpts> {
  return {
    // Gossip carries its author's own signature; another one by the libp2p key would add nothing.
    globalSignaturePolicy: StrictNoSign,
    // The default hashes the data alone: the same bytes under another topic would then count as seen.
    msgIdFn: messageId,
    allowedTopics: TOPICS.map(topic => topicName(trustDomain, topic)),
    // The defaults are 1 s for both: two walks over all neighbours each second. A neighbour
    // that subscribes becomes a link at once; what waits for a round is only the replacement of links that were lost.
    heartbeatInterval: GOSSIP_HEARTBEAT_MS,
    // Rounds for which a message is kept, to forward it after its verdict; the default, 5, was for rounds of a second.
    mcacheLength: 2,
    mcacheGossip: 1,
    scoreParams: {
      // The default punishes more than 10 hosts behind one address until they receive nothing.
      IPColocationFactorWeight: 0,
      decayInterval: GOSSIP_HEARTBEAT_MS
    },
    // No digests of past messages (IHAVE): the registry asks its neighbours for missed messages, more often.
    Dlazy: 0,
    gossipFactor: 0,
    // A notice that a message is not wanted any more costs as much as a message of this size.
    idontwantMinDataSize: IDONTWANT_BYTES,
    // Neighbours to which a message is forwarded; the defaults are 6, 4, 12, 4 and 2. An author sends to all its connections,
    // and a host that missed a message asks for it within 1.5 s: more would be duplicates, of which each host had six.
    D: 4,
    Dlo: 3,
    Dhi: 6,
    Dscore: 2,
    Dout: 1,
    fallbackToFloodsub: false,
    emitSelf: false,
    // A message that reached no neighbour must not count as seen, or its repetition would be suppressed.
    allowPublishToZeroTopicPeers: false,
    ignoreDuplicatePublishError: true,
    runOnLimitedConnection: true,
    // A message is encoded once for all neighbours.
    batchPublish: true,
    // A neighbour has one stream, and for a moment a second when the first is lost. Each has a turn of its own.
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
  }
}

function messageId(message: Message): Uint8Array {
  // A topic holds no NUL, so no two pairs of topic and data hash the same bytes.
  return new Uint8Array(createHash('sha256').update(`${message.topic}\0`).update(message.data).digest())
}
