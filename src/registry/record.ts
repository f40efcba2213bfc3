import { hash } from 'node:crypto'
import {
  asOwn,
  DEFAULT_WEIGHT,
  ErrorCode,
  type LimitName,
  MAX_WEIGHT,
  type Protocol,
  WarrenError
} from '../core/index.ts'
import { type Address, addressOfSpiffeId, type Pattern, parsePattern, spiffeIdOf } from '../identity/index.ts'
import { create, decode, registryPb, toBinary } from '../wire/index.ts'
import type { Limits } from './limits.ts'
import { boundFields } from './scan.ts'

export type Health = 'passing' | 'failing' | 'draining'

/** One registration of one workload, as its owner announces it. Frozen. */
export interface RegistryRecord {
  /** 64 lower-case hex digits. Unique per owner; another host may announce the same one for a workload of its own. */
  readonly registrationId: string
  readonly spiffeId: string
  /** The address in the SPIFFE ID; its machine is always the owner's. */
  readonly address: Address
  /** Protocols it serves. Empty: a client only. */
  readonly protocols: readonly Protocol[]
  /** Sources that the workload itself admits. */
  readonly whitelist: readonly Pattern[]
  readonly health: Health
  readonly labels: Readonly<Record<string, string>>
  readonly registeredAtMs: number
  /** How long the owner keeps it without a heartbeat. Zero: bound to a connection or a process only. */
  readonly ttlMs: number
  /** Ports at which clients expect it, the usual one first. */
  readonly ports: readonly number[]
  /** Share of new connections against other instances, from 0 (only if no other is left) to `MAX_WEIGHT`. */
  readonly weight: number
}

/** The statements of a host about a workload of its own; the SPIFFE ID follows from the address. */
export type LocalRecord = Omit<RegistryRecord, 'spiffeId'>

/** A record as it is held: the bytes that the root commits to, and their contents, decoded once. */
export interface StoredRecord {
  readonly id: string
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`, one character per byte: a third of the memory of a Uint8Array. */
  readonly sha256: string
  readonly value: RegistryRecord
}

/** The owner whose records are read: each must be of a workload on this machine, in this trust domain. */
export interface RecordScope {
  readonly trustDomain: string
  readonly machine: string
}

const ID = /^[0-9a-f]{64}$/
const ID_BYTES = 32
const CONTROL = /\p{Cc}/u
const MAX_SPIFFE_ID = 2_048
const MAX_PORT = 65_535
const NO_PORTS: readonly number[] = Object.freeze([])
// Each field of a record, and the two fields of each label.
const SHAPE = { 6: {} }

/** Encodes an own record. Throws INVALID_ARGUMENT for one that other hosts would refuse, LIMIT_EXCEEDED for its size. */
export function sealRecord(record: LocalRecord, scope: RecordScope, limits: Limits): StoredRecord {
  if (!ID.test(record.registrationId)) throw new WarrenError(ErrorCode.InvalidArgument, 'not a registration id')
  const encode = (): Uint8Array => toBinary(registryPb.RecordSchema, toWire(record, scope))
  // Our own records obey the same rules: a record that others refuse would put us in quarantine.
  return asOwn(() => openRecord(encode(), scope, limits))
}

function toWire(record: LocalRecord, scope: RecordScope): registryPb.Record {
  return create(registryPb.RecordSchema, {
    registrationId: Buffer.from(record.registrationId, 'hex'),
    spiffeId: spiffeIdOf(scope.trustDomain, record.address),
    protocols: record.protocols.map(name => (name === 'tcp' ? registryPb.Protocol.TCP : registryPb.Protocol.UDP)),
    whitelist: record.whitelist.map(({ text }) => text),
    health: HEALTH_TO_WIRE[record.health],
    labels: { ...record.labels },
    registeredAtMs: BigInt(Math.trunc(record.registeredAtMs)),
    ttlMs: record.ttlMs,
    ports: [...record.ports],
    ...(record.weight !== DEFAULT_WEIGHT && { weight: record.weight })
  })
}

/** Decodes and verifies one record. Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. Copies `bytes`. */
export function openRecord(
  bytes: Uint8Array,
  scope: RecordScope,
  limits: Limits,
  sha256: string = hashOf(bytes)
): StoredRecord {
  if (bytes.length > limits.maxRecordBytes) {
    throw new WarrenError(ErrorCode.MessageTooLarge, `a record of ${bytes.length} bytes`, {
      limit: 'registry_record_bytes'
    })
  }
  boundFields(bytes, SHAPE, 16 + 4 * limits.maxLabels + limits.maxWhitelist)
  const own = Buffer.from(bytes)
  const message = decode(registryPb.RecordSchema, own, limits.maxRecordBytes)
  if (message.registrationId.length !== ID_BYTES) throw malformed('its registration id does not have 32 bytes')
  if (message.spiffeId.length > MAX_SPIFFE_ID) throw malformed('its SPIFFE ID is too long')
  const address = addressOfSpiffeId(scope.trustDomain, message.spiffeId)
  if (address === undefined) throw malformed('its SPIFFE ID does not name a workload of this trust domain')
  // A host announces workloads of its own machine only.
  if (address.machine !== scope.machine) throw malformed(`it names a workload on machine ${address.machine}`)
  const labels = Object.entries(message.labels)
  if (labels.length > limits.maxLabels) {
    throw malformed(`it has more than ${limits.maxLabels} labels`, 'registry_labels')
  }
  for (const [name, value] of labels) {
    if (name === '') throw malformed('a label is empty')
    if (name.length > limits.maxLabelLength || value.length > limits.maxLabelLength) {
      throw malformed('a label is too long', 'registry_label_length')
    }
    // Labels reach terminals.
    if (CONTROL.test(name) || CONTROL.test(value)) throw malformed('a label holds a control character')
  }
  if (message.whitelist.length > limits.maxWhitelist) {
    throw malformed('its whitelist is too long', 'registry_whitelist')
  }
  if (message.ports.length > limits.maxPorts) throw malformed('it has too many ports', 'registry_ports')
  if (message.ports.some(port => port < 1 || port > MAX_PORT)) throw malformed('a port is out of range')
  const registeredAtMs = Number(message.registeredAtMs)
  if (!Number.isSafeInteger(registeredAtMs) || registeredAtMs < 0) throw malformed('its date is out of range')
  const value: RegistryRecord = Object.freeze({
    registrationId: Buffer.from(message.registrationId).toString('hex'),
    spiffeId: message.spiffeId,
    address,
    protocols: protocolsOf(message.protocols),
    whitelist: message.whitelist.map(patternOf),
    health: healthOf(message.health),
    labels: Object.freeze(Object.fromEntries(labels)),
    registeredAtMs,
    ttlMs: message.ttlMs,
    ports: message.ports.length === 0 ? NO_PORTS : Object.freeze(message.ports),
    weight: Math.min(message.weight ?? DEFAULT_WEIGHT, MAX_WEIGHT)
  })
  return { id: value.registrationId, bytes: own, sha256, value }
}

/** Records of one message, and the first fault in any of them. */
export interface OpenedRecords {
  readonly records: readonly StoredRecord[]
  /** When set, use `records` only to compare hashes, and do not keep them. */
  readonly fault: WarrenError | undefined
}

/**
 * Opens many records. A record that breaks the rules but can be identified is reported as `fault` instead of thrown, so
 * that the caller can first find out whether the owner signed it or the sender made it up.
 */
export function openRecords(
  list: readonly Uint8Array[],
  scope: RecordScope,
  limits: Limits,
  held: (sha256: string) => StoredRecord | undefined = () => undefined
): OpenedRecords {
  let fault: WarrenError | undefined
  const records = list.map(bytes => {
    const sha256 = hashOf(bytes)
    const known = held(sha256)
    if (known !== undefined) return known
    try {
      return openRecord(bytes, scope, limits, sha256)
    } catch (err) {
      const { registrationId } = decode(registryPb.RecordSchema, bytes, limits.maxResponseBytes)
      if (registrationId.length !== ID_BYTES) throw err
      fault ??= WarrenError.from(err)
      return { id: Buffer.from(registrationId).toString('hex'), bytes, sha256, value: STAND_IN }
    }
  })
  return { records, fault }
}

const STAND_IN: RegistryRecord = Object.freeze({
  registrationId: '',
  spiffeId: '',
  address: { scope: '', appGroup: '', appIdentity: '', resourceGroup: '', machine: '' },
  protocols: [],
  whitelist: [],
  health: 'failing',
  labels: {},
  registeredAtMs: 0,
  ttlMs: 0,
  ports: [],
  weight: DEFAULT_WEIGHT
})

const HEALTH_TO_WIRE = {
  passing: registryPb.Health.PASSING,
  failing: registryPb.Health.FAILING,
  draining: registryPb.Health.DRAINING
} as const

function healthOf(health: registryPb.Health): Health {
  if (health === registryPb.Health.PASSING) return 'passing'
  if (health === registryPb.Health.DRAINING) return 'draining'
  // A state that this version does not know does not promise that the workload can be used.
  return 'failing'
}

function protocolsOf(protocols: readonly registryPb.Protocol[]): readonly Protocol[] {
  const names = new Set<Protocol>()
  for (const protocol of protocols) {
    // Protocols of a later version are left out: no workload here can ask for them.
    if (protocol === registryPb.Protocol.TCP) names.add('tcp')
    else if (protocol === registryPb.Protocol.UDP) names.add('udp')
  }
  return Object.freeze([...names])
}

function patternOf(text: string): Pattern {
  try {
    return parsePattern(text)
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the whitelist of a record holds no pattern', { cause })
  }
}

function hashOf(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'buffer').toString('latin1')
}

function malformed(why: string, limit?: LimitName): WarrenError {
  const reason = `a record is not usable: ${why}`
  return new WarrenError(ErrorCode.MessageMalformed, reason, limit === undefined ? {} : { limit })
}
