import type { Protocol } from '../../core/index.ts'
import { type Address, formatAddress } from '../../identity/index.ts'
import type { Route } from '../routing.ts'
import { type ExplainDeps, type ExplainStep, MAX_SHOWN, no, ok } from './types.ts'

/** The part of an instance in the new connections of this host. */
export interface RouteShare {
  readonly instance: Route
  readonly tier: 'host' | 'zone' | 'other'
  /** From 0 to 1, while all instances are idle. */
  readonly share: number
}

type ChoiceDeps = Pick<ExplainDeps, 'evaluate' | 'sharesOf'>

const NEAR = { host: 'this host', zone: 'this zone', other: 'elsewhere' } as const

/** How the connections of a source of this host are shared out, where it may reach several instances; else nothing. */
export function choiceStep(
  { evaluate, sharesOf }: ChoiceDeps,
  source: Address,
  destinations: readonly Route[],
  protocol: Protocol
): ExplainStep[] {
  const possible = destinations.filter(
    route => route.protocols.includes(protocol) && evaluate(source, route, protocol).allowed
  )
  if (possible.length < 2) return []
  const shares = sharesOf(possible)
    .map(one => ({ ...one, name: formatAddress(one.instance.address) }))
    .sort((a, b) => b.share - a.share || (a.name < b.name ? -1 : 1))
  const chosen = shares.filter(({ share }) => share > 0)
  if (chosen.length === 0)
    return [no('choice', `none of ${possible.length} instances serves`, 'see the steps of the instances above')]
  const nearest = chosen[0]?.tier ?? 'other'
  const taken = list(
    chosen,
    ({ name, instance, tier, share }) => `${name} ${percent(share)} (${NEAR[tier]}, weight ${instance.weight})`
  )
  const left = shares.filter(({ share }) => share === 0)
  const skipped = list(left, one => `${one.name} (${reason(one, nearest)})`)
  const text = `balanced gives new connections to ${taken}${skipped === '' ? '' : `; none to ${skipped}`}`
  return [ok('choice', text)]
}

function list<T>(all: readonly T[], inWords: (one: T) => string): string {
  const more = all.length > MAX_SHOWN ? ` and ${all.length - MAX_SHOWN} more` : ''
  return all.slice(0, MAX_SHOWN).map(inWords).join(', ') + more
}

function percent(share: number): string {
  const rounded = Math.round(share * 1_000) / 10
  return rounded === 0 ? 'less than 0.1 %' : `${rounded} %`
}

// The chooser has given it no share; here is what the chooser looked at.
function reason({ instance, tier }: RouteShare, nearest: RouteShare['tier']): string {
  const { health, draining, suspect, local, weight } = instance
  if (health !== 'passing') return health
  if (draining) return 'draining'
  if (suspect && !local) return 'its host does not answer'
  if (weight === 0) return 'weight 0: only if no other is left'
  return `${NEAR[tier]}: only if none of ${NEAR[nearest]} is left`
}
