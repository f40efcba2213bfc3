import { hash } from 'node:crypto'
import { ErrorCode, LruMap, WarrenError } from '../core/index.ts'
import { type PeerKey, rawKeyOf } from '../identity/index.ts'
import { ContentTable } from './content-table.ts'
import { DigestTable } from './digest-table.ts'
import type { Head, SealedHead } from './head.ts'
import { checkLeases, DEFAULT_LEASES, type LeaseStep, type Now } from './lease.ts'
import { type Limits, MAX_COUNTER, resolveLimits } from './limits.ts'
import { MachineIndex } from './machine-index.ts'
import type { HighWaterMark, Profile } from './message.ts'
import { NameIndex } from './name-index.ts'
import { RateTable } from './rate.ts'
import { RecordSet } from './record-set.ts'

/** The facts that the chain of an owner proves. A `NodeIdentity` is one. */
export interface Admitted {
  readonly peer: PeerKey
  readonly machine: string
  /** Scopes whose workloads the host may run. Empty: every scope. */
  readonly scopes: readonly string[]
  readonly notAfterMs: number
}

export interface RegistryConfig {
  readonly trustDomain: string
  readonly self: { readonly peer: PeerKey; readonly machine: string }
  /** High-water marks from disk, our own included: our epoch begins above it. */
  readonly highWaterMarks: Iterable<HighWaterMark>
  /** Signs in the context of heads, with the peer key of this host. */
  readonly sign: (bytes: Uint8Array) => Uint8Array
  readonly verify: (rawPublicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => boolean
  /** Verifies a certificate chain at a wall time; undefined when it is not valid. May return the verifier's own type. */
  readonly admit: (chainDer: readonly Uint8Array[], wallMs: number) => Admitted | undefined
  readonly limits?: Partial<Limits>
  readonly leases?: readonly LeaseStep[]
  /** Sessions compare contents, and renewals apart, while more owners than this are held. @default 64 */
  readonly contentSyncAbove?: number
}

/** Up to so many hosts all connect to all, and a renewal reaches each directly. */
export const CONTENT_SYNC_ABOVE = 64

/** The state held of one owner. Replaced, never changed, except for the suspicion and the certificate. */
export interface Entry {
  readonly owner: PeerKey
  readonly ownerKey: Uint8Array
  readonly sealed: SealedHead
  readonly set: RecordSet
  readonly identity: Admitted
  readonly chain: readonly Uint8Array[]
  /** Hash of `chain`; differs from the head's after a renewal, until the new chain has been fetched. */
  readonly certificateSha256: string
  readonly receivedMonotonicMs: number
  readonly suspect: boolean
  /** Since when it is suspected. Only while it is. */
  readonly suspectMonotonicMs?: number
}

export interface HeldHighWaterMark {
  readonly epoch: bigint
  readonly seq: bigint
  readonly untilMs: number
  /** This same state has ended as well, and only a greater one is accepted. */
  readonly spent: boolean
  /** The owner has said goodbye with this state. */
  readonly left?: boolean
}

export interface Quarantine {
  readonly epoch: bigint
  readonly sinceMonotonicMs: number
  readonly reason: string
}

/** The state of this host. */
export interface Own {
  readonly peer: PeerKey
  readonly ownerKey: Uint8Array
  readonly machine: string
  /** The first epoch of this run; acknowledgements of earlier epochs are ignored. */
  readonly firstEpoch: bigint
  epoch: bigint
  seq: bigint
  recordSeq: bigint
  set: RecordSet
  profile: Profile | undefined
  /** The facts that the chain in the profile proves. */
  identity: Admitted | undefined
  refreshAtMonotonicMs: number
  /** Until then, heads ask for acknowledgements. */
  acksUntilMonotonicMs: number
  /** When the last head that asks for them was published. */
  askedAtMonotonicMs: number
}

/** An own change of the set, and the hosts that must have it before it counts as replicated. */
export interface Publication {
  readonly seq: bigint
  readonly recordSeq: bigint
  /** Equal for equal `required`. */
  readonly audience: string
  readonly required: ReadonlyMap<PeerKey, string>
}

/** An owner whose heads are refused for their dates. */
export interface ClockDifference {
  readonly machine: string
  /** How far its clock is ahead of ours, at least about; negative: behind. */
  readonly aheadMs: number
  /** Monotonic time of the first and of the last refusal. */
  readonly sinceMs: number
  readonly lastMs: number
}

/**
 * A replica of the registry. Changed only by `step` and by a SyncSession; read through the queries of this folder.
 * Contains no clock, timer, socket or randomness: the same events at the same times make the same state.
 */
export interface RegistryState {
  readonly trustDomain: string
  readonly limits: Limits
  readonly leases: readonly LeaseStep[]
  readonly sign: RegistryConfig['sign']
  readonly verify: RegistryConfig['verify']
  readonly admit: RegistryConfig['admit']
  readonly own: Own
  readonly entries: Map<PeerKey, Entry>
  readonly highWaterMarks: Map<PeerKey, HeldHighWaterMark>
  readonly quarantines: LruMap<PeerKey, Quarantine>
  readonly names: NameIndex
  readonly machines: MachineIndex
  readonly digests: DigestTable
  readonly contents: ContentTable
  readonly contentSyncAbove: number
  readonly rates: RateTable
  /** Rates of actions and reports that must not repeat too often. */
  readonly repeats: RateTable
  /** The last verdict on each owner's clock, compared with ours. */
  readonly clocks: LruMap<PeerKey, ClockDifference | 'agrees'>
  /** The number of failed requests for the chain of a renewed certificate. */
  readonly chainTries: Map<PeerKey, { readonly certificateSha256: string; readonly tries: number }>
  readonly publications: Publication[]
  readonly acks: LruMap<PeerKey, bigint>
  /** Increases with every owner that joins or leaves. */
  membership: number
  totalBytes: number
  clockAlarmed: boolean
}

/** The longest possible life of a node certificate, for high-water marks without a date. */
const HIGH_WATER_MARK_LIFETIME_MS = 90 * 24 * 3_600_000

/**
 * An empty replica that remembers the high-water marks.
 *
 * Its epoch is above its own high-water mark and at least the wall time, so that a host that lost its disk is still ahead of
 * its past. Throws INVALID_OPTION.
 */
export function createRegistry(config: RegistryConfig, now: Now): RegistryState {
  const limits = resolveLimits(config.limits)
  const ownerKey = rawKeyOf(config.self.peer)
  const highWaterMarks = new Map<PeerKey, HeldHighWaterMark>()
  let epoch = BigInt(Math.max(1, Math.trunc(now.wallMs)))
  for (const { owner, epoch: seen, seq, untilMs } of config.highWaterMarks) {
    if (owner === config.self.peer) {
      if (seen >= epoch) epoch = seen + 1n
    } else {
      highWaterMarks.set(owner, {
        epoch: seen,
        seq,
        untilMs: untilMs ?? now.wallMs + HIGH_WATER_MARK_LIFETIME_MS,
        spent: false
      })
    }
  }
  if (epoch >= MAX_COUNTER) throw new WarrenError(ErrorCode.StateUnusable, 'the epochs of this host are used up')
  return {
    trustDomain: config.trustDomain,
    limits,
    leases: checkLeases(config.leases ?? DEFAULT_LEASES),
    sign: config.sign,
    verify: config.verify,
    admit: config.admit,
    own: {
      ...config.self,
      ownerKey,
      firstEpoch: epoch,
      epoch,
      seq: 0n,
      recordSeq: 0n,
      set: RecordSet.empty,
      profile: undefined,
      identity: undefined,
      refreshAtMonotonicMs: now.monotonicMs,
      acksUntilMonotonicMs: now.monotonicMs,
      askedAtMonotonicMs: now.monotonicMs
    },
    entries: new Map(),
    highWaterMarks,
    quarantines: new LruMap(limits.maxOwners),
    names: new NameIndex(),
    machines: new MachineIndex(),
    digests: new DigestTable(),
    contents: new ContentTable(config.trustDomain),
    contentSyncAbove: config.contentSyncAbove ?? CONTENT_SYNC_ABOVE,
    rates: new RateTable({
      perSecond: limits.gossipPerSecond,
      burst: limits.gossipBurst,
      maxKeys: 2 * limits.maxOwners
    }),
    repeats: new RateTable({ perSecond: 0.1, burst: 3, maxKeys: 3 }),
    clocks: new LruMap(limits.maxOwners),
    chainTries: new Map(),
    publications: [],
    acks: new LruMap(limits.maxOwners),
    membership: 0,
    totalBytes: 0,
    clockAlarmed: false
  }
}

/** 64 hex digits: the hash by which a head names its owner's certificate. */
export function certificateDigest(chain: readonly Uint8Array[]): string {
  return hash('sha256', chain[0] ?? new Uint8Array(), 'hex')
}

/** Whether two heads announce the same, apart from the set and from the fields that every refresh changes. */
export function announcesSame(a: Head, b: Head): boolean {
  return (
    a.draining === b.draining &&
    a.policyVersion === b.policyVersion &&
    a.trustVersion === b.trustVersion &&
    a.policySets === b.policySets &&
    a.certificateSha256 === b.certificateSha256 &&
    sameTexts(a.meshAddresses, b.meshAddresses) &&
    sameTexts(a.dataAddresses, b.dataAddresses) &&
    sameTexts(a.capabilities, b.capabilities)
  )
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, at) => text === b[at])
}
