import { readdirSync } from 'node:fs'
import { definedOnly, ErrorCode, WarrenError } from '../../core/index.ts'
import { type JoinToken, machineOfToken, type PeerKey, parseJoinToken } from '../../identity/index.ts'
import { type LossOptions, noteHost, requireDatabaseOf, type Store, type Vault, VaultFile } from '../../state/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import { enter, forgetAttempt, hasKeysFor } from './enter.ts'
import { found } from './found.ts'
import { defaultMachineName } from './machine-name.ts'
import { loadMembership, type Membership } from './membership.ts'
import { readProof } from './proof-files.ts'

/** How a host becomes a member: it founds a trust domain, or joins by a token. */
export interface MembershipConfig {
  /** Trust domain to found. */
  readonly init: string | undefined
  /** Join token. */
  readonly join: string | undefined
  /** Machine name. @default the name in the token, else the host name up to its first dot */
  readonly name: string | undefined
  /** Files in PEM: the certificate of this host with its issuers, and its key. */
  readonly joinCert?: string
  readonly joinKey?: string
  /** File that contains an OIDC token. */
  readonly joinOidc?: string
  readonly lifetimes: Lifetimes
}

export interface Established {
  readonly membership: Membership
  /** The addresses of members, from the authority that admitted this host just now. */
  readonly meshAddresses: readonly string[]
  /** The host was a member, its database is lost, and the operator continues without it. */
  readonly isDatabaseLost: boolean
}

export interface EstablishOptions {
  readonly vault: Vault
  readonly store: Store
  readonly config: MembershipConfig
  readonly losses: LossOptions
  /** Called with each new reason for which the authority holds this host outside. */
  readonly onWaiting: (reason: string, peer: PeerKey) => void
  readonly nowMs: () => number
  /** Called with the addresses of the authority that are dialled to join, then with each that failed, and why. */
  readonly onDial: (addresses: readonly string[], problem?: string) => void
  readonly signal: AbortSignal
}

/**
 * The membership of this host: the existing one, else a new one as the configuration asks.
 *
 * Throws ALREADY_INITIALIZED when the host is a member of another trust domain or under another name than requested,
 * NOT_INITIALIZED when it is not a member and the configuration names no way in, STATE_UNUSABLE, and like founding and joining.
 */
export async function establish(options: EstablishOptions): Promise<Established> {
  const { vault, store, config, losses, nowMs } = options
  const existing = loadMembership(vault, config.lifetimes, nowMs())
  if (existing !== undefined) {
    checkSame(existing, config, nowMs())
    forgetAttempt(vault)
    const isDatabaseLost = requireDatabaseOf(existing.credentials.node.peer, vault, store, losses)
    return { membership: existing, meshAddresses: [], isDatabaseLost }
  }
  const meshAddresses = await begin(options)
  const membership = loadMembership(vault, config.lifetimes, nowMs())
  if (membership === undefined) throw new WarrenError(ErrorCode.Internal, 'the membership was not written')
  return { membership, meshAddresses, isDatabaseLost: false }
}

/** Founds or joins; returns the addresses of members. */
async function begin({
  vault,
  store,
  config,
  nowMs,
  onDial,
  signal,
  ...options
}: EstablishOptions): Promise<readonly string[]> {
  const { init, join, name } = config
  const note = (peer: PeerKey): void => noteHost(store, peer)
  if (init !== undefined) {
    clear(vault)
    await found(vault, init, name ?? defaultMachineName(), config.lifetimes, nowMs(), note)
    return []
  }
  if (join !== undefined) {
    const token = readToken(vault, join, nowMs())
    const only = machineOfToken(token)
    if (name !== undefined && only !== undefined && name !== only) {
      throw new WarrenError(ErrorCode.TokenRefused, `the token is for machine ${only}, not ${name}`, {
        hint: 'Leave --name out: the token contains the name.'
      })
    }
    // Read before anything is made: a missing file is an error of its own.
    const proof = readProof(token, config)
    if (!hasKeysFor(vault, token)) clear(vault)
    let told = ''
    const onWaiting = (reason: string, peer: PeerKey): void => {
      if (reason !== told) options.onWaiting(reason, peer)
      told = reason
    }
    const machine = only ?? (name === undefined && proof === undefined ? defaultMachineName() : anyName(name))
    const who = definedOnly({ name: only === undefined ? name : undefined, proof })
    return await enter(vault, { ...who, token, machine, onWaiting, nowMs, signal, beforeMember: note, onDial })
  }
  throw notInitialized()
}

// A host that waits, or whose join was interrupted, may come back after the end of its token: the authority decides.
function readToken(vault: Vault, text: string, nowMs: number): JoinToken {
  try {
    return parseJoinToken(text, nowMs)
  } catch (err) {
    const late = parseJoinToken(text, 0)
    if (hasKeysFor(vault, late)) return late
    throw err
  }
}

// The name with which a host asks that gets its name from its proof: the authority offers the right one.
function anyName(name: string | undefined): string {
  return name ?? 'unnamed'
}

/** Refuses a start that can only end in NOT_INITIALIZED, before anything is made for it. */
export function requireWay({
  init,
  join,
  stateDir
}: Pick<MembershipConfig, 'init' | 'join'> & { readonly stateDir: string }): void {
  if (init === undefined && join === undefined && isUnused(stateDir)) throw notInitialized()
}

function isUnused(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0
  } catch (err) {
    // Its readers report any other damage.
    return err instanceof Error && 'code' in err && err.code === 'ENOENT'
  }
}

function notInitialized(): WarrenError {
  return new WarrenError(ErrorCode.NotInitialized, 'this host belongs to no trust domain', {
    hint: 'Found one with `warren up --init example.org`, or join one with `warren up --join TOKEN`.'
  })
}

// Keys of an interrupted founding would be taken for those of the trust domain that is joined now.
function clear(vault: Vault): void {
  for (const name of Object.values(VaultFile)) if (vault.has(name)) vault.remove(name)
}

function checkSame(existing: Membership, config: MembershipConfig, nowMs: number): void {
  const { trustDomain, machine } = existing
  const wanted = config.init ?? joinedDomain(config, nowMs)
  if (wanted !== undefined && wanted !== trustDomain) {
    throw new WarrenError(ErrorCode.AlreadyInitialized, `this host is a member of ${trustDomain}, not of ${wanted}`, {
      hint: 'Use another --state-dir for another trust domain.'
    })
  }
  if (config.name !== undefined && config.name !== machine) {
    throw new WarrenError(ErrorCode.AlreadyInitialized, `this host is named ${machine}, not ${config.name}`, {
      hint: 'Its certificate carries the name; leave --name out.'
    })
  }
}

// A used or expired token left in a unit file must not prevent a member from starting.
function joinedDomain(config: MembershipConfig, nowMs: number): string | undefined {
  if (config.join === undefined) return undefined
  try {
    return parseJoinToken(config.join, nowMs).trustDomain
  } catch {
    return undefined
  }
}
