import type { AgentClient } from '../../client/index.ts'
import { concernedEnds, ErrorCode, jointVerdict, verdictOf, WarrenError } from '../../core/index.ts'
import type { adminPb, apiPb } from '../../wire/index.ts'
import type { ExplainView } from '../shapes.ts'
import { whyMissing } from './all-hosts.ts'

/** Hosts that do not answer are waited for so long, in milliseconds: as by `warren explain`. */
const TIMEOUT_MS = 10_000
/** Hosts of both ends that are shown: a pattern can have many. */
const MAX_ENDS = 50

export interface ExplainRequest {
  readonly source: string
  readonly destination: string
  readonly protocol: apiPb.Protocol
}

/** Nobody else would answer, or the agent of this host does not know how to ask. */
const MAY_NOT_ASK: ReadonlySet<string> = new Set([ErrorCode.NotAdmin, ErrorCode.Unsupported])

/** Asks the hosts of both ends, or this one alone if it may not ask others. */
export async function explainView(
  agent: AgentClient,
  request: ExplainRequest,
  signal: AbortSignal
): Promise<ExplainView> {
  try {
    return await seenByBoth(agent, request, signal)
  } catch (err) {
    const { code, reason } = WarrenError.from(err)
    if (!MAY_NOT_ASK.has(code)) throw err
    return { ...(await seenHere(agent, request, signal)), problem: reason }
  }
}

async function seenByBoth(agent: AgentClient, request: ExplainRequest, signal: AbortSignal): Promise<ExplainView> {
  const hosts: adminPb.HostObservation[] = []
  let isComplete = false
  const asked = { ask: { case: 'explain', value: request }, timeoutMs: TIMEOUT_MS } as const
  for await (const answer of agent.admin.observe(asked, { signal })) {
    hosts.push(...answer.hosts)
    isComplete = answer.complete
  }
  const ends = concernedEnds(
    hosts.flatMap(({ machine, connections }) =>
      connections.map(({ role, works, undecided, steps }) => ({ machine, role, works, undecided, steps }))
    )
  )
  const joint = jointVerdict(ends)
  return {
    // The host that has not answered may know better.
    verdict: joint === 'works' && !isComplete ? 'undecided' : joint,
    ends: ends.slice(0, MAX_ENDS).map(({ machine, role, steps }) => ({ machine, role, steps: steps.map(stepView) })),
    missing: hosts.flatMap(host => {
      const why = whyMissing(host)
      return why === '' ? [] : [{ machine: host.machine, why }]
    }),
    problem: ''
  }
}

async function seenHere(agent: AgentClient, request: ExplainRequest, signal: AbortSignal): Promise<ExplainView> {
  const [{ machine }, answer] = await Promise.all([
    agent.workload.getStatus({}, { signal }),
    agent.admin.explain(request, { signal })
  ])
  const ends = [{ machine, role: '', steps: answer.steps.map(stepView) }]
  return { verdict: verdictOf(answer), ends, missing: [], problem: '' }
}

function stepView({
  subject,
  ok,
  unknown,
  text,
  next
}: adminPb.ExplainStep): ExplainView['ends'][number]['steps'][number] {
  return { subject, ok, unknown, text, next }
}
