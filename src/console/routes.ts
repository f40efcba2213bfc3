import type { AgentClient } from '../client/index.ts'
import { ErrorCode, type Protocol, WarrenError } from '../core/index.ts'
import { textOf } from './body.ts'
import {
  certificatesView,
  Drafts,
  explainView,
  flowsView,
  MeshEvents,
  MeshFlows,
  matrixView,
  meshView,
  protocolFrom
} from './data/index.ts'

/** What a page asks, once its session is known. */
export interface Question {
  readonly query: URLSearchParams
  /** Empty for GET. */
  readonly body: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
}

export type Answer = (question: Question) => Promise<unknown>

/** Answers by method and path, as in "GET /api/mesh". */
export type Routes = ReadonlyMap<string, Answer>

export interface RoutesOptions {
  readonly agent: AgentClient
  /** Asks all hosts, again and again: it must not ask a person for signatures. */
  readonly asks: AgentClient
  readonly allowsChanges: boolean
  readonly nowMs: () => number
}

/** Events are remembered for a day. */
const MAX_HOURS = 24

/** Everything that pages can ask. A draft changes nothing; only what is applied does. */
export function routesOf({ agent, asks, allowsChanges, nowMs }: RoutesOptions): Routes {
  const drafts = new Drafts(agent)
  const [flows, events] = [new MeshFlows(asks, nowMs), new MeshEvents(agent, nowMs, asks)]
  const machine = async (signal: AbortSignal): Promise<string> =>
    (await agent.workload.getStatus({}, { signal })).machine
  return new Map<string, Answer>([
    ['GET /api/mesh', ({ signal }) => meshView(agent, allowsChanges, signal)],
    ['GET /api/flows', async ({ signal }) => flowsView(agent, await machine(signal), nowMs(), signal)],
    ['GET /api/mesh-flows', () => flows.view()],
    ['GET /api/refusals', async ({ signal }) => events.refusals(await machine(signal), signal)],
    ['GET /api/certificates', ({ signal }) => certificatesView(agent, signal)],
    [
      'GET /api/events',
      async ({ query, signal }) => {
        const hours = Math.min(MAX_HOURS, Math.max(1, Math.floor(Number(query.get('hours'))) || 1))
        return await events.events(await machine(signal), hours, query.get('name') ?? '', signal)
      }
    ],
    [
      'GET /api/matrix',
      ({ query, signal }) => {
        const [sources, destinations] = [query.get('sources') ?? '', query.get('destinations') ?? '']
        return matrixView(
          agent,
          { sources, destinations, protocol: protocolOf(query.get('protocol')) },
          nowMs(),
          signal
        )
      }
    ],
    [
      'POST /api/explain',
      async ({ body, signal }) => {
        const [source, destination] = [textOf(body, 'source'), textOf(body, 'destination')]
        const protocol = protocolFrom(protocolOf(body['protocol'])) ?? 0
        return await explainView(agent, { source, destination, protocol }, signal)
      }
    ],
    [
      'POST /api/draft',
      ({ body, signal }) => {
        const [source, destination, reason] = [
          textOf(body, 'source'),
          textOf(body, 'destination'),
          textOf(body, 'reason')
        ]
        return drafts.make({ source, destination, reason, protocol: protocolOf(body['protocol']) }, signal)
      }
    ],
    [
      'POST /api/apply',
      ({ body, signal }) => {
        if (!allowsChanges) {
          throw new WarrenError(ErrorCode.PermissionDenied, 'this console only shows', {
            hint: 'Type the command that it shows, or start `warren console --allow-changes`.'
          })
        }
        return drafts.apply(textOf(body, 'id'), signal)
      }
    ]
  ])
}

function protocolOf(value: unknown): Protocol {
  return value === 'udp' ? 'udp' : 'tcp'
}
