import type { ProtocolVersions } from '../core/index.ts'
import { type Address, type PeerKey, sameAddress } from '../identity/index.ts'
import type { AuditCheckpoint } from './message.ts'
import { nameOf } from './name-index.ts'
import type { RegistryRecord } from './record.ts'
import type { Admitted, Entry, RegistryState } from './state.ts'

/** A live owner as routing and operators see it. Frozen, and a new object whenever anything in it changed. */
export interface OwnerView {
  readonly peer: PeerKey
  readonly machine: string
  /** Whether it is this host. */
  readonly self: boolean
  /** The value that `admit` returned for its chain. */
  readonly identity: Admitted
  /** DER: node CA certificate, authority, root. */
  readonly nodeChain: readonly Uint8Array[]
  readonly epoch: bigint
  readonly seq: bigint
  readonly recordSeq: bigint
  readonly issuedAtMs: number
  readonly leaseMs: number
  readonly receivedMonotonicMs: number
  /** Number of its records. */
  readonly count: number
  readonly meshAddresses: readonly string[]
  /** Where its agent listens for data, "host:port" or "[v6]:port"; best first. */
  readonly dataAddresses: readonly string[]
  readonly capabilities: readonly string[]
  readonly policyVersion: bigint
  readonly trustVersion: bigint
  /** Digest of the sets of all admins in force there; empty for a program that knows one admin only. */
  readonly policySets: string
  readonly draining: boolean
  /** Keys of its JWT-SVIDs: SubjectPublicKeyInfo, DER, in base64. Not validated. */
  readonly jwtKeys: readonly string[]
  /** Version of its program, fit to be shown; empty if it announces none. */
  readonly softwareVersion: string
  /** Versions that it says it speaks; empty if it announces none. */
  readonly protocolVersions: readonly ProtocolVersions[]
  /** The newest signed line of its audit log; undefined if it announces none. */
  readonly audit: AuditCheckpoint | undefined
  /** The failure detector suspects that it is unreachable: routing must skip its records. */
  readonly suspect: boolean
}

export interface LiveRecord {
  readonly record: RegistryRecord
  readonly owner: OwnerView
}

const VIEWS = new WeakMap<Entry, OwnerView>()

/** Every live owner, this host among them once it has published. */
export function owners(state: RegistryState): OwnerView[] {
  return [...state.entries.values()].map(entry => viewOf(state, entry))
}

export function owner(state: RegistryState, peer: PeerKey): OwnerView | undefined {
  const entry = state.entries.get(peer)
  return entry === undefined ? undefined : viewOf(state, entry)
}

/** The live owner that has this machine name. */
export function ownerAt(state: RegistryState, machine: string): OwnerView | undefined {
  const [first] = state.machines.at(machine)
  return first === undefined ? undefined : owner(state, first)
}

/** Every live record, in no order. Built anew at each call: for one name, `lookup` is cheaper. */
export function liveRecords(state: RegistryState): LiveRecord[] {
  return [...state.entries.values()].flatMap(entry => recordsOf(state, entry))
}

/** The records of one owner. */
export function records(state: RegistryState, peer: PeerKey): LiveRecord[] {
  const entry = state.entries.get(peer)
  return entry === undefined ? [] : recordsOf(state, entry)
}

/** The live records of one name on all machines. */
export function lookup(state: RegistryState, name: Omit<Address, 'machine'>): LiveRecord[] {
  const found: LiveRecord[] = []
  // Each connection asks: an iterator would make an array for each record.
  state.names.get(nameOf(name)).forEach((peer, { value }) => {
    const entry = state.entries.get(peer)
    if (entry !== undefined && mayRun(entry, value)) found.push({ record: value, owner: viewOf(state, entry) })
  })
  return found
}

/** The live record of an address with this id. Looks at the owners of its machine only. */
export function recordAt(state: RegistryState, registrationId: string, address: Address): LiveRecord | undefined {
  for (const peer of state.machines.at(address.machine)) {
    const found = recordIn(state, peer, registrationId)
    if (found !== undefined && sameAddress(found.record.address, address)) return found
  }
  return undefined
}

/**
 * The record of a registration id: that of `peer` if given, else our own, else that of the first owner who has one.
 *
 * An id is unique per owner only: a hostile host can announce another's id for a workload of its own machine. A caller that
 * knows the owner must name it.
 */
export function find(state: RegistryState, registrationId: string, peer?: PeerKey): LiveRecord | undefined {
  const first = recordIn(state, peer ?? state.own.peer, registrationId)
  if (first !== undefined || peer !== undefined) return first
  for (const other of state.entries.keys()) {
    const found = recordIn(state, other, registrationId)
    if (found !== undefined) return found
  }
  return undefined
}

function recordIn(state: RegistryState, peer: PeerKey, registrationId: string): LiveRecord | undefined {
  const entry = state.entries.get(peer)
  const value = entry?.set.get(registrationId)?.value
  if (entry === undefined || value === undefined || !mayRun(entry, value)) return undefined
  return { record: value, owner: viewOf(state, entry) }
}

/** Number of live records that serve anything. */
export function serverCount(state: RegistryState): number {
  let count = 0
  for (const entry of state.entries.values()) {
    count += entry.identity.scopes.length === 0 ? entry.set.servers : recordsOf(state, entry).filter(isServer).length
  }
  return count
}

function isServer({ record }: LiveRecord): boolean {
  return record.protocols.length > 0
}

/** The position of our own state: the next restart must outrank it. */
export function self(state: RegistryState): {
  readonly epoch: bigint
  readonly seq: bigint
  readonly recordSeq: bigint
  readonly count: number
} {
  const { epoch, seq, recordSeq, set } = state.own
  return { epoch, seq, recordSeq, count: set.count }
}

/** Quarantined owners, and the reasons. */
export function quarantined(state: RegistryState): Array<{ readonly peer: PeerKey; readonly reason: string }> {
  return [...state.quarantines].map(([peer, { reason }]) => ({ peer, reason }))
}

/** The size of the replica, for metrics. */
export function sizes(state: RegistryState): {
  readonly owners: number
  readonly records: number
  readonly bytes: number
  readonly highWaterMarks: number
  readonly quarantined: number
} {
  let count = 0
  for (const { set } of state.entries.values()) count += set.count
  return {
    owners: state.entries.size,
    records: count,
    bytes: state.totalBytes,
    highWaterMarks: state.highWaterMarks.size,
    quarantined: state.quarantines.size
  }
}

/** 64 × 8 bytes over all state held: two replicas with equal bytes hold equal state. */
export function stateDigest(state: RegistryState): Uint8Array {
  return state.digests.hashes()
}

function recordsOf(state: RegistryState, entry: Entry): LiveRecord[] {
  // Most hosts run nothing, and the search for records looks into each bucket.
  if (entry.set.count === 0) return []
  const view = viewOf(state, entry)
  const found: LiveRecord[] = []
  for (const { value } of entry.set) if (mayRun(entry, value)) found.push({ record: value, owner: view })
  return found
}

// Its certificate limits the scopes that a host may run; a record beyond that names a workload that no host would accept.
function mayRun({ identity }: Entry, { address }: RegistryRecord): boolean {
  return identity.scopes.length === 0 || identity.scopes.includes(address.scope)
}

/** The view of an entry. */
export function viewOf(state: RegistryState, entry: Entry): OwnerView {
  const known = VIEWS.get(entry)
  if (known !== undefined) return known
  const { head } = entry.sealed
  const view: OwnerView = Object.freeze({
    peer: entry.owner,
    machine: head.machine,
    self: entry.owner === state.own.peer,
    identity: entry.identity,
    nodeChain: entry.chain,
    epoch: head.epoch,
    seq: head.seq,
    recordSeq: head.recordSeq,
    issuedAtMs: head.issuedAtMs,
    leaseMs: head.leaseMs,
    receivedMonotonicMs: entry.receivedMonotonicMs,
    count: entry.set.count,
    meshAddresses: head.meshAddresses,
    dataAddresses: head.dataAddresses,
    capabilities: head.capabilities,
    policyVersion: head.policyVersion,
    trustVersion: head.trustVersion,
    policySets: head.policySets ?? '',
    draining: head.draining,
    jwtKeys: head.jwtKeys,
    softwareVersion: head.softwareVersion,
    protocolVersions: head.protocolVersions,
    audit: head.audit,
    suspect: entry.suspect
  })
  VIEWS.set(entry, view)
  return view
}

/** Whether a live owner is known besides this host and `machine`. Stops at the first. */
export function knowsBeside(state: RegistryState, machine: string): boolean {
  for (const { owner, sealed } of state.entries.values())
    if (owner !== state.own.peer && sealed.head.machine !== machine) return true
  return false
}
