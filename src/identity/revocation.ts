import { type Address, formatAddress } from './address.ts'
import { matches, type Pattern } from './pattern.ts'
import type { PeerKey } from './peer-key.ts'

/**
 * One withdrawal of trust, as the admin signed it: it refuses everything that any of its fields names.
 *
 * It names hosts, keys and addresses and never a certificate, since the holder of a key can easily get another certificate.
 */
export interface Revocation {
  /** Unique in the policy and never used again. */
  readonly id: string
  /** Certificates of this machine that are valid from before `beforeMs`; a later admission under the name is another host. */
  readonly machine: string | undefined
  readonly beforeMs: number
  readonly peers: readonly PeerKey[]
  /** Hex SHA-256 of SubjectPublicKeyInfo (DER) of node CAs, or of authorities with all certificates that they signed. */
  readonly keys: readonly string[]
  readonly pattern: Pattern | undefined
  readonly reason: string
  readonly createdAtMs: number
  /** Name of the admin whose set states it. @default the root of policy */
  readonly by?: string
}

/** The properties of a host that a revocation can name. */
export interface RevocableHost {
  readonly machine: string
  readonly peer: PeerKey
  /** Hex, of the node CA and of the certificates above it. */
  readonly keys: readonly string[]
  /** The start of validity of its certificate. */
  readonly notBeforeMs: number
}

/** The revocation that withdraws trust from a host, if there is one. */
export function revocationOfHost(revocations: readonly Revocation[], host: RevocableHost): Revocation | undefined {
  return revocations.find(
    ({ machine, beforeMs, peers, keys }) =>
      (machine === host.machine && host.notBeforeMs < beforeMs) ||
      peers.includes(host.peer) ||
      keys.some(key => host.keys.includes(key))
  )
}

/** The revocation that withdraws trust from a workload of this address, if there is one. */
export function revocationOfAddress(revocations: readonly Revocation[], address: Address): Revocation | undefined {
  return revocations.find(({ pattern }) => pattern !== undefined && matches(pattern, address))
}

/** The earliest start of validity of a certificate for `machine` that no eviction of the name so far refuses. */
export function admittedFromMs(revocations: readonly Revocation[], machine: string): number {
  return Math.max(0, ...revocations.map(revocation => (revocation.machine === machine ? revocation.beforeMs : 0)))
}

/**
 * When hosts of this name were evicted last; 0 if they never were. Exact, where `admittedFromMs` is in whole seconds as the dates of
 * certificates are.
 */
export function evictedAtMs(revocations: readonly Revocation[], machine: string): number {
  return Math.max(0, ...revocations.map(revocation => (revocation.machine === machine ? revocation.createdAtMs : 0)))
}

/** The reason why a host is refused, in one clause for people. */
export function evictionText(machine: string, { id, reason, createdAtMs }: Revocation): string {
  return `${machine} was evicted at ${new Date(createdAtMs).toISOString()} (${id}${because(reason)})`
}

/** The reason why a workload is refused, in one clause for people. */
export function revocationText(address: Address, { id, pattern, reason }: Revocation): string {
  return `${formatAddress(address)} is revoked (${id}: ${pattern?.text ?? ''}${because(reason)})`
}

function because(reason: string): string {
  return reason === '' ? '' : `: ${reason}`
}
