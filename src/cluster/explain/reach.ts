import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Protocol } from '../../core/index.ts'
import { type Address, formatAddress, type Matcher, matches, type Pattern } from '../../identity/index.ts'
import { isInForce, type Rule } from '../../policy/index.ts'
import type { Route } from '../routing.ts'
import type { ExplainDeps } from './types.ts'

/** A connection between two registrations that the policy allows now. */
export interface ReachedPair {
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  /** What allows it, in words. */
  readonly by: string
}

/** A statement about connections that may meet those that are asked about. */
export interface ReachStatement {
  readonly effect: 'allow' | 'audit' | 'deny' | 'whitelist'
  readonly id: string
  readonly source: string
  readonly destination: string
  readonly protocols: readonly Protocol[]
  readonly reason: string
}

export interface Reach {
  readonly pairs: readonly ReachedPair[]
  /** Pairs that are allowed and left out, or that nobody looked at: there are too many. */
  readonly isCutOff: boolean
  readonly statements: readonly ReachStatement[]
}

export interface ReachDeps extends Pick<ExplainDeps, 'known' | 'evaluate' | 'nowMs'> {
  readonly rules: () => readonly Rule[]
}

const MAX_PAIRS = 500
const MAX_STATEMENTS = 500
const MAX_EVALUATED = 20_000
/** Looks at one rule, in one answer: many rules make fewer pairs. */
const MAX_LOOKS = 8_000_000
/** Evaluations in a turn of the event loop. */
const PER_TURN = 64

/** Which registrations reach which, and what the policy says about those that come later. The flows of others continue meanwhile. */
export async function reachOf(
  deps: ReachDeps,
  source: Pattern,
  destination: Pattern,
  signal: AbortSignal
): Promise<Reach> {
  const all = deps.known()
  const sources = distinct(all.filter(({ address }) => matches(source, address)))
  const served = all.filter(({ protocols, address }) => protocols.length > 0 && matches(destination, address))
  const rules = deps.rules()
  const most = Math.min(MAX_EVALUATED, Math.ceil(MAX_LOOKS / Math.max(1, rules.length)))
  const found = new Map<string, ReachedPair>()
  let evaluated = 0
  for (const from of sources) {
    for (const to of served) {
      for (const protocol of to.protocols) {
        if (evaluated === most || found.size === MAX_PAIRS) return answer(true)
        evaluated += 1
        if (evaluated % PER_TURN === 0) await nextTurn(undefined, { signal })
        const { allowed, text } = deps.evaluate(from, to, protocol)
        if (!allowed) continue
        const pair = { source: formatAddress(from), destination: formatAddress(to.address), protocol, by: text }
        found.set(`${pair.source} ${pair.destination} ${protocol}`, pair)
      }
    }
  }
  return answer(false)

  function answer(isCutOff: boolean): Reach {
    const statements = [...rulesAbout(), ...whitelists()]
    return {
      pairs: [...found.values()],
      isCutOff: isCutOff || statements.length > MAX_STATEMENTS,
      statements: statements.slice(0, MAX_STATEMENTS)
    }
  }

  function rulesAbout(): ReachStatement[] {
    return rules
      .filter(
        rule => isInForce(rule, deps.nowMs()) && meets(rule.source, source) && meets(rule.destination, destination)
      )
      .map(({ effect, id, protocols, reason, ...ends }) => ({
        effect,
        id,
        source: ends.source.text,
        destination: ends.destination.text,
        protocols,
        reason
      }))
  }

  function whitelists(): ReachStatement[] {
    const lists = served.flatMap(({ address, whitelist, protocols }) =>
      whitelist
        .filter(pattern => meets(pattern, source))
        .map(pattern => ({
          effect: 'whitelist' as const,
          id: '',
          source: pattern.text,
          destination: formatAddress(address),
          protocols,
          reason: ''
        }))
    )
    return [...new Map(lists.map(one => [`${one.source} ${one.destination}`, one])).values()]
  }
}

function distinct(routes: readonly Route[]): Address[] {
  return [...new Map(routes.map(({ address }) => [formatAddress(address), address])).values()]
}

/** Whether an address is in both sets. */
function meets(one: Pattern, other: Pattern): boolean {
  return one.matchers.every((matcher, index) => admitsSame(matcher, other.matchers[index]))
}

function admitsSame(one: Matcher, other: Matcher | undefined): boolean {
  if (one.any || other === undefined || other.any) return true
  return one.names.some(name => other.names.includes(name))
}
