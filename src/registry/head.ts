import { hash } from 'node:crypto'
import {
  asOwn,
  ErrorCode,
  isVersionRange,
  type LimitName,
  type ProtocolVersions,
  softwareVersion,
  WarrenError
} from '../core/index.ts'
import { isComponent, type PeerKey, peerKeyOf } from '../identity/index.ts'
import { create, decode, registryPb, toBinary } from '../wire/index.ts'
import { MAX_LEASE_MS, MIN_LEASE_MS } from './lease.ts'
import { type Limits, MAX_COUNTER, MAX_HEAD_BYTES } from './limits.ts'
import type { AuditCheckpoint } from './message.ts'

/** `direct`: to the owner, for each changed set, as older programs expect. `wanted`: somebody waits. `none`: nobody does. */
export type AckMode = 'direct' | 'none' | 'wanted'

const ACKS: Readonly<Record<AckMode, registryPb.Acknowledgements>> = Object.freeze({
  direct: registryPb.Acknowledgements.UNSPECIFIED,
  none: registryPb.Acknowledgements.NONE,
  wanted: registryPb.Acknowledgements.WANTED
})

/** The statements of a host about itself in one head. Frozen. */
export interface Head {
  readonly owner: PeerKey
  readonly ownerKey: Uint8Array
  readonly machine: string
  readonly epoch: bigint
  readonly seq: bigint
  /** The seq at which the set last changed. */
  readonly recordSeq: bigint
  readonly issuedAtMs: number
  readonly leaseMs: number
  readonly count: number
  /** 64 hex digits. */
  readonly root: string
  readonly meshAddresses: readonly string[]
  readonly dataAddresses: readonly string[]
  readonly capabilities: readonly string[]
  readonly policyVersion: bigint
  readonly trustVersion: bigint
  /** 64 hex digits that stand for the sets of all admins in force there; empty for a program that knows one admin only. */
  readonly policySets?: string
  readonly draining: boolean
  /** How receivers acknowledge the set. */
  readonly acks: AckMode
  /** The owner stops: this is its last head, and its state ends with it. */
  readonly leaving: boolean
  /** 64 hex digits. */
  readonly certificateSha256: string
  /** Keys of its JWT-SVIDs: SubjectPublicKeyInfo, DER, in base64. */
  readonly jwtKeys: readonly string[]
  /** Version of its program, fit to be shown; empty if unknown. */
  readonly softwareVersion: string
  /** Versions that it says it speaks; empty if unknown. */
  readonly protocolVersions: readonly ProtocolVersions[]
  /** The newest signed line of its audit log; undefined if it announces none. */
  readonly audit?: AuditCheckpoint | undefined
}

/** A head with the exact bytes that its owner signed. The signature is not verified; use `verify`. */
export interface SealedHead {
  readonly head: Head
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  /** The first 8 bytes of SHA-256 of `bytes`, in hex: distinguishes two heads of one (epoch, seq). */
  readonly digest: string
}

const ADDRESS = /^[\x21-\x7e]+$/
const MAX_CAPABILITY_LENGTH = 64
/** The key in use, and the keys whose tokens are still valid. */
export const MAX_JWT_KEYS = 4
const MAX_JWT_KEY_BYTES = 128
const MAX_PROTOCOLS = 16
const MAX_AUDIT_SEQ = BigInt(Number.MAX_SAFE_INTEGER)
const PROTOCOL_NAME = /^[a-z][a-z0-9-]{0,23}$/

/** Signs a head without checking its contents. `sign` signs in the context of heads. For our own heads use `sealOwnHead`. */
export function sealHead(head: Head, trustDomain: string, sign: (bytes: Uint8Array) => Uint8Array): SealedHead {
  const bytes = encodeHead(head, trustDomain)
  return { head: Object.freeze(head), bytes, signature: sign(bytes), digest: digestOf(bytes) }
}

/**
 * Signs a head of our own after the same checks that other hosts make: a head that they would refuse is not signed.
 *
 * Throws INVALID_ARGUMENT with the reason, LIMIT_EXCEEDED for its size.
 */
export function sealOwnHead(
  head: Head,
  trustDomain: string,
  limits: Limits,
  sign: (bytes: Uint8Array) => Uint8Array
): SealedHead {
  const bytes = asOwn(() => encodeHead(head, trustDomain))
  const read = asOwn(() => readHead(bytes, trustDomain, limits))
  return { head: read, bytes, signature: sign(bytes), digest: digestOf(bytes) }
}

/** The bytes of a head, unchecked. */
export function encodeHead(head: Head, trustDomain: string): Uint8Array {
  return toBinary(
    registryPb.NodeHeadSchema,
    create(registryPb.NodeHeadSchema, {
      trustDomain,
      owner: head.ownerKey,
      machine: head.machine,
      epoch: head.epoch,
      seq: head.seq,
      issuedAtMs: BigInt(Math.trunc(head.issuedAtMs)),
      leaseMs: head.leaseMs,
      count: head.count,
      root: Buffer.from(head.root, 'hex'),
      meshAddresses: [...head.meshAddresses],
      dataAddresses: [...head.dataAddresses],
      capabilities: [...head.capabilities],
      policyVersion: head.policyVersion,
      trustVersion: head.trustVersion,
      policySets: Buffer.from(head.policySets ?? '', 'hex'),
      draining: head.draining,
      acknowledgements: ACKS[head.acks],
      leaving: head.leaving,
      certificateSha256: Buffer.from(head.certificateSha256, 'hex'),
      recordSeq: head.recordSeq,
      jwtKeys: head.jwtKeys.map(key => Buffer.from(key, 'base64')),
      softwareVersion: head.softwareVersion,
      protocolVersions: head.protocolVersions.map(({ name, min, max }) => ({ name, min, max })),
      ...(head.audit === undefined
        ? {}
        : { audit: { seq: BigInt(head.audit.seq), sha256: Buffer.from(head.audit.sha256, 'hex') } })
    })
  )
}

/** The message that carries a sealed head. */
export function toWire({ bytes, signature }: SealedHead): registryPb.SignedHead {
  return create(registryPb.SignedHeadSchema, { head: bytes, signature })
}

/**
 * Reads a head and checks its limits, without verifying its signature.
 *
 * Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. Copies the bytes.
 */
export function openHead(message: registryPb.SignedHead | undefined, trustDomain: string, limits: Limits): SealedHead {
  if (message === undefined) throw malformed('it is missing')
  if (message.signature.length !== 64) throw malformed('its signature does not have 64 bytes')
  const bytes = Uint8Array.from(message.head)
  const head = readHead(bytes, trustDomain, limits)
  return { head, bytes, signature: Uint8Array.from(message.signature), digest: digestOf(bytes) }
}

// The only check of the contents of a head: for the heads of other hosts, and for our own before they are signed.
function readHead(head: Uint8Array, trustDomain: string, limits: Limits): Head {
  const wire = decode(registryPb.NodeHeadSchema, head, MAX_HEAD_BYTES)
  if (wire.trustDomain !== trustDomain) throw malformed('it belongs to another trust domain')
  if (wire.owner.length !== 32) throw malformed('its owner is not a key')
  if (!isComponent(wire.machine)) throw malformed('its machine is not a machine name')
  if (wire.epoch > MAX_COUNTER || wire.seq > MAX_COUNTER) throw malformed('its epoch or seq is out of range')
  if (wire.recordSeq > wire.seq) throw malformed('its record_seq is greater than its seq')
  if (wire.root.length !== 32 || wire.certificateSha256.length !== 32) throw malformed('a hash does not have 32 bytes')
  if (wire.count > limits.maxRecords) {
    throw malformed(`it has more than ${limits.maxRecords} records`, 'registry_records')
  }
  if (wire.leaseMs < MIN_LEASE_MS || wire.leaseMs > MAX_LEASE_MS)
    throw malformed(`its lease of ${wire.leaseMs} ms is out of range`)
  const issuedAtMs = Number(wire.issuedAtMs)
  if (!Number.isSafeInteger(issuedAtMs) || issuedAtMs < 0) throw malformed('its date is out of range')
  checkTexts(wire.meshAddresses, limits.maxAddresses, limits.maxAddressLength, 'registry_addresses')
  checkTexts(wire.dataAddresses, limits.maxAddresses, limits.maxAddressLength, 'registry_addresses')
  checkTexts(wire.capabilities, limits.maxCapabilities, MAX_CAPABILITY_LENGTH, 'registry_capabilities')
  if (wire.jwtKeys.length > MAX_JWT_KEYS || wire.jwtKeys.some(key => key.length > MAX_JWT_KEY_BYTES)) {
    throw malformed('its JWT keys are too many or too large', 'registry_jwt_keys')
  }
  const ownerKey = Uint8Array.from(wire.owner)
  return Object.freeze({
    owner: peerKeyOf(ownerKey),
    ownerKey,
    machine: wire.machine,
    epoch: wire.epoch,
    seq: wire.seq,
    recordSeq: wire.recordSeq,
    issuedAtMs,
    leaseMs: wire.leaseMs,
    count: wire.count,
    root: Buffer.from(wire.root).toString('hex'),
    meshAddresses: Object.freeze(wire.meshAddresses),
    dataAddresses: Object.freeze(wire.dataAddresses),
    capabilities: Object.freeze(wire.capabilities),
    policyVersion: wire.policyVersion,
    trustVersion: wire.trustVersion,
    policySets: wire.policySets.length === 32 ? Buffer.from(wire.policySets).toString('hex') : '',
    draining: wire.draining,
    acks: ackModeOf(wire.acknowledgements),
    leaving: wire.leaving,
    certificateSha256: Buffer.from(wire.certificateSha256).toString('hex'),
    jwtKeys: Object.freeze(wire.jwtKeys.map(key => Buffer.from(key).toString('base64'))),
    softwareVersion: softwareVersion(wire.softwareVersion),
    protocolVersions: Object.freeze(versionsIn(wire.protocolVersions)),
    ...checkpointIn(wire.audit)
  })
}

// It decides nothing here either.
function checkpointIn(audit: registryPb.AuditCheckpoint | undefined): Pick<Head, 'audit'> {
  if (audit === undefined || audit.seq < 1n || audit.seq > MAX_AUDIT_SEQ || audit.sha256.length !== 32) return {}
  return { audit: Object.freeze({ seq: Number(audit.seq), sha256: Buffer.from(audit.sha256).toString('hex') }) }
}

// A mode of a later program: its owner gets what the oldest program expects.
function ackModeOf(value: registryPb.Acknowledgements): AckMode {
  if (value === registryPb.Acknowledgements.NONE) return 'none'
  return value === registryPb.Acknowledgements.WANTED ? 'wanted' : 'direct'
}

// Versions decide nothing here, and a later program may have others: what is not one counts as unknown, and the head stays.
function versionsIn(all: readonly registryPb.ProtocolVersions[]): ProtocolVersions[] {
  if (all.length > MAX_PROTOCOLS) return []
  const known = new Map<string, ProtocolVersions>()
  for (const { name, min, max } of all) {
    if (PROTOCOL_NAME.test(name) && isVersionRange({ min, max })) known.set(name, Object.freeze({ name, min, max }))
  }
  return [...known.values()]
}

/** Orders two states of one owner: negative if `a` is older, zero if both have the same (epoch, seq). */
export function compareAge(a: Pick<Head, 'epoch' | 'seq'>, b: Pick<Head, 'epoch' | 'seq'>): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1
  if (a.seq !== b.seq) return a.seq < b.seq ? -1 : 1
  return 0
}

function digestOf(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex').slice(0, 16)
}

function checkTexts(texts: readonly string[], max: number, maxLength: number, limit: LimitName): void {
  if (texts.length > max) throw malformed(`it lists ${texts.length} entries where at most ${max} are allowed`, limit)
  // Printable characters only: these texts reach logs and terminals.
  if (!texts.every(text => text.length <= maxLength && ADDRESS.test(text)))
    throw malformed('an entry is not an address')
}

function malformed(why: string, limit?: LimitName): WarrenError {
  const reason = `a head is not usable: ${why}`
  return new WarrenError(ErrorCode.MessageMalformed, reason, limit === undefined ? {} : { limit })
}
