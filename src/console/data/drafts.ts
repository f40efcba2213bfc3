import { randomUUID } from 'node:crypto'
import type { AgentClient } from '../../client/index.ts'
import { ErrorCode, type Protocol, shellWord, WarrenError } from '../../core/index.ts'
import { parsePattern } from '../../identity/index.ts'
import type { AppliedView, DraftView } from '../shapes.ts'
import { ruleView } from './matrix.ts'
import { protocolFrom } from './protocol.ts'

/** Drafts that are kept; beyond them the oldest is forgotten. */
const MAX_DRAFTS = 16

export interface DraftRequest {
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  readonly reason: string
}

interface Kept {
  readonly request: DraftRequest
  readonly policyVersion: bigint
}

/** Rules that somebody has looked at and may put in force, as they are: nothing can be changed in between. */
export class Drafts {
  readonly #agent: AgentClient
  readonly #drafts = new Map<string, Kept>()

  constructor(agent: AgentClient) {
    this.#agent = agent
  }

  /** Asks the agent what the rule would do, and remembers it. Changes nothing. */
  async make(request: DraftRequest, signal: AbortSignal): Promise<DraftView> {
    const { source, destination } = request
    for (const text of [source, destination]) parsePattern(text)
    const { rule, consequences, version } = await this.#agent.admin.addRule(
      { rule: ruleOf(request), dryRun: true },
      { signal }
    )
    const id = randomUUID()
    const [oldest] = this.#drafts.keys()
    if (this.#drafts.size >= MAX_DRAFTS && oldest !== undefined) this.#drafts.delete(oldest)
    this.#drafts.set(id, { request, policyVersion: version })
    const cuts = (consequences?.flows ?? []).flatMap(({ flow, reason }) =>
      flow === undefined ? [] : [`${flow.source} → ${flow.destination} (${reason})`]
    )
    return {
      id,
      command: commandOf(request),
      rule: rule === undefined ? emptyRule(request) : ruleView(rule),
      policyVersion: Number(version),
      cuts
    }
  }

  /** Puts a draft in force. Throws NOT_FOUND if it is unknown, or was made for another version of the policy. */
  async apply(id: string, signal: AbortSignal): Promise<AppliedView> {
    const draft = this.#drafts.get(id)
    this.#drafts.delete(id)
    const { version } = await this.#agent.admin.getPolicy({}, { signal })
    if (draft === undefined || draft.policyVersion !== version) {
      throw new WarrenError(
        ErrorCode.NotFound,
        'the policy has changed since the dry run, or the draft is not known any more',
        {
          hint: 'Look at the dry run again.'
        }
      )
    }
    const added = await this.#agent.admin.addRule({ rule: ruleOf(draft.request) }, { signal })
    return { rule: added.rule?.id ?? '', policyVersion: Number(added.version) }
  }
}

/** The command line that does the same, for a shell. */
export function commandOf({ source, destination, protocol, reason }: DraftRequest): string {
  const because = reason === '' ? '' : ` --reason ${shellWord(reason)}`
  return `warren allow ${shellWord(source)} ${shellWord(destination)} --${protocol}${because}`
}

function ruleOf({ source, destination, protocol, reason }: DraftRequest) {
  const known = protocolFrom(protocol)
  return { effect: 'allow', source, destination, protocols: known === undefined ? [] : [known], reason }
}

function emptyRule({ source, destination, protocol, reason }: DraftRequest): DraftView['rule'] {
  return { id: '', effect: 'allow', source, destination, protocols: [protocol], untilMs: 0, reason, owner: '' }
}
