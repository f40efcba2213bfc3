import type { Protocol } from '../core/index.ts'
import { type Address, formatAddress, namesOf, type Pattern, parseLocalName, parsePattern } from '../identity/index.ts'
import type { Decision, UsageLimits } from '../policy/index.ts'
import { type ChoiceDeps, choiceStep } from './explain-choice.ts'
import type { Route } from './routing.ts'

export interface ExplainStep {
  /** "source", "destination", "host", "clock", "server", "policy", "path" or "certificate". */
  readonly subject: string
  readonly ok: boolean
  readonly text: string
}

export interface Explanation {
  readonly works: boolean
  readonly steps: readonly ExplainStep[]
}

/** A registration as explain sees it. */
export interface Known {
  readonly address: Address
  readonly registrationId: string
  readonly serves: readonly Protocol[]
  readonly machine: string
  /** Why no new connections are sent to it; undefined if they are. */
  readonly unfit: string | undefined
  readonly local: boolean
}

/** The state of the port of a server. */
export interface Found {
  readonly ok: boolean
  readonly text: string
}

export interface ExplainDeps extends ChoiceDeps {
  readonly machine: string
  readonly known: (pattern: Pattern) => readonly Route[]
  /** The lost hosts that served such a destination, each in one clause. */
  readonly lost: (destination: Pattern) => readonly string[]
  /** The present holder of the port of a registration of this host; undefined if it has no port. */
  readonly server: (registrationId: string) => Found | undefined
  /** How much a registration of this host may be used now. */
  readonly limitsOf: (registrationId: string) => UsageLimits
  /** Tries to reach another host, and reports the result of each path. */
  readonly path: (machine: string, signal: AbortSignal) => Promise<Found>
  /** The hosts whose clocks differ from that of this one, each in one clause. */
  readonly clocks: () => readonly string[]
  /** Expiry of the certificate of a host, as known here. */
  readonly certificateEnd: (machine: string) => number | undefined
  readonly nowMs: () => number
}

const MAX_SHOWN = 8

/**
 * Explains, step by step, why a connection works or does not: both registrations, the rule, the path and the certificates.
 *
 * Uses the same functions that decide about real connections, so that it cannot give another answer. Throws
 * INVALID_ARGUMENT for a malformed source or destination.
 */
export async function explain(
  deps: ExplainDeps,
  sourceText: string,
  destinationText: string,
  protocol: Protocol,
  signal: AbortSignal
): Promise<Explanation> {
  const sourcePattern = parsePattern(sourceText)
  const destinationPattern = parsePattern(destinationText)
  const sources = deps.known(sourcePattern)
  const destinations = deps.known(destinationPattern).filter(known => known.protocols.length > 0)
  const steps: ExplainStep[] = [sourceStep(sources, sourceText)]

  const source = sources[0]?.address ?? literal(sourcePattern, deps.machine)
  if (destinations.length === 0) {
    steps.push({ subject: 'destination', ok: false, text: `nothing registered matches ${destinationText}` })
    for (const text of deps.lost(destinationPattern).slice(0, MAX_SHOWN)) {
      steps.push({ subject: 'host', ok: false, text: `a host that had it is lost: ${text}` })
    }
    // It may be registered on a host that is not listened to.
    for (const text of deps.clocks().slice(0, MAX_SHOWN)) {
      steps.push({ subject: 'clock', ok: false, text: `${text}: what one announces is not taken by the other` })
    }
    return { works: false, steps }
  }
  let reachable = false
  for (const destination of destinations.slice(0, MAX_SHOWN)) {
    const instance = await instanceSteps(deps, source, destination, protocol, signal)
    steps.push(...instance)
    reachable ||= instance.every(step => step.ok)
  }
  const isHere = sources[0]?.local ?? true
  if (isHere && source !== undefined) steps.push(...choiceStep(deps, source, destinations, protocol))
  return { works: sources.length > 0 && reachable, steps }
}

function sourceStep(sources: readonly Route[], text: string): ExplainStep {
  if (sources.length === 0) return { subject: 'source', ok: false, text: `nothing registered matches ${text}` }
  const shown = sources.slice(0, MAX_SHOWN).map(known => formatAddress(known.address))
  const more = sources.length > shown.length ? ` and ${sources.length - shown.length} more` : ''
  return { subject: 'source', ok: true, text: `registered: ${[...new Set(shown)].join(', ')}${more}` }
}

async function instanceSteps(
  deps: ExplainDeps,
  source: Address | undefined,
  destination: Route,
  protocol: Protocol,
  signal: AbortSignal
): Promise<ExplainStep[]> {
  const name = formatAddress(destination.address)
  const serves = destination.protocols.includes(protocol)
  const unfit = unfitness(destination)
  const limited = destination.local ? inWords(deps.limitsOf(destination.registrationId)) : ''
  const limits = limited === '' ? '' : `; it takes ${limited} in a second`
  const steps: ExplainStep[] = [
    {
      subject: 'destination',
      ok: unfit === undefined && serves,
      text: `${name} is registered on ${destination.machine}, ${unfit ?? 'healthy'}${serves ? '' : `, and does not serve ${protocol}`}${limits}`
    }
  ]
  const server = destination.local ? deps.server(destination.registrationId) : undefined
  if (server !== undefined) steps.push({ subject: 'server', ...server })
  if (source === undefined) {
    steps.push({ subject: 'policy', ok: false, text: 'not evaluated: the source is a pattern that matches nothing' })
  } else {
    const decision = deps.evaluate(source, destination, protocol)
    const verdict = `${decision.allowed ? 'allowed' : 'denied'} (${decision.ground}): ${decision.text}`
    steps.push({
      subject: 'policy',
      ok: decision.allowed,
      text: `${verdict}; policy version ${decision.policyVersion}${ruleLimits(decision)}`
    })
  }
  const { ok, text } = destination.local
    ? { ok: true, text: 'same host: no network, no TLS' }
    : await deps.path(destination.machine, signal)
  steps.push({ subject: 'path', ok, text })
  steps.push(certificateStep(deps, destination.machine))
  return steps
}

function ruleLimits({ limits = [] }: Decision): string {
  return limits.map(limit => `; rule ${limit.rule} allows ${inWords(limit)} in a second`).join('')
}

function inWords({ maxConnects, maxRateBytes }: UsageLimits): string {
  const connects = maxConnects === undefined ? [] : [`${maxConnects} connection${maxConnects === 1 ? '' : 's'}`]
  return [...connects, ...(maxRateBytes === undefined ? [] : [`${maxRateBytes} bytes`])].join(' and ')
}

/** The reason why no new connections are sent there; undefined if they are. */
function unfitness({ health, draining, suspect }: Route): string | undefined {
  if (draining || health === 'draining') return 'draining: no new connections are sent to it'
  if (suspect) return 'and its host is suspect: it does not answer'
  return health === 'passing' ? undefined : 'not healthy'
}

function certificateStep(deps: ExplainDeps, machine: string): ExplainStep {
  const endMs = deps.certificateEnd(machine)
  if (endMs === undefined)
    return { subject: 'certificate', ok: false, text: `the certificate of ${machine} is not known here` }
  const ok = endMs > deps.nowMs()
  return { subject: 'certificate', ok, text: `${machine} is certified until ${new Date(endMs).toISOString()}` }
}

// A source that is not registered can still be evaluated when it is one address: then the answer shows the missing part.
function literal(pattern: Pattern, machine: string): Address | undefined {
  const [scope, appGroup, appIdentity, resourceGroup, named = machine] = namesOf(pattern)
  if (scope === undefined || appGroup === undefined || appIdentity === undefined || resourceGroup === undefined)
    return undefined
  return parseLocalName([scope, appGroup, appIdentity, resourceGroup, named].join('.'), named)
}
