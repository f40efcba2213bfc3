import type { Protocol } from '../core/index.ts'
import { type Address, formatAddress } from '../identity/index.ts'
import { type Decisive, evaluate } from './evaluate.ts'

/** A connection of the past. */
export interface PastConnection {
  readonly source: Address
  readonly destination: Address
  readonly protocol: Protocol
  readonly atMs: number
  /** Whether it was refused for want of a rule. */
  readonly isRefused: boolean
  /** Whether the whitelist of the destination admitted it: within a scope it does so again, unless a rule forbids it. */
  readonly isWhitelisted: boolean
}

/** A pair with a protocol for which two policies differ. */
export interface Difference {
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  /** Connections of the past. */
  readonly connections: number
  readonly lastMs: number
  /** What the later policy says, as one clause. */
  readonly why: string
}

export interface Replayed {
  /** Those that were open in the past, and that the later policy refuses. */
  readonly refused: readonly Difference[]
  /** Those that were refused in the past, and that the later policy allows. */
  readonly allowed: readonly Difference[]
  readonly connections: number
  /** Connections of further pairs, beyond MAX_REPLAYED. */
  readonly leftOut: number
}

/** Pairs that are told apart: whoever is refused chooses how many there are. */
export const MAX_REPLAYED = 10_000

interface Pair extends Omit<PastConnection, 'atMs'> {
  connections: number
  lastMs: number
}

/**
 * Decides the connections of the past again, under the policy of now and under a later one, and returns where the two differ.
 * Rules that begin or end count as of `nowMs`.
 */
export function replay(past: Iterable<PastConnection>, before: Decisive, after: Decisive, nowMs: number): Replayed {
  const pairs = new Map<string, Pair>()
  let [connections, leftOut] = [0, 0]
  for (const { atMs, ...one } of past) {
    connections += 1
    const kind = `${one.isRefused} ${one.isWhitelisted}`
    const key = `${formatAddress(one.source)} ${formatAddress(one.destination)} ${one.protocol} ${kind}`
    const known = pairs.get(key)
    if (known !== undefined) {
      known.connections += 1
      known.lastMs = Math.max(known.lastMs, atMs)
    } else if (pairs.size < MAX_REPLAYED) pairs.set(key, { ...one, connections: 1, lastMs: atMs })
    else leftOut += 1
  }
  const [refused, allowed]: [Difference[], Difference[]] = [[], []]
  for (const pair of pairs.values()) {
    const [now, later] = [before, after].map(policy => decide(policy, pair, nowMs))
    if (now === undefined || later === undefined || now.allowed === later.allowed) continue
    // What the past did under a policy of its own is no change of this one.
    if (pair.isRefused === later.allowed) (later.allowed ? allowed : refused).push(difference(pair, later.text))
  }
  const byNumber = (a: Difference, b: Difference): number =>
    b.connections - a.connections || (a.source < b.source ? -1 : 1)
  return { refused: refused.sort(byNumber), allowed: allowed.sort(byNumber), connections, leftOut }
}

function decide(policy: Decisive, { source, destination, protocol, isWhitelisted }: Pair, nowMs: number) {
  const whitelist = isWhitelisted ? [exactly(source)] : []
  return evaluate(policy, { source, destination, protocol, whitelist }, nowMs)
}

function exactly(address: Address) {
  const one = (name: string) => ({ any: false, names: [name] }) as const
  const { scope, appGroup, appIdentity, resourceGroup, machine } = address
  return {
    text: formatAddress(address),
    matchers: [one(scope), one(appGroup), one(appIdentity), one(resourceGroup), one(machine)] as const
  }
}

function difference({ source, destination, protocol, connections, lastMs }: Pair, why: string): Difference {
  return {
    source: formatAddress(source),
    destination: formatAddress(destination),
    protocol,
    connections,
    lastMs,
    why
  }
}
