import { definedOnly } from '../core/index.ts'
import { type AgentClient, type AgentClientOptions, sharedClient } from './agent-client.ts'

/** How a connection ended, as the agent of this host knows it. */
export interface ConnectionEnd {
  /**
   * `open`; `ended`: both directions, in order; `cut`; or `unknown`: it ended before the agent last started, or longer
   * ago than the agent remembers, or none of its ends is this user's.
   */
  readonly state: 'open' | 'ended' | 'cut' | 'unknown'
  /**
   * What cut it: `reset` (one of its ends), `policy`, `trust`, `registration`, `shutdown`, `link`, `refused` or
   * `server`. Empty unless it was cut.
   */
  readonly kind: string
  /** One clause for people. */
  readonly reason: string
}

export interface ConnectionEndOptions extends Omit<AgentClientOptions, 'timeoutMs'> {
  /** The client to use. @default the shared one of the runtime directory */
  readonly client?: AgentClient | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Asks how a connection of this user ended, for a server or client that got an end and must know whether it was whole.
 * `flowId` is that of `Peer`, or PP2_TYPE_UNIQUE_ID of a PROXY header.
 *
 * Rejects with AGENT_NOT_RUNNING, or UNSUPPORTED by an agent that is too old for the question.
 */
export async function connectionEnd(flowId: string, options: ConnectionEndOptions = {}): Promise<ConnectionEnd> {
  const client = options.client ?? sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env }))
  const { state, kind, reason } = await client.workload.getConnectionEnd({ flowId }, definedOnly(options))
  return { state: stateOf(state), kind, reason }
}

function stateOf(text: string): ConnectionEnd['state'] {
  return text === 'open' || text === 'ended' || text === 'cut' ? text : 'unknown'
}
