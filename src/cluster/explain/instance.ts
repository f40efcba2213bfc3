import { type Address, formatAddress } from '../../identity/index.ts'
import type { Decision, UsageLimits } from '../../policy/index.ts'
import { clockText } from '../../registry/index.ts'
import type { Route } from '../routing.ts'
import { afterDenial, afterDetour, afterNoPath } from './next-steps.ts'
import { type ExplainDeps, type ExplainRequest, type ExplainStep, type Found, no, ok, unknown } from './types.ts'

/** What holds, or does not, for a connection to one instance. */
export async function instanceSteps(
  deps: ExplainDeps,
  { protocol, isForOthers = false }: Pick<ExplainRequest, 'protocol' | 'isForOthers'>,
  source: Address | undefined,
  destination: Route,
  signal: AbortSignal
): Promise<ExplainStep[]> {
  const { local, registrationId, machine } = destination
  const server = local ? await deps.server(registrationId, isForOthers, signal) : undefined
  return [
    destinationStep(deps, destination, protocol),
    ...(server === undefined ? [] : [serverStep(server, machine)]),
    policyStep(deps, source, destination, protocol),
    ...clockSteps(deps, machine),
    await pathStep(deps, source, destination, signal),
    certificateStep(deps, machine)
  ]
}

function destinationStep(deps: ExplainDeps, destination: Route, protocol: ExplainRequest['protocol']): ExplainStep {
  const { address, machine, local, registrationId, protocols } = destination
  const limited = local ? inWords(deps.limitsOf(registrationId)) : ''
  const limits = limited === '' ? '' : `; it takes ${limited} in a second`
  const text = `${formatAddress(address)} is registered on ${machine}`
  const unfit = unfitness(deps, destination)
  if (!protocols.includes(protocol)) {
    const served = protocols.join(' and ')
    const flag = protocol === 'udp' ? 'without' : 'with'
    return no(
      'destination',
      `${text}, and does not serve ${protocol}`,
      `it serves ${served}: ask ${flag} --udp, or register it for ${protocol}`
    )
  }
  return unfit === undefined
    ? ok('destination', `${text}, healthy${limits}`)
    : no('destination', `${text}, ${unfit.text}${limits}`, unfit.next)
}

/** Why no new connections are sent there; undefined if they are. */
function unfitness(deps: ExplainDeps, route: Route): { readonly text: string; readonly next: string } | undefined {
  const { health, draining, suspect, machine, local, peer, registrationId } = route
  if (draining || health === 'draining') {
    return {
      text: 'draining: no new connections are sent to it',
      next: `on ${machine}, if that is over: warren drain --undo`
    }
  }
  if (suspect) {
    const next = `see whether ${machine} is up: systemctl status warren there; the path below says what answers`
    return { text: `and its host is suspect: it does not answer${since(deps, deps.suspectedSinceMs(peer))}`, next }
  }
  if (health === 'passing') return undefined
  const known = local ? deps.health(registrationId) : undefined
  const why = known === undefined ? '' : `: ${known.problem}${since(deps, known.sinceMs)}`
  const next = local
    ? 'start the server; warren services shows its health'
    : `on ${machine}: start the server; warren services there says why`
  return { text: `not healthy${why}`, next }
}

function since({ nowMs }: ExplainDeps, sinceMs: number | undefined): string {
  if (sinceMs === undefined) return ''
  return `, since ${new Date(sinceMs).toISOString()} (${Math.max(0, Math.round((nowMs() - sinceMs) / 1_000))} s)`
}

function serverStep({ ok: isOk, text }: Found, machine: string): ExplainStep {
  if (isOk) return ok('server', text)
  const next = text.includes('does not accept')
    ? `on ${machine}: ps -eo pid,stat,args; state T is a stopped program (kill -CONT PID), else restart it`
    : `on ${machine}: start the server; ss -ltnup shows who has the port`
  return no('server', text, next)
}

function policyStep(
  deps: ExplainDeps,
  source: Address | undefined,
  destination: Route,
  protocol: ExplainRequest['protocol']
): ExplainStep {
  if (source === undefined) {
    const next = 'give the address of one source'
    return unknown('policy', 'not evaluated: the source is a pattern that matches nothing', next)
  }
  const decision = deps.evaluate(source, destination, protocol)
  const verdict = `${decision.allowed ? 'allowed' : 'denied'} (${decision.ground}): ${decision.text}`
  const text = `${verdict}; policy version ${decision.policyVersion}${elsewhere(deps, destination.machine)}${ruleLimits(decision)}`
  if (decision.allowed) return ok('policy', text)
  return no('policy', text, `${afterDenial(decision, source, destination.address)}${cutOff(deps)}`)
}

// Both ends decide: a host that lacks a version refuses what that version allows.
function elsewhere(deps: ExplainDeps, machine: string): string {
  const here = deps.policy().version
  const there = deps.hosts().find(host => host.machine === machine)?.policyVersion ?? here
  return there === here ? '' : ` here, ${there} on ${machine}`
}

// A change that was made on a host that is not reached has not come here.
function cutOff(deps: ExplainDeps): string {
  const silent = deps
    .lost()
    .filter(({ reason }) => reason === 'silent')
    .map(({ last }) => last.machine)
  const suspect = deps
    .hosts()
    .filter(host => host.suspect)
    .map(({ machine }) => machine)
  const missing = [...suspect, ...silent].slice(0, 3)
  return missing.length === 0
    ? ''
    : `; ${missing.join(', ')} cannot be reached: what is set there has not come here since`
}

function ruleLimits({ limits = [] }: Decision): string {
  return limits.map(limit => `; rule ${limit.rule} allows ${inWords(limit)} in a second`).join('')
}

function inWords({ maxConnects, maxRateBytes }: UsageLimits): string {
  const connects = maxConnects === undefined ? [] : [`${maxConnects} connection${maxConnects === 1 ? '' : 's'}`]
  return [...connects, ...(maxRateBytes === undefined ? [] : [`${maxRateBytes} bytes`])].join(' and ')
}

function clockSteps(deps: ExplainDeps, machine: string): ExplainStep[] {
  const differing = deps.clocks().find(clock => clock.machine === machine)
  if (differing === undefined) return []
  const next = 'compare date -u on both, and set the one that is wrong by NTP'
  return [no('clock', `${clockText(differing)}: what one announces is not taken by the other`, next)]
}

async function pathStep(
  deps: ExplainDeps,
  source: Address | undefined,
  { local, machine, peer, dataAddresses }: Route,
  signal: AbortSignal
): Promise<ExplainStep> {
  const from = source?.machine ?? deps.machine
  const isFromHere = from === deps.machine
  if (from === machine) return ok('path', 'same host: no network, no TLS')
  const next = `run it on ${from}, or on the host of an owner or an observer`
  if (local) return unknown('path', `${from} must say whether it reaches this host`, next)
  const found = await deps.path({ machine, peer, dataAddresses }, signal)
  if (!isFromHere)
    return unknown('path', `${from} must say whether it reaches ${machine}; from this host: ${found.text}`, next)
  if (!found.ok) return no('path', found.text, afterNoPath(machine, found.text))
  return ok('path', found.text, afterDetour(machine, found.text))
}

function certificateStep(deps: ExplainDeps, machine: string): ExplainStep {
  const next = `on ${machine}: warren status, and docs/certificates.md`
  const endMs = deps.certificateEnd(machine)
  if (endMs === undefined) return unknown('certificate', `the certificate of ${machine} is not known here`, next)
  const text = `${machine} is certified until ${new Date(endMs).toISOString()}`
  return endMs > deps.nowMs() ? ok('certificate', text) : no('certificate', text, next)
}
