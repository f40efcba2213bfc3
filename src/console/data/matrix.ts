import { setImmediate } from 'node:timers/promises'
import type { AgentClient } from '../../client/index.ts'
import type { Protocol } from '../../core/index.ts'
import { type Address, matches, parseAddress, parsePattern, type Revocation } from '../../identity/index.ts'
import { type Decision, evaluate, type Rule, revocationFrom, ruleFrom } from '../../policy/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { Cell, MatrixView, RuleView, Verdict } from '../shapes.ts'
import { protocolName } from './protocol.ts'

/** Rows and columns: more cannot be read at once, and a pattern finds the others. */
export const MAX_NAMES = 40
/** Instances of one name that are asked about: rules may name machines. */
const MAX_INSTANCES = 4

export interface MatrixRequest {
  /** Only the sources of this pattern. Empty: all. */
  readonly sources: string
  readonly destinations: string
  readonly protocol: Protocol
}

interface Name {
  readonly name: string
  readonly instances: Address[]
}

/**
 * The policy's answer for every source and destination that is registered, by the function that decides about connections.
 *
 * Whitelists are not asked: only the host of a workload knows its own. Throws INVALID_ARGUMENT for a malformed pattern.
 */
export async function matrixView(
  agent: AgentClient,
  request: MatrixRequest,
  nowMs: number,
  signal: AbortSignal
): Promise<MatrixView> {
  const { sources, destinations, protocol } = request
  const [sourcePattern, destinationPattern] = [sources, destinations].map(text =>
    text === '' ? undefined : parsePattern(text)
  )
  const [policy, { services }] = await Promise.all([
    agent.admin.getPolicy({}, { signal }),
    agent.workload.listServices({ pattern: '', lost: false }, { signal })
  ])
  const known = services.flatMap(service => {
    const address = addressOf(service.address)
    return address === undefined ? [] : [{ address, serves: service.protocols.map(protocolName).includes(protocol) }]
  })
  const rows = namesOf(known.map(({ address }) => address).filter(one => isIn(sourcePattern, one)))
  const columns = namesOf(
    known.filter(({ address, serves }) => serves && isIn(destinationPattern, address)).map(({ address }) => address)
  )
  const [shownRows, shownColumns] = [rows.slice(0, MAX_NAMES), columns.slice(0, MAX_NAMES)]
  const content = Policy.from(policy)
  const cells: Cell[][] = []
  for (const row of shownRows) {
    signal.throwIfAborted()
    const ofRow = content.forSources(row.instances)
    cells.push(shownColumns.map(column => cellOf(ofRow, row, column, protocol, nowMs)))
    // 4,096 rules take their time: the console answers other requests in between.
    await setImmediate()
  }
  return {
    version: Number(policy.version),
    protocol,
    rules: policy.rules.map(ruleView),
    sources: shownRows.map(({ name }) => name),
    destinations: shownColumns.map(({ name }) => name),
    cells,
    leftOutSources: rows.length - shownRows.length,
    leftOutDestinations: columns.length - shownColumns.length
  }
}

export function ruleView(rule: adminPb.Rule): RuleView {
  const { id, effect, source, destination, reason, owner } = rule
  const protocols = rule.protocols.map(protocolName)
  return { id, effect, source, destination, protocols, reason, owner, untilMs: Number(rule.untilMs) }
}

/** The rules of a policy as `evaluate` takes them. */
class Policy {
  readonly version: bigint
  readonly rules: readonly Rule[]
  readonly revocations: readonly Revocation[]

  constructor({ version, rules, revocations }: Pick<Policy, 'version' | 'rules' | 'revocations'>) {
    this.version = version
    this.rules = rules
    this.revocations = revocations
  }

  static from({ version, rules, revocations }: adminPb.GetPolicyResponse): Policy {
    return new Policy({
      version,
      rules: rules.map(rule => ({ ...ruleFrom(rule), id: rule.id, createdAtMs: 0 })),
      revocations: revocations.map(revocationFrom)
    })
  }

  /** The same for these sources, without the rules that are about none of them: a row asks it for each cell. */
  forSources(sources: readonly Address[]): Policy {
    const rules = this.rules.filter(rule => sources.some(source => matches(rule.source, source)))
    return new Policy({ ...this, rules })
  }

  decide(source: Address, destination: Address, protocol: Protocol, nowMs: number): Decision {
    return evaluate(this, { source, destination, protocol, whitelist: [] }, nowMs)
  }
}

function cellOf(policy: Policy, row: Name, column: Name, protocol: Protocol, nowMs: number): Cell {
  const decisions = row.instances.flatMap(source =>
    column.instances.map(destination => policy.decide(source, destination, protocol, nowMs))
  )
  const [first] = decisions
  if (first === undefined) return { verdict: 'denied', rule: '', text: '' }
  if (
    decisions.every(
      ({ allowed, rule, ground }) => allowed === first.allowed && rule === first.rule && ground === first.ground
    )
  ) {
    return { verdict: verdictOf(first), rule: first.rule, text: first.text }
  }
  const texts = new Set(decisions.map(({ text }) => text))
  return { verdict: 'mixed', rule: '', text: `it differs between instances: ${[...texts].join('; ')}` }
}

function verdictOf({ allowed, ground }: Decision): Verdict {
  if (!allowed) return 'denied'
  return ground === 'AUDIT' ? 'audited' : 'allowed'
}

function namesOf(addresses: readonly Address[]): Name[] {
  const names = new Map<string, Name>()
  for (const address of addresses) {
    const { scope, appGroup, appIdentity, resourceGroup } = address
    const name = [scope, appGroup, appIdentity, resourceGroup].join('.')
    const known = names.get(name) ?? { name, instances: [] }
    if (known.instances.length < MAX_INSTANCES) known.instances.push(address)
    names.set(name, known)
  }
  return [...names.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function isIn(pattern: ReturnType<typeof parsePattern> | undefined, address: Address): boolean {
  return pattern === undefined || matches(pattern, address)
}

function addressOf(text: string): Address | undefined {
  try {
    return parseAddress(text)
  } catch {
    return undefined
  }
}
