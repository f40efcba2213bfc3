import type { Renewal } from '../../ca/index.ts'
import {
  type Authorizer,
  type Evictions,
  type ExplainDeps,
  type ExplainRequest,
  type Explanation,
  explain,
  type FailureService,
  type Found,
  type LostHosts,
  type PolicyService,
  type Reach,
  type Route,
  type Routing,
  reachOf,
  type Trust
} from '../../cluster/index.ts'
import { type Clock, formatHostPort, type Protocol, sleep, WarrenError } from '../../core/index.ts'
import type { EventHistory } from '../../events/index.ts'
import {
  type Address,
  addressOfSpiffeId,
  formatAddress,
  matches,
  type Pattern,
  parsePattern,
  spiffeIdOf
} from '../../identity/index.ts'
import { grantingEntry } from '../../policy/index.ts'
import { type DataPlane, sharesOf } from '../../proxy/index.ts'
import { clockDifferences, owners, type RegistryState } from '../../registry/index.ts'
import { type Grants, gatewayOf, type HealthService, serverOf, type Workloads } from '../../workloads/index.ts'

/** What an explanation looks at on this host. */
export interface ExplainParts {
  readonly base: {
    readonly membership: { readonly machine: string; readonly trustDomain: string }
    readonly clock: Clock
    readonly config: { readonly zone?: string | undefined }
    readonly history: Pick<EventHistory, 'recent'>
  }
  readonly cluster: {
    readonly state: RegistryState
    readonly routing: Pick<Routing, 'matching'>
    readonly authorizer: Authorizer
    readonly trust: Pick<Trust, 'node'>
    readonly policy: Pick<PolicyService, 'bundle' | 'version'>
    readonly evictions: Pick<Evictions, 'evictionReason'>
    readonly failures: Pick<FailureService, 'suspectedSinceMs'>
    readonly lost: LostHosts
  }
  readonly ca: { readonly renewal: Pick<Renewal, 'expiry'> }
  readonly local: {
    readonly workloads: Pick<Workloads, 'get' | 'limitsOf'>
    readonly health: Pick<HealthService, 'problemOf' | 'failingSinceMs' | 'suspect'>
    readonly grants: Grants
  }
  readonly proxy: Pick<DataPlane, 'probe'>
}

export interface Explainer {
  /** Explains a connection as this host sees it. Rejects with INVALID_ARGUMENT. */
  readonly explain: (request: ExplainRequest, signal: AbortSignal) => Promise<Explanation>
  /** Which registrations may connect to which. Rejects with INVALID_ARGUMENT. */
  readonly reach: (source: string, destination: string, signal: AbortSignal) => Promise<Reach>
  /** The hosts that had such a service until lately, as far as known here. */
  readonly endedOn: (destination: string) => readonly string[]
}

/** For how long a connection may wait until its server accepts it. */
const ACCEPT_MS = 250
/** Looks at the queue of a server. */
const LOOKS = 3
const ENDED_MS = 86_400_000

/** Explains connections as this host sees them. */
export function explainHere(parts: ExplainParts): Explainer {
  const deps = depsOf(parts)
  return {
    explain: (request, signal) => explain(deps, request, signal),
    reach: async (source, destination, signal) => {
      const rules = () => parts.cluster.policy.bundle?.rules ?? []
      return await reachOf({ ...deps, rules }, parsePattern(source), parsePattern(destination), signal)
    },
    endedOn: destination => deps.ended(parsePattern(destination)).map(({ address }) => address.machine)
  }
}

function depsOf(parts: ExplainParts): ExplainDeps {
  const { base, cluster, ca, local, proxy } = parts
  const { clock, membership } = base
  const { state, routing, authorizer, trust, policy, evictions, lost, failures } = cluster
  const { workloads, health } = local
  const inForce = () => policy.bundle ?? { entries: [], strict: false }
  return {
    machine: membership.machine,
    excluded: () => {
      const { evictionReason } = evictions
      if (evictionReason !== undefined) return { ok: false, text: `this host is evicted: ${evictionReason}` }
      const { expiry } = ca.renewal
      return expiry === undefined ? undefined : { ok: false, text: `this host has no valid certificate: ${expiry}` }
    },
    known: pattern => routing.matching(pattern),
    sharesOf: routes => sharesOf(routes, base.config.zone),
    hosts: () => owners(state),
    lost: () => lost.all(),
    // Of its own services this host also knows why they ended.
    ended: pattern => [
      ...endedHere(parts, pattern),
      ...lost.ended.matching(pattern).filter(({ address }) => address.machine !== membership.machine)
    ],
    evaluate: (source: Address, destination: Route, protocol: Protocol) =>
      authorizer.authorize({
        source,
        destination: destination.address,
        destinationRegistrationId: destination.registrationId,
        protocol
      }),
    policy: () => ({ version: policy.version, ...inForce() }),
    registrant: registrationId => {
      const found = workloads.get(registrationId)
      if (found === undefined) return undefined
      const { uid, address, facts } = found
      const [entry] = facts.flatMap(process => grantingEntry(inForce().entries, address, process) ?? [])
      return { uid, entry: entry?.id }
    },
    mayRegister: (address, uid) => mayRegister(parts, address, uid),
    server: (registrationId, isForOthers, signal) => serverFound(parts, registrationId, isForOthers, signal),
    health: registrationId => {
      const problem = serverOf(workloads.get(registrationId)?.target)?.problem ?? health.problemOf(registrationId)
      if (problem === undefined) return undefined
      return { problem, sinceMs: health.failingSinceMs(registrationId) }
    },
    suspectedSinceMs: peer => failures.suspectedSinceMs(peer),
    limitsOf: registrationId => workloads.limitsOf(registrationId),
    path: (agent, signal) => proxy.probe(agent, signal),
    clocks: () => clockDifferences(state, clock.monotonicMs()),
    certificateEnd: machine => trust.node(machine)?.notAfterMs,
    nowMs: clock.wallMs
  }
}

/** The services of this host that ended in the last day, with the reason, but those that are registered again. */
function endedHere({ base, cluster }: ExplainParts, pattern: Pattern) {
  const { history, membership, clock } = base
  const served = new Map<string, { address: Address; sinceMs: number; reason: string }>()
  for (const { fields, atMs } of history.recent(['registration-ended'], clock.wallMs() - ENDED_MS)) {
    const { spiffeId, reason } = fields as { readonly spiffeId: string; readonly reason: string }
    const address = addressOfSpiffeId(membership.trustDomain, spiffeId)
    if (address === undefined || !matches(pattern, address)) continue
    served.set(formatAddress(address), { address, sinceMs: atMs, reason })
  }
  for (const { address } of cluster.routing.matching(pattern)) served.delete(formatAddress(address))
  return [...served.values()].reverse()
}

async function mayRegister({ base, local }: ExplainParts, address: Address, uid: number) {
  const { grants } = local
  try {
    const facts = await grants.attestUser(uid)
    grants.require(address, spiffeIdOf(base.membership.trustDomain, address), [facts])
    return { ok: true, text: `uid ${uid} may register ${formatAddress(address)}` }
  } catch (err) {
    const { reason, hint = '' } = WarrenError.from(err)
    return { ok: false, text: reason, hint }
  }
}

async function serverFound(
  { local }: ExplainParts,
  registrationId: string,
  isForOthers: boolean,
  signal: AbortSignal
): Promise<Found | undefined> {
  const target = local.workloads.get(registrationId)?.target
  if (target === undefined || target.kind === 'unix') return undefined
  const { server, host, port, kind } = target
  const gateway = gatewayOf(target)
  if (gateway !== undefined) return { ok: true, text: `a gateway to ${gateway}, on another host` }
  if (server === undefined) {
    return { ok: true, text: `nobody is asked who has ${formatHostPort({ host, port })}/${kind}` }
  }
  // A health check connects now: a server that stands still leaves it in its queue.
  if (kind === 'tcp') local.health.suspect(registrationId)
  for (let look = 1; ; look += 1) {
    const { ok, text, textForOthers, waiting } = server.look()
    const shown = isForOthers ? textForOthers : text
    if (!ok) return { ok, text: shown }
    if (look === LOOKS && waiting > 0) {
      const connections = waiting === 1 ? '1 connection waits' : `${waiting} connections wait`
      return { ok: false, text: `${shown}, and does not accept: ${connections} for it; it is stopped, or stands still` }
    }
    if (look === LOOKS || kind !== 'tcp') return { ok, text: shown }
    await sleep(ACCEPT_MS, signal)
  }
}
