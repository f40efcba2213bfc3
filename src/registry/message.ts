import type { LimitName, ProtocolVersions } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { create, decode, registryPb, toBinary } from '../wire/index.ts'
import type { HandedState } from './handed.ts'
import type { LocalRecord, RegistryRecord } from './record.ts'
import type { OwnerView } from './view.ts'

/** The statements of this host about itself besides its records. */
export interface Profile {
  readonly meshAddresses: readonly string[]
  readonly dataAddresses: readonly string[]
  readonly capabilities: readonly string[]
  readonly policyVersion: bigint
  readonly trustVersion: bigint
  /** Digest of the sets of all admins in force here. @default '' */
  readonly policySets?: string
  readonly draining: boolean
  /** Keys of our JWT-SVIDs: SubjectPublicKeyInfo, DER, in base64. At most 4. */
  readonly jwtKeys: readonly string[]
  /** Version of this program. */
  readonly softwareVersion: string
  /** Versions of the protocols between agents that it speaks. At most 16. */
  readonly protocolVersions: readonly ProtocolVersions[]
  /** The newest signed line of the audit log of this host. Undefined: it has none. */
  readonly audit?: AuditCheckpoint | undefined
  /** DER: node CA certificate, authority, root. */
  readonly nodeChain: readonly Uint8Array[]
}

/** A line of an audit log. */
export interface AuditCheckpoint {
  /** From 1 to 2^53. */
  readonly seq: number
  /** Of the line, 64 hex digits. */
  readonly sha256: string
}

/** Everything that can happen to a registry. */
export type Event =
  /** Our own set changes. A put replaces the record of its id; deleting an unknown id changes nothing. */
  | { readonly type: 'local-change'; readonly puts: readonly LocalRecord[]; readonly deletes: readonly string[] }
  /** The profile of this host; before the first of these, nothing is published. An unchanged profile makes no new head. */
  | { readonly type: 'local-head'; readonly profile: Profile }
  /** Signs and publishes a new head now, changed or not. */
  | { readonly type: 'refresh' }
  /** This host stops: its last head says so. Nothing may follow. */
  | { readonly type: 'leave' }
  /** Time has passed: leases and certificates end, and our head is refreshed when due. Send it about once a second. */
  | { readonly type: 'tick' }
  /** A message of the registry topic, from the neighbour that forwarded it. */
  | { readonly type: 'gossip'; readonly from: PeerKey; readonly bytes: Uint8Array }
  /**
   * Acknowledgements are waited for. `begin`: heads ask for them from now on, for a while; `ask`: also that of the last change, if
   * it did not; `end`: nobody waits any more.
   */
  | { readonly type: 'await-acks'; readonly phase: 'begin' | 'ask' | 'end' }
  /** What the process before this one knew of other hosts. */
  | { readonly type: 'handed'; readonly states: readonly HandedState[] }
  /** An acknowledgement that a host sent us. */
  | { readonly type: 'ack'; readonly from: PeerKey; readonly bytes: Uint8Array }
  /** The failure detector raised or dropped a suspicion: hides or shows the owner's records, and changes nothing else. */
  | { readonly type: 'suspect'; readonly peer: PeerKey; readonly suspect: boolean }
  /** Roots or revocations changed: every chain is verified anew, and owners that no longer pass are dropped. */
  | { readonly type: 'trust-changed' }

export type GossipVerdict = 'accept' | 'accept-later' | 'ignore' | 'reject'
export type ChangeCause = 'set' | 'head' | 'left' | 'expired' | 'revoked' | 'quarantined' | 'suspicion'
export type AlarmKind =
  /** An owner signed two states as one. `proof` holds the two signed heads. The owner is quarantined. */
  | 'equivocation'
  /** An owner signed a set that breaks the rules or a limit. The owner is quarantined. */
  | 'invalid-set'
  /** A head signed with our own key is newer than ours: the disk was restored, or a second host has our key. */
  | 'own-state-ahead'
  /** The same alarm repeatedly: a second host runs with our key. */
  | 'duplicate-identity'
  /** The registry has no room for a further owner or its records. */
  | 'registry-full'
  /** More gossip of one owner, or more invalid gossip of one neighbour, than is verified. */
  | 'rate-exceeded'
  /** The heads of most hosts are dated in our future or past: our own clock is wrong. */
  | 'own-clock-wrong'
  /** The heads of one host are dated in our future or past: its clock is wrong, or ours. */
  | 'clock-differs'

/** The question that an acknowledgement answers. */
export interface Wanted {
  /** The neighbour that the head came from: the way to the owner. */
  readonly via: PeerKey
  /** The owner asked for the same set before, and has not heard of everybody. */
  readonly again: boolean
}

/** The newest state ever seen of an owner; while this is kept, no older state is accepted. */
export interface HighWaterMark {
  readonly owner: PeerKey
  readonly epoch: bigint
  readonly seq: bigint
  /** Expiry of the owner's certificate, wall time, and of the high-water mark. If unknown: the longest possible one. */
  readonly untilMs?: number
}

/**
 * The actions that the driver must carry out, in this order, before it hands in the next event: in particular, `persist`
 * before the `publish`, `changed` or `send-ack` behind it.
 */
export type Effect =
  /** Exactly one for each gossip event: whether the message is handed on to further hosts. */
  | { readonly type: 'verdict'; readonly verdict: GossipVerdict; readonly reason: string }
  /** Write to disk, durably. Not for each refresh: an older head of the same content does no harm. */
  | { readonly type: 'persist'; readonly highWaterMark: HighWaterMark }
  /** The high-water mark of this owner has expired and may be deleted from disk. */
  | { readonly type: 'forget'; readonly owner: PeerKey }
  | { readonly type: 'publish'; readonly bytes: Uint8Array; readonly seq: bigint }
  | {
      readonly type: 'send-ack'
      readonly to: PeerKey
      readonly bytes: Uint8Array
      readonly epoch: bigint
      readonly seq: bigint
      /** Somebody waits for it there. Absent: an acknowledgement that goes to the owner directly. */
      readonly wanted?: Wanted
    }
  /** `peer` has something that we lack: run a SyncSession with it. While one with that peer runs, drop this effect. */
  | {
      readonly type: 'sync-with'
      readonly peer: PeerKey
      readonly owner: PeerKey
      readonly reason: string
      /**
       * The owner surely has it, and `peer` may not: run the session with the owner if it is connected, and after one that runs
       * with it rather than not at all. @default false
       */
      readonly prefersOwner?: boolean
    }
  /** An owner's records or head changed. A record whose content changed is in both lists. */
  | {
      readonly type: 'changed'
      readonly owner: PeerKey
      readonly machine: string
      readonly cause: ChangeCause
      readonly added: readonly RegistryRecord[]
      readonly removed: readonly RegistryRecord[]
      /** The owner as it was, if it is dropped. */
      readonly last?: OwnerView
    }
  /** `peer` has applied our set up to `seq`: ask `replication` again. */
  | { readonly type: 'acknowledged'; readonly peer: PeerKey; readonly seq: bigint }
  | {
      readonly type: 'alarm'
      readonly kind: AlarmKind
      readonly owner: PeerKey
      readonly detail: string
      /** SignedHead messages. */
      readonly proof: readonly Uint8Array[]
      /** The limit that the owner broke, if it broke one. */
      readonly limit?: LimitName
    }
  /** `peer` reached a limit. Emitted each time; the driver limits how often it is reported. */
  | { readonly type: 'limit'; readonly limit: LimitName; readonly peer: PeerKey; readonly detail: string }

/** The bytes that `sentToAll` adds to a message. */
export const SENT_TO_ALL_BYTES = 2

/** A message for the topic that its owner sends to all hosts it knows. */
export function sentToAll(gossip: Uint8Array): Uint8Array {
  // In protobuf, a message with another one appended has the fields of both.
  const flag = toBinary(registryPb.GossipSchema, create(registryPb.GossipSchema, { sentToAll: true }))
  return Buffer.concat([gossip, flag])
}

const MAX_ACK_BYTES = 64

export function encodeAck(epoch: bigint, seq: bigint): Uint8Array {
  return toBinary(registryPb.AckSchema, create(registryPb.AckSchema, { epoch, seq }))
}

/** Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. */
export function decodeAck(bytes: Uint8Array): { readonly epoch: bigint; readonly seq: bigint } {
  return decode(registryPb.AckSchema, bytes, MAX_ACK_BYTES)
}

export function alarm(
  kind: AlarmKind,
  owner: PeerKey,
  detail: string,
  proof: readonly Uint8Array[] = [],
  limit?: LimitName
): Effect {
  return { type: 'alarm', kind, owner, detail, proof, ...(limit === undefined ? {} : { limit }) }
}

export function limitReached(limit: LimitName, peer: PeerKey, detail: string): Effect {
  return { type: 'limit', limit, peer, detail }
}
