import {
  type Address,
  formatAddress,
  namesOf,
  type Pattern,
  parseLocalName,
  parsePattern
} from '../../identity/index.ts'
import { entriesFor } from '../../policy/index.ts'
import type { Route } from '../routing.ts'
import { nameOf } from './next-steps.ts'
import { similar } from './similar.ts'
import { type ExplainDeps, type ExplainRequest, type ExplainStep, MAX_SHOWN, no, ok, unknown } from './types.ts'

/** The source of a connection, as far as it can be known. */
export interface FoundSource {
  /** Undefined for a pattern that matches nothing. */
  readonly address: Address | undefined
  readonly steps: readonly ExplainStep[]
}

/** Who the source is, whether it is registered, and which entry lets it be. Throws INVALID_ARGUMENT. */
export async function findSource(deps: ExplainDeps, request: ExplainRequest): Promise<FoundSource> {
  const { source: text, uid, isForOthers = false } = request
  const pattern = parsePattern(text)
  const found = deps.known(pattern)
  const chosen = found.find(({ local }) => local) ?? found[0]
  const address = chosen?.address ?? literal(pattern, deps.machine)
  if (address === undefined) {
    const next = 'give the address of one source, as dev.shop.cart.default.HOST'
    return { address, steps: [unknown('source', `nothing registered matches ${text}`, next)] }
  }
  const steps = [chosen === undefined ? unregistered(deps, address, text) : registered(found)]
  if (uid !== undefined) steps.push(await wanted(deps, address, uid))
  else if (chosen === undefined) steps.push(entriesStep(deps, address))
  else if (chosen.local) steps.push(...identityStep(deps, chosen, isForOthers))
  return { address, steps }
}

function registered(found: readonly Route[]): ExplainStep {
  const shown = [...new Set(found.map(known => formatAddress(known.address)))]
  const more = shown.length > MAX_SHOWN ? ` and ${shown.length - MAX_SHOWN} more` : ''
  return ok('source', `registered: ${shown.slice(0, MAX_SHOWN).join(', ')}${more}`)
}

// Clients register their address when they connect: that it is missing now is no fault.
function unregistered(deps: ExplainDeps, address: Address, text: string): ExplainStep {
  const { machine } = address
  const hosts = deps.hosts().map(host => host.machine)
  if (machine !== deps.machine && !hosts.includes(machine)) {
    const near = similar(machine, hosts)
    const meant = near === undefined ? '' : `; did you mean ${near}?`
    return no('source', `no host is named ${machine}${meant}`, 'warren members lists the hosts')
  }
  const known = deps.known().map(route => formatAddress(route.address))
  const near = similar(text, known)
  const meant = near === undefined ? '' : `; if that is a misspelling: did you mean ${near}?`
  const how = 'warren connect, forward, proxy and run register it while they connect'
  return ok('source', `not registered on ${machine} now: ${how}${meant}`)
}

function identityStep(deps: ExplainDeps, { registrationId }: Route, isForOthers: boolean): ExplainStep[] {
  const found = deps.registrant(registrationId)
  if (found === undefined) return []
  const by =
    found.entry === undefined ? 'without an entry: it is root, or the user of the agent' : `by entry ${found.entry}`
  return [ok('identity', isForOthers ? `granted ${by}` : `uid ${found.uid} has it ${by}`)]
}

function entriesStep(deps: ExplainDeps, address: Address): ExplainStep {
  const { entries, strict } = deps.policy()
  const granting = entriesFor(entries, address)
  const add = `for another user: warren entry add --machine ${address.machine} --uid UID ${nameOf(address)}`
  if (granting.length > 0) {
    const shown = granting.slice(0, MAX_SHOWN).map(({ id, uid, user }) => `${id}${whose(uid, user)}`)
    return ok('identity', `granted by ${shown.join(', ')}${strict ? '' : ', and to root and the user of the agent'}`)
  }
  if (!strict)
    return ok(
      'identity',
      `no entry grants it: only root and the user of the agent on ${address.machine} may be it`,
      add
    )
  return no('identity', 'no entry grants it, and strict is on: nobody may be it', add.replace('for another user: ', ''))
}

function whose(uid: number | undefined, user: string | undefined): string {
  if (uid !== undefined) return ` (uid ${uid})`
  return user === undefined ? '' : ` (user ${user})`
}

async function wanted(deps: ExplainDeps, address: Address, uid: number): Promise<ExplainStep> {
  if (address.machine !== deps.machine) {
    return unknown('identity', `uid ${uid} of ${address.machine} is not known here`, `run it on ${address.machine}`)
  }
  const { ok: isGranted, text, hint = '' } = await deps.mayRegister(address, uid)
  return isGranted ? ok('identity', text) : no('identity', text, hint)
}

// A source that is not registered can still be evaluated when it is one address.
function literal(pattern: Pattern, machine: string): Address | undefined {
  const [scope, appGroup, appIdentity, resourceGroup, named = machine] = namesOf(pattern)
  if (scope === undefined || appGroup === undefined || appIdentity === undefined || resourceGroup === undefined)
    return undefined
  return parseLocalName([scope, appGroup, appIdentity, resourceGroup, named].join('.'), named)
}
