import { ErrorCode, WarrenError } from '../../core/index.ts'
import { parseJoinToken } from '../../identity/index.ts'
import type { Vault } from '../../state/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import { enter } from './enter.ts'
import { found } from './found.ts'
import { defaultMachineName } from './machine-name.ts'
import { loadMembership, type Membership } from './membership.ts'

/** How a host becomes a member: as the one that founds, or by a token. */
export interface EstablishOptions {
  /** Trust domain to found. */
  readonly init: string | undefined
  /** Join token. */
  readonly join: string | undefined
  /** Machine name. @default that of the token, else the host name up to its first dot */
  readonly name: string | undefined
  readonly lifetimes: Lifetimes
}

export interface Established {
  readonly membership: Membership
  /** Where members were said to be, by the authority that admitted this host just now. */
  readonly meshAddresses: readonly string[]
}

/**
 * The membership of this host: the one it has, else a new one as the configuration asks.
 *
 * Throws ALREADY_INITIALIZED when the host is a member of another trust domain or under another name than asked for,
 * NOT_INITIALIZED when it is none and was told nothing, and as founding and joining do.
 */
export async function establish(
  vault: Vault,
  config: EstablishOptions,
  nowMs: () => number,
  signal: AbortSignal
): Promise<Established> {
  const existing = loadMembership(vault, config.lifetimes, nowMs())
  if (existing !== undefined) {
    checkSame(existing, config, nowMs())
    return { membership: existing, meshAddresses: [] }
  }
  let meshAddresses: readonly string[] = []
  if (config.init !== undefined) {
    await found(vault, config.init, config.name ?? defaultMachineName(), config.lifetimes, nowMs())
  } else if (config.join !== undefined) {
    const token = parseJoinToken(config.join, nowMs())
    if (config.name !== undefined && config.name !== token.machine) {
      throw new WarrenError(ErrorCode.TokenRefused, `the token is for machine ${token.machine}, not ${config.name}`, {
        hint: 'Leave --name out: the token says it.'
      })
    }
    meshAddresses = await enter(vault, token, nowMs, signal)
  } else {
    throw new WarrenError(ErrorCode.NotInitialized, 'this host belongs to no trust domain', {
      hint: 'Found one with `warren up --init example.org`, or join one with `warren up --join TOKEN`.'
    })
  }
  const membership = loadMembership(vault, config.lifetimes, nowMs())
  if (membership === undefined) throw new WarrenError(ErrorCode.Internal, 'the membership was not written')
  return { membership, meshAddresses }
}

function checkSame(existing: Membership, config: EstablishOptions, nowMs: number): void {
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

// A used or expired token left in a unit file must not keep a member from starting.
function joinedDomain(config: EstablishOptions, nowMs: number): string | undefined {
  if (config.join === undefined) return undefined
  try {
    return parseJoinToken(config.join, nowMs).trustDomain
  } catch {
    return undefined
  }
}
